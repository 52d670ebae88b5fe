"""Lines of metrics.jsonl: one for each member that has not diverged before."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from sr2_jax.records import divergence, metrics_log
from sr2_jax.training import phase as phase_lib


def of_call(
  phase: phase_lib.Phase,
  call: range,
  values: Mapping[str, np.ndarray],
  *,
  before: np.ndarray,
  after: np.ndarray,
  every: int,
) -> list[dict[str, Any]]:
  """Lines of a call: every `every` steps and at the phase's end.

  A member that diverges has its last line at that step, whatever `every` is.

  Args:
    phase: of the call.
    call: its steps, counted from 0.
    values: metrics, {name: [M, K]} with K >= len(call).
    before: who was alive before the call, bool [M].
    after: who was alive after each of its steps, bool [M, K].
    every: steps between two lines.
  """
  lines = []
  for index, step in enumerate(call):
    is_due = (step + 1) % every == 0 or step + 1 == phase.num_steps
    now = after[:, index]
    lines += of_step(
      "train",
      phase,
      step + 1,
      {name: value[:, index] for name, value in values.items()},
      shown=before if is_due else before & ~now,
      alive=now,
    )
    before = before & now
  return lines


def of_step(
  kind: str,
  phase: phase_lib.Phase,
  step: int,
  values: Mapping[str, np.ndarray],
  *,
  shown: np.ndarray,
  alive: np.ndarray,
) -> list[dict[str, Any]]:
  """Lines of a step, the last ones of those members that are not alive.

  Args:
    kind: "train" or "validation".
    phase: of the step.
    step: done in that phase.
    values: metrics, {name: [M]}.
    shown: who gets a line, bool [M].
    alive: who has not diverged at this step, bool [M].
  """
  return [
    {
      "kind": kind,
      "phase": phase.name,
      "step": step,
      **dataclasses.asdict(member),
      **{name: float(value[place]) for name, value in values.items()},
      **({} if alive[place] else {metrics_log.DIVERGED_AT: step}),
    }
    for place, member in enumerate(phase.population.members)
    if shown[place]
  ]


def of_divergence(end: divergence.Divergence) -> dict[str, Any]:
  """The line of a member that another run's pretraining has lost."""
  return {
    "kind": "train",
    "phase": end.phase,
    "step": end.step,
    **dataclasses.asdict(end.member),
    metrics_log.DIVERGED_AT: end.step,
  }
