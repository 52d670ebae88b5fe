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
  """The t-interval of a mean.

  Attributes:
    mean: its middle.
    standard_error: of the mean; may be nan.
    count: values behind the mean, at least two.
    error_rate: how often such an interval misses; 0.05 for 95 %.
  """

  mean: float
  standard_error: float
  count: int
  error_rate: float = 0.05

  @property
  def half_width(self) -> float:
    """Half its width."""
    # scipy.stats has the same quantile, but takes seconds to import.
    from scipy import special

    quantile = special.stdtrit(self.count - 1, 1 - self.error_rate / 2)
    return float(quantile) * self.standard_error

  @property
  def low(self) -> float:
    """Lower end."""
    return self.mean - self.half_width

  @property
  def high(self) -> float:
    """Upper end."""
    return self.mean + self.half_width

  def p_value(self, value: float) -> float:
    """That of the two-sided t-test of the mean against a value."""
    from scipy import special

    distance = abs(self.mean - value)
    if self.standard_error == 0:
      return float(distance == 0)
    t = distance / self.standard_error
    return 2 * float(special.stdtr(self.count - 1, -t))


def interval(values: Sequence[float] | np.ndarray) -> Interval | None:
  """Mean of values and its 95 % interval; None for fewer than two values."""
  values = np.asarray(values, np.float64)
  count = len(values)
  if count < 2:
    return None
  mean = float(values.mean())
  if not np.isfinite(values).all():
    return Interval(mean, math.nan, count)
  return Interval(mean, float(values.std(ddof=1)) / math.sqrt(count), count)


def holm(p_values: Sequence[float], *, error_rate: float) -> list[float]:
  """The error rate at which Holm's method judges each of several tests.

  From the smallest p-value up, each test has the error rate divided by the
  number of tests that are left. After the first test that fails, the others
  have its rate. A test is significant if its p-value is below its rate. The
  chance of one or more false findings is then at most `error_rate`.

  Args:
    p_values: of the tests; nan is never significant.
    error_rate: of all tests together.
  """
  rates = [0.0] * len(p_values)
  order = sorted(
    range(len(p_values)),
    key=lambda i: math.inf if math.isnan(p_values[i]) else p_values[i],
  )
  rate, all_significant = 0.0, True
  for place, index in enumerate(order):
    if all_significant:
      rate = error_rate / (len(order) - place)
      all_significant = p_values[index] < rate
    rates[index] = rate
  return rates


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
