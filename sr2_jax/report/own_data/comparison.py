"""What classification adds on a user's own images; no JAX.

As on the page against the paper this is SR² less its control. But a network
counts whatever its loss weight is, and SSIM is that of Wang et al.
"""

import dataclasses
from collections.abc import Sequence

from sr2_jax import names
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import tables
from sr2_jax.report.own_data import starts
from sr2_jax.report.paper import (
  budgets,
  claim_cards,
  effect_figure,
  estimates,
  subjects,
  verdicts,
)
from sr2_jax.report.paper import measurements as measurements_lib

_FAMILIES = ("sr2", "sr_continued")
_SENTENCES = {
  verdicts.Verdict.HOLDS: "Classification helps super-resolution.",
  verdicts.Verdict.FAILS: "Classification costs super-resolution.",
  verdicts.Verdict.EQUIVALENT: "Classification changes super-resolution by "
  "nothing that matters.",
  verdicts.Verdict.UNDECIDED: "Whether classification helps super-resolution "
  "is undecided.",
  verdicts.Verdict.ONE_SEED: "Whether classification helps super-resolution "
  "needs a second seed.",
}


def pairs(
  measurements: measurements_lib.Measurements, dataset: str, scale: int
) -> list[effect_figure.Pair]:
  """Every SR² network of a data set and scale that has its control.

  A control belongs to the networks that start from the same pretraining.
  """
  all_starts = starts.find(measurements.rows)
  networks: dict[subjects.Subject, list[str]] = {}
  for row, _ in measurements.rows:
    family = names.method(row.method).family
    if (row.dataset, row.scale) == (dataset, scale) and family in _FAMILIES:
      network = subjects.Subject(
        row.method, dataset, scale, row.shared_layers, row.loss_weight
      )
      if row.experiment not in networks.setdefault(network, []):
        networks[network].append(row.experiment)
  found: dict[subjects.Subject, subjects.Subject] = {}
  for network, experiments in networks.items():
    method = names.method(network.method)
    control = dataclasses.replace(
      network, method=f"sr_continued_{method.trunk}", loss_weight=0.0
    )
    if method.family != "sr2" or control not in networks:
      continue
    for start in dict.fromkeys(all_starts[name] for name in experiments):
      belonging = start.best([(all_starts[x], x) for x in networks[control]])
      own = tuple(name for name in experiments if all_starts[name] == start)
      if belonging:
        found[dataclasses.replace(network, experiments=own)] = (
          dataclasses.replace(control, experiments=belonging)
        )
  return [
    effect_figure.Pair(_name(own, [*found]), own, control, metric="ssim")
    for own, control in found.items()
    if own in measurements and control in measurements
  ]


def _name(of: subjects.Subject, among: Sequence[subjects.Subject]) -> str:
  """The trunk, with what sets it apart from others."""
  parts = [names.TRUNKS[names.method(of.method).trunk or ""].title]
  same = [other for other in among if other.method == of.method]
  if len({other.shared_layers for other in same}) > 1:
    parts.append(f"{of.shared_layers} shared")
  if len({other.loss_weight for other in same}) > 1:
    parts.append(f"λ = {of.loss_weight:g}")
  if len({other.experiments for other in same}) > 1:
    parts.append(" and ".join(of.experiments or ()))
  return ", ".join(parts)


def sentence(
  measurements: measurements_lib.Measurements,
  pair: effect_figure.Pair,
  level: float,
) -> str:
  """What was found at a noise variance, with its number."""
  part = verdicts.Part(
    text=pair.name,
    terms=tuple(
      estimates.Term(weight, subject, pair.metric, rows_lib.Condition(level))
      for weight, subject in ((1.0, pair.proposed), (-1.0, pair.control))
    ),
  )
  estimate = pair.estimate(measurements, level)
  if estimate is None:
    return f"**Not comparable:** SR² {pair.name} and its control."
  verdict = verdicts.judge_part(part, estimate, estimate.over_seeds)
  count = tables.number_of_seeds(len(estimate.seeds))
  text = (
    f"**{_SENTENCES[verdict]}** SR² {pair.name} less its control is "
    f"{claim_cards.number(estimate, part)} in SSIM at σ² = "
    f"{tables.display_number(level)}, over {count}"
  )
  epochs = budgets.text(estimate.budget or (None, None))
  return f"{text} after {epochs} epochs." if epochs else f"{text}."
