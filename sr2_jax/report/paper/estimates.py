"""Weighted sums of measurements, with intervals; no JAX.

Differences, differences of differences, slopes and thresholds are all weighted
sums of cells (subject, metric, condition). A sum is formed for each seed, from
that seed's numbers only, and for each image. These paired values give 95 %
t-intervals over the seeds (training) and over the images (test set).
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from sr2_jax.records import rows as rows_lib
from sr2_jax.report import intervals
from sr2_jax.report.paper import budgets
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import subjects as subjects_lib

_Seeds = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Term:
  """A cell and its weight in a sum."""

  weight: float
  subject: subjects_lib.Subject
  metric: str
  condition: rows_lib.Condition


@dataclasses.dataclass(frozen=True)
class Estimate:
  """The value of a sum.

  Attributes:
    value: mean over the seeds.
    seeds: those that all of its cells have; empty if none is trained.
    over_seeds: None for fewer than two seeds.
    over_images: of the images' sums, each a mean over the seeds; None if a cell
      has no scores of single images.
    num_images: images behind `over_images`.
    by_seed: the sum of each seed; empty for a ratio.
    budget: the epochs behind it, as `Subject` has them.
  """

  value: float
  seeds: tuple[int, ...]
  over_seeds: intervals.Interval | None
  over_images: intervals.Interval | None
  num_images: int
  by_seed: tuple[float, ...] = ()
  budget: subjects_lib.Budget | None = None


def estimate(
  measurements: measurements_lib.Measurements, terms: Sequence[Term]
) -> Estimate | None:
  """The weighted sum, or None if a cell was not run.

  Untrained methods (seed None) count the same for every seed. Cells of
  different images, or of networks trained for different epochs, are not
  compared: None, and a note in the measurements.
  """
  terms = _alike(measurements, terms)
  cells = _cells(measurements, terms)
  seeds = _common_seeds(cells)
  if not seeds:
    return None
  sums = [
    math.fsum(
      term.weight * _of_seed(cell, seed)
      for term, cell in zip(terms, cells, strict=True)
    )
    for seed in seeds
  ]
  images = _per_image(measurements, terms, cells, seeds)
  return Estimate(
    value=float(np.mean(sums)),
    seeds=tuple(seed for seed in seeds if seed is not None),
    over_seeds=intervals.interval(sums),
    over_images=intervals.interval(images),
    num_images=len(images),
    by_seed=tuple(sums),
    budget=terms[0].subject.budget,
  )


def relative(
  measurements: measurements_lib.Measurements,
  numerator: Term,
  denominator: Term,
) -> Estimate | None:
  """Relative excess of the numerator's mean over the denominator's.

  r = mean(a) / mean(b) - 1 over the common seeds. Its intervals are those of
  the paired values (a - (1 + r) b) / mean(b) over seeds and over images (delta
  method), so that what a seed or an image does to both cancels. The weights of
  the terms do not count. None as in `estimate`.
  """
  numerator, denominator = _alike(measurements, (numerator, denominator))
  cells = _cells(measurements, (numerator, denominator))
  seeds = _common_seeds(cells)
  if not seeds:
    return None
  above, below = (
    np.array([_of_seed(cell, seed) for seed in seeds]) for cell in cells
  )
  if not below.mean() > 0:
    return None
  ratio = float(above.mean() / below.mean())
  of_seeds = (above - ratio * below) / below.mean()
  weights = (1 / below.mean(), -ratio / below.mean())
  images = _per_image(
    measurements,
    [
      dataclasses.replace(term, weight=float(weight))
      for term, weight in zip((numerator, denominator), weights, strict=True)
    ],
    cells,
    seeds,
  )
  return Estimate(
    value=ratio - 1,
    seeds=tuple(seed for seed in seeds if seed is not None),
    over_seeds=_around(ratio - 1, of_seeds),
    over_images=_around(ratio - 1, images),
    num_images=len(images),
    budget=numerator.subject.budget,
  )


def _around(value: float, spread: np.ndarray) -> intervals.Interval | None:
  """An interval around a value, as wide as that of the spread's mean."""
  found = intervals.interval(spread)
  return found and dataclasses.replace(found, mean=value)


def _alike(
  measurements: measurements_lib.Measurements, terms: Sequence[Term]
) -> list[Term]:
  """The terms, of networks trained for as many epochs."""
  subjects = list(dict.fromkeys(term.subject for term in terms))
  if not all(subject in measurements for subject in subjects):
    return [*terms]  # There is nothing to compare.
  alike = budgets.alike(measurements, subjects)
  if alike is None:
    methods = " and ".join(f"`{x.method}`" for x in subjects)
    measurements.note(
      f"{methods} at x{subjects[0].scale} are not compared: no seed has both "
      "after as many epochs."
    )
    # Of no epochs there are no rows.
    alike = [dataclasses.replace(x, budget=(-1, -1)) for x in subjects]
  chosen = dict(zip(subjects, alike, strict=True))
  return [
    dataclasses.replace(term, subject=chosen[term.subject]) for term in terms
  ]


def _cells(
  measurements: measurements_lib.Measurements, terms: Sequence[Term]
) -> list[dict[int | None, float]]:
  """The values of each term by seed; [{}] if terms are of different images."""
  found = {}
  for term in terms:
    cell = (term.subject, term.metric, term.condition)
    found[measurements.num_images(*cell)] = term
  if len(found.keys() - {None}) > 1:
    measured = (
      f"`{term.subject.method}` on {count:,} images"
      for count, term in found.items()
      if count is not None
    )
    measurements.note(
      f"`{terms[0].metric}` is not compared: {', '.join(measured)}."
    )
    return [{}]
  return [
    measurements.by_seed(term.subject, term.metric, term.condition)
    for term in terms
  ]


def _common_seeds(cells: Sequence[dict[int | None, float]]) -> _Seeds:
  """Seeds that all trained cells have; (None,) if none is trained."""
  if not all(cells):
    return ()
  trained = [set(cell) for cell in cells if set(cell) != {None}]
  if not trained:
    return (None,)
  shared = set.intersection(*trained)
  return tuple(sorted(seed for seed in shared if seed is not None))


def _of_seed(cell: dict[int | None, float], seed: int | None) -> float:
  return cell[seed] if seed in cell else cell[None]


def _per_image(
  measurements: measurements_lib.Measurements,
  terms: Sequence[Term],
  cells: Sequence[dict[int | None, float]],
  seeds: _Seeds,
) -> np.ndarray:
  """Each image's sum, mean over the seeds: [N]; [0] without single scores."""
  shares = []
  for term, cell in zip(terms, cells, strict=True):
    for seed in seeds:
      scores = measurements.per_image(
        term.subject,
        term.metric,
        term.condition,
        seed if seed in cell else None,
      )
      if scores is None or (shares and scores.shape != shares[0].shape):
        return np.zeros(0)
      shares.append(term.weight / len(seeds) * scores)
  return np.sum(shares, axis=0)
