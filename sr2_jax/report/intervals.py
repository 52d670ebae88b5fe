"""Means of results and their 95 % t-intervals; no JAX."""

import collections
import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sr2_jax.records import rows as rows_lib


@dataclasses.dataclass(frozen=True)
class Interval:
  """The middle of a 95 % interval and half its width, which may be nan."""

  mean: float
  half_width: float

  @property
  def low(self) -> float:
    """Lower end."""
    return self.mean - self.half_width

  @property
  def high(self) -> float:
    """Upper end."""
    return self.mean + self.half_width


def interval(values: Sequence[float] | np.ndarray) -> Interval | None:
  """Mean of values and its t-interval; None for fewer than two values."""
  values = np.asarray(values, np.float64)
  count = len(values)
  if count < 2:
    return None
  mean = float(values.mean())
  if not np.isfinite(values).all():
    return Interval(mean, math.nan)
  # scipy.stats has the same quantile, but takes seconds to import.
  from scipy import special

  quantile = float(special.stdtrit(count - 1, 0.975))
  return Interval(mean, quantile * float(values.std(ddof=1)) / math.sqrt(count))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
  """One metric of one method at one noise level, over its seeds.

  Attributes:
    mean: mean over the seeds.
    half_width: half the 95 % t-interval of that mean; None for one seed.
    seeds: the seeds, sorted; empty for bicubic.
    n: images behind each value; the fewest, if seeds differ in that.
    n_max: the most.

  The other attributes are those of Row.
  """

  experiment: str
  method: str
  dataset: str
  split: str
  scale: int
  shared_layers: int | None
  l2: float | None
  loss_weight: float | None
  phase: str
  batch_norm: str | None
  noise_variance: float
  corruption: str | None
  corruption_level: float | None
  metric: str
  mean: float
  half_width: float | None
  seeds: tuple[int, ...]
  n: int
  n_max: int


_GROUP = tuple(
  field.name
  for field in dataclasses.fields(Summary)
  if field.name in rows_lib.FIELDS and field.name != "n"
)


def summarize(rows: Iterable[rows_lib.Row]) -> list[Summary]:
  """Mean, 95 % t-interval and seeds of each group of rows.

  A group is all rows that agree in everything but seed, step, epochs, value and
  n. Of several rows of one seed in a group, the last one counts. Groups come in
  the order of their first row.

  Only `rows.current` count. A line of a table therefore never mixes weights of
  different steps, such as the best checkpoint and the last, nor re-estimated
  statistics of BatchNorm with running ones.
  """
  groups: dict[tuple[Any, ...], dict[int | None, rows_lib.Row]] = (
    collections.defaultdict(dict)
  )
  for row in rows_lib.current(rows):
    group = tuple(getattr(row, name) for name in _GROUP)
    groups[group][row.seed] = row
  summaries = []
  for group, members in groups.items():
    values = [row.value for row in members.values()]
    over_seeds = interval(values)
    summaries.append(
      Summary(
        **dict(zip(_GROUP, group, strict=True)),
        mean=float(np.mean(values)),
        half_width=None if over_seeds is None else over_seeds.half_width,
        seeds=tuple(sorted(seed for seed in members if seed is not None)),
        n=min(row.n for row in members.values()),
        n_max=max(row.n for row in members.values()),
      )
    )
  return summaries
