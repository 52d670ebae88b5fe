"""The evaluation of a phase's networks, while they train and at the end."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

from sr2_jax.evaluation import batch_norm, evaluate, methods
from sr2_jax.records import rows as rows_lib
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import population
from sr2_jax.training import run as run_lib

# Variables by the statistics that they have, as rows name these.
OfKinds = Mapping[str | None, Any]


class PhaseEvaluation:
  """Evaluates the networks of a phase; each program is compiled once.

  Args:
    run: configuration, images and devices.
    phase: what trains the networks.

  Attributes:
    phase: as given.
    validate: as from `evaluate.validation`.
  """

  def __init__(self, run: run_lib.Run, phase: phase_lib.Phase) -> None:
    self.phase = phase
    self._run = run
    self._estimator = batch_norm.Estimator(run, phase)
    self._layout = run.layout.of(phase.population.size)
    self._programs = evaluate.programs(run, phase.network.apply, self._layout)
    # The statistics estimated last, by the fingerprint of their weights.
    self._estimated: dict[str, Any] = {}
    self.validate = evaluate.validation(run, phase, self._estimator)

  def with_statistics(
    self, variables: Any, *, stoppable: bool = True
  ) -> OfKinds:
    """The variables with each kind of statistics, the preferred one first.

    There are re-estimated ones if `eval.batch_norm` names them. Without
    BatchNorm the only kind is None. Of the same weights as in the call before,
    as the last ones often are the best ones, nothing is estimated again.

    Args:
      variables: of the population as training left them, NumPy arrays [M, ...].
      stoppable: obey a signal between two batches.
    """
    if not variables["batch_stats"]:
      return {None: variables}
    config = self._run.config
    if "reestimated" not in config.eval.batch_norm:
      return {"running": variables}
    weights = population.fingerprint(variables)
    if weights not in self._estimated:
      stop_if_asked = functools.partial(evaluate.stop_if_asked, self._run)
      statistics = self._estimator(
        self._layout.put_members(variables),
        num_batches=config.eval.batch_norm_batches,
        before_batch=stop_if_asked if stoppable else None,
      )
      self._estimated = {weights: statistics}
    reestimated = {**variables, "batch_stats": self._estimated[weights]}
    return {"reestimated": reestimated, "running": variables}

  def rehearse(self, variables: Any) -> None:
    """Evaluates a batch, so that too little memory shows before training.

    Args:
      variables: as `with_statistics` takes them.

    Raises:
      NoRoomError: if a program needs more memory than is free.
    """
    batch = next(evaluate.batches(self._run, self._run.config.eval.splits[0]))
    weights = evaluate.placed(self._layout, variables)
    for program in self._programs:
      jax.block_until_ready(program.start_with(weights)(batch))

  def evaluations(
    self,
    of_kinds: OfKinds,
    steps_done: Sequence[int],
    *,
    places: Sequence[int] | None = None,
    only_rows: bool = False,
    stoppable: bool = True,
  ) -> Iterator[evaluate.Evaluation]:
    """Evaluations with each kind of statistics that `eval.batch_norm` names.

    Only the first has more than rows: arrays and pictures are of one kind.

    Args:
      of_kinds: from `with_statistics`.
      steps_done: training steps of each member.
      places: of the members to evaluate; None: all.
      only_rows: leave the rest out of the first as well.
      stoppable: obey a signal between two batches.
    """
    for kind, variables in of_kinds.items():
      if kind is not None and kind not in self._run.config.eval.batch_norm:
        continue
      method = methods.of_phase(
        self._run,
        self.phase,
        variables,
        steps_done=steps_done,
        batch_norm=kind,
        places=places,
      )
      yield evaluate.evaluate(
        self._run,
        method,
        self._programs,
        only_rows=only_rows,
        stoppable=stoppable,
      )
      only_rows = True

  def rows_while_training(
    self, variables: Any, step: int, *, places: Sequence[int] | None = None
  ) -> list[rows_lib.Row]:
    """Rows of a step that training goes on from; signals have to wait.

    Args:
      variables: as `with_statistics` takes them.
      step: of every member.
      places: of the members to evaluate; None: all.
    """
    of_kinds = self.with_statistics(variables, stoppable=False)
    return [
      row
      for evaluation in self.evaluations(
        of_kinds,
        [step] * self.phase.population.size,
        places=places,
        only_rows=True,
        stoppable=False,
      )
      for row in evaluation.rows
    ]
