"""What a run takes up; the run folders are real, and nothing is trained."""

import dataclasses
import json

import numpy as np
import pytest

from sr2_jax import agreement, errors
from sr2_jax.records import metrics_log
from sr2_jax.training import checkpoint, population, start
from sr2_jax.training import run as run_lib
from tests import tiny_network


@pytest.fixture
def run(tmp_path):
  """Two seeds with two loss weights."""
  return tiny_network.make_run(tmp_path)


def begin(run, phase, step, state, inherited=()):
  writer = metrics_log.Writer(run.folder.path, tensorboard=False)
  try:
    return start.take_up(
      run, start.Start(phase, step, state, inherited), writer
    )
  finally:
    writer.close()


def lines(run):
  path = run.folder.path / "metrics.jsonl"
  return [json.loads(line) for line in path.read_text().splitlines()]


def spoil(state, *places):
  """The state with a number of some members that is none."""
  params = {name: leaf.copy() for name, leaf in state.params.items()}
  for place in places:
    params["gain"][place] = np.nan
  return dataclasses.replace(state, params=params)


def test_a_restored_state_is_looked_at(run, capsys):
  """An older version may have saved it; a second start knows."""
  phase = tiny_network.tiny_phase(run)
  healthy = tiny_network.make_state(phase)
  assert begin(run, phase, 5, healthy).alive(phase).all()
  assert not (run.folder.path / "metrics.jsonl").exists()
  state = spoil(healthy, 2)
  found = begin(run, phase, 5, state)
  assert found.alive(phase).tolist() == [True, True, False, True]
  message = "diverged: seed 1, L2 0.01, λ 0.5: step 5 of joint\n"
  assert capsys.readouterr().err == message
  [line] = lines(run)
  assert (line["phase"], line["step"], line["diverged_at"]) == ("joint", 5, 5)
  again = begin(run, phase, 5, state)
  assert again.of(phase) == found.of(phase)
  assert lines(run) == [line]
  assert capsys.readouterr().err == ""
  # Back before that step, it has not happened yet.
  assert begin(run, phase, 4, healthy).alive(phase).all()
  assert lines(run) == []


def test_what_another_pretraining_has_lost_is_recorded(run):
  phase = tiny_network.tiny_phase(run)
  (lost,) = begin(run, phase, 0, spoil(tiny_network.make_state(phase), 2)).of(
    phase
  )
  member = dataclasses.replace(lost.member, loss_weight=None)
  lost = dataclasses.replace(lost, phase="pretrain", step=7, member=member)
  (run.folder.path / "metrics.jsonl").unlink()
  state = tiny_network.make_state(phase)
  for inherited in ([lost], [lost], []):  # The source may be gone later.
    found = begin(run, phase, 0, state, inherited)
    assert found.alive(phase).tolist() == [True, True, False, False]
    assert [(x["phase"], x["diverged_at"]) for x in lines(run)] == [
      ("pretrain", 7)
    ]


def test_processes_compare_the_weights_of_another_run(tmp_path, monkeypatch):
  """Each reads them from a folder that may be its own."""
  phase = tiny_network.make_run(tmp_path).phase("pretrain")
  weights = phase.create_state(), phase.population
  monkeypatch.setattr(run_lib, "pretrained_state", lambda run: weights)
  compared = {}
  monkeypatch.setattr(agreement, "on_data", compared.__setitem__)
  run = tiny_network.make_run(tmp_path, init_from=str(tmp_path / "other"))
  checkpoints = checkpoint.Checkpoints(run.folder.checkpoints("joint"))
  start.where_to_start(run, {"joint": checkpoints})
  checkpoints.close()
  assert compared == {
    f"the weights in {tmp_path / 'other'}": population.fingerprint(weights[0])
  }


def test_a_run_may_be_asked_to_stop(tmp_path):
  run = tiny_network.make_run(tmp_path, stop_on_divergence=True)
  phase = tiny_network.tiny_phase(run)
  state = tiny_network.make_state(phase)
  begin(run, phase, 5, state)
  with pytest.raises(errors.DivergedError, match=r"seed 0, L2 0\.01, λ 2"):
    begin(run, phase, 5, spoil(state, 1))


def test_the_newest_checkpoint_of_the_last_phase_comes_first(run, capsys):
  phases = {name: run.phase(name) for name in ("pretrain", "joint")}
  checkpoints = {
    name: checkpoint.Checkpoints(run.folder.checkpoints(name))
    for name in phases
  }
  found = start.where_to_start(run, checkpoints)
  assert (found.phase.name, found.step) == ("pretrain", 0)
  state = found.state
  checkpoints["pretrain"].save(3, state)
  checkpoints["pretrain"].wait()
  found = start.where_to_start(run, checkpoints)
  assert (found.phase.name, found.step) == ("pretrain", 3)
  np.testing.assert_array_equal(
    found.state.params["sr"]["output"]["kernel"],
    state.params["sr"]["output"]["kernel"],
  )
  assert "resuming pretrain at step 3 of " in capsys.readouterr().err
  for of_phase in checkpoints.values():
    of_phase.close()
