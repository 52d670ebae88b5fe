"""Which statistics are estimated, evaluated and kept."""

import dataclasses
import signal

import jax
import numpy as np
import pytest

from sr2_jax import errors, memory
from sr2_jax.evaluation import phase_evaluation
from sr2_jax.training import preemption
from tests import tiny_network

BOTH = ("running", "reestimated")


def make(folder, phase="joint", **changes):
  """A run, an evaluation of tiny networks, and their weights.

  The estimate is one that can be computed by hand.
  """
  run = tiny_network.make_run(folder, eval__splits=("test",), **changes)
  phase = tiny_network.tiny_phase(run, phase)
  evaluation = phase_evaluation.PhaseEvaluation(run, phase)
  calls = []

  def estimate(variables, *, num_batches, before_batch=None):
    calls.append(num_batches)
    if before_batch is not None:
      before_batch()
    return {"shift": np.float32([[9.0], [8.0], [7.0], [6.0]])}

  evaluation._estimator = estimate
  return run, evaluation, tiny_network.make_state(phase).variables, calls


def test_reestimated_statistics_come_first_and_running_ones_stay(tmp_path):
  _, evaluation, variables, calls = make(
    tmp_path, eval__batch_norm=BOTH, eval__batch_norm_batches=5
  )
  of_kinds = evaluation.with_statistics(variables)
  assert list(of_kinds) == ["reestimated", "running"]
  assert calls == [5]
  assert of_kinds["running"] is variables
  shift = of_kinds["reestimated"]["batch_stats"]["shift"]
  np.testing.assert_array_equal(shift[:, 0], [9, 8, 7, 6])
  assert of_kinds["reestimated"]["params"] is variables["params"]


def test_the_same_weights_are_estimated_once(tmp_path):
  """But not with other weights or statistics in between."""
  _, evaluation, variables, calls = make(tmp_path, eval__batch_norm=BOTH)
  first = evaluation.with_statistics(variables)["reestimated"]
  again = evaluation.with_statistics(
    jax.tree.map(np.copy, variables), stoppable=False
  )["reestimated"]
  assert len(calls) == 1
  jax.tree.map(np.testing.assert_array_equal, first, again)
  for kind in ("params", "batch_stats"):
    other = jax.tree.map(lambda x: x + 1, variables[kind])
    evaluation.with_statistics({**variables, kind: other})
  evaluation.with_statistics(variables)
  assert len(calls) == 4


def test_nothing_is_estimated_that_nobody_asked_for(tmp_path):
  _, evaluation, variables, calls = make(tmp_path)
  assert list(evaluation.with_statistics(variables)) == ["running"]
  _, evaluation, variables, calls = make(tmp_path, eval__batch_norm=BOTH)
  without = {**variables, "batch_stats": {}}
  assert list(evaluation.with_statistics(without)) == [None]
  assert not calls


def test_both_kinds_get_rows_and_the_first_gets_arrays(tmp_path):
  _, evaluation, variables, _ = make(tmp_path, eval__batch_norm=BOTH)
  of_kinds = evaluation.with_statistics(variables)
  found = list(evaluation.evaluations(of_kinds, tiny_network.STEPS))
  for evaluated, kind in zip(found, of_kinds, strict=True):
    assert {row.batch_norm for row in evaluated.rows} == {kind}
    assert evaluated.method.variables is of_kinds[kind]
  values = [[row.value for row in evaluated.rows] for evaluated in found]
  assert values[0] != values[1]
  assert found[0].per_image["test"].batch_norm == "reestimated"
  assert found[0].examples.batch_norm == "reestimated"
  assert not found[1].per_image
  assert found[1].examples is None


def test_only_what_is_asked_for_is_evaluated(tmp_path):
  _, evaluation, variables, _ = make(
    tmp_path, eval__batch_norm=("reestimated",)
  )
  of_kinds = evaluation.with_statistics(variables)
  (found,) = evaluation.evaluations(of_kinds, tiny_network.STEPS)
  assert {row.batch_norm for row in found.rows} == {"reestimated"}


def test_programs_are_compiled_once(tmp_path, monkeypatch):
  """The evaluation in the middle of a phase and that at its end share them."""
  _, evaluation, variables, _ = make(tmp_path)
  traced, call = [], tiny_network.Tiny.__call__

  def counted(self, *arguments, **options):
    traced.append(1)
    return call(self, *arguments, **options)

  monkeypatch.setattr(tiny_network.Tiny, "__call__", counted)
  evaluation.rows_while_training(variables, 4)
  assert traced
  traced.clear()
  rows = evaluation.rows_while_training(variables, 6)
  assert not traced
  assert {(row.step, row.epochs) for row in rows} == {(6, 3.0)}


def test_a_signal_waits_while_training_goes_on(tmp_path):
  run, evaluation, variables, _ = make(
    tmp_path, eval__batch_norm=("reestimated",)
  )
  stop = preemption.StopRequest()
  stop.received = lambda: signal.SIGTERM
  evaluation._run = dataclasses.replace(run, stop=stop)
  assert evaluation.rows_while_training(variables, 6)
  others = jax.tree.map(lambda x: x + 1, variables)
  with pytest.raises(errors.Stopped):
    evaluation.with_statistics(others)
  with pytest.raises(errors.Stopped):
    list(evaluation.evaluations({"reestimated": variables}, [6] * 4))


def test_a_rehearsal_meets_too_little_memory(tmp_path, monkeypatch):
  """Under all conditions, without statistics of BatchNorm."""
  _, evaluation, variables, calls = make(
    tmp_path, eval__corruptions__blur=(1.0,)
  )
  evaluation.rehearse(variables)
  assert not calls
  monkeypatch.setattr(memory, "of_host", lambda: memory.Room(10))
  # What is compiled has been checked.
  evaluation.rehearse(variables)
  _, evaluation, variables, _ = make(tmp_path)
  with pytest.raises(errors.NoRoomError, match=r"evaluating needs .*compiled"):
    evaluation.rehearse(variables)
