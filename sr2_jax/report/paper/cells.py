"""Formats measurements as table cells; no JAX."""

from collections.abc import Collection

from sr2_jax.records import rows as rows_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report import intervals
from sr2_jax.report.paper import estimates as estimates_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import subjects as subjects_lib

NOT_RUN = blocks_lib.Cell("— not run", "missing")


def mean(
  measurements: measurements_lib.Measurements,
  subject: subjects_lib.Subject,
  metric: str,
  condition: rows_lib.Condition,
  *,
  seeds: Collection[int] | None = None,
) -> str | blocks_lib.Cell:
  """Mean ± half the interval over some seeds; over all if None is given."""
  values = [
    value
    for seed, value in measurements.by_seed(subject, metric, condition).items()
    if seeds is None or seed in seeds
  ]
  if not values:
    return NOT_RUN
  interval = intervals.interval(values)
  if interval is None:
    return f"{values[0]:.3f}"
  return f"{interval.mean:.3f} ± {interval.half_width:.3f}"


def number_of_seeds(
  measurements: measurements_lib.Measurements,
  subject: subjects_lib.Subject,
  metric: str,
  condition: rows_lib.Condition,
) -> str:
  """Number of seeds behind a mean, or why it has none."""
  values = measurements.by_seed(subject, metric, condition)
  if not values:
    return "—"
  if set(values) == {None}:
    return "no training" if subject.method == "bicubic" else "released"
  return str(len(values))


def difference(
  estimate: estimates_lib.Estimate | None,
) -> str | blocks_lib.Cell:
  """Text such as "+0.0320 ± 0.0015"."""
  if estimate is None:
    return NOT_RUN
  text = f"{estimate.value:+.4f}"
  if estimate.over_seeds is not None:
    text += f" ± {estimate.over_seeds.half_width:.4f}"
  return minus_sign(text)


def percentage(
  estimate: estimates_lib.Estimate | None,
) -> str | blocks_lib.Cell:
  """Text such as "+30.3 ± 1.2 %"."""
  if estimate is None:
    return NOT_RUN
  text = f"{100 * estimate.value:+.1f}"
  if estimate.over_seeds is not None:
    text += f" ± {100 * estimate.over_seeds.half_width:.1f}"
  return minus_sign(f"{text} %")


def minus_sign(text: str) -> str:
  """Numbers as typeset, with a minus as wide as their plus."""
  return text.replace("-", "−")
