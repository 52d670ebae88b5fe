"""Which networks were trained for as many epochs; no JAX.

Rows of one method may be of several budgets: of other runs, or of the same run
at other steps. What is compared has one.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from sr2_jax import names
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import subjects as subjects_lib


def shared(
  measurements: measurements_lib.Measurements,
  subjects: Iterable[subjects_lib.Subject],
) -> dict[subjects_lib.Budget, frozenset[int]]:
  """The budgets that all trained subjects have, with their common seeds.

  A subject after `pretrain` is of a budget if it is what `joint` started from.
  """
  after_joint, before = [], []
  for subject in subjects:
    if subject.method in names.UNTRAINED:
      continue
    joined = subject.loss_weight is not None
    (after_joint if joined else before).append(measurements.budgets(subject))
  first, *others = after_joint or before or [{}]
  result = {}
  for budget, seeds in first.items():
    common = set(seeds).intersection(*(x.get(budget, ()) for x in others))
    if after_joint:
      start = (budget[0], None)
      common = common.intersection(*(x.get(start, ()) for x in before))
    if common:
      result[budget] = frozenset(common)
  return result


def alike(
  measurements: measurements_lib.Measurements,
  subjects: Sequence[subjects_lib.Subject],
) -> list[subjects_lib.Subject] | None:
  """The subjects with the budget that most seeds share; of equals the longest.

  None if they share none: networks of other training are never compared.
  """
  if all(x.method in names.UNTRAINED for x in subjects):
    return [*subjects]
  found = shared(measurements, subjects)
  if not found:
    return None
  best = max(found, key=lambda x: (len(found[x]), *(part or 0 for part in x)))
  return [dataclasses.replace(x, budget=best) for x in subjects]


def text(budget: subjects_lib.Budget) -> str:
  """Epochs of `pretrain` and `joint`: "30 + 10"; "" if rows do not say."""
  parts = [f"{part:g}" for part in budget if part is not None]
  return " + ".join(parts)


def describe(
  measurements: measurements_lib.Measurements, subject: subjects_lib.Subject
) -> str:
  """The epochs of a subject's training; steps if rows do not say epochs."""
  source = measurements.source(subject)
  if source is None or set(source.steps) == {None}:
    return "—"
  if epochs := text(source.budget):
    return epochs
  start = "" if subject.loss_weight is None else "… + "
  return f"{start}{max(source.steps.values()):,} steps"
