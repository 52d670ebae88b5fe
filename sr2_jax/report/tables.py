"""Tables of result rows as plain text, and their lines; no JAX."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sr2_jax import names
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import intervals

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclasses.dataclass(frozen=True)
class Line:
  """Fields that identify a line of a table or a curve of a figure."""

  method: str
  experiment: str
  phase: str
  shared_layers: int | None
  l2: float | None
  loss_weight: float | None


def table(rows: Iterable[rows_lib.Row], *, metric: str, split: str) -> str:
  """Method x noise variance as plain text, mean ± half the 95 % interval.

  A star marks the best of each column. There is one block for each data set and
  scale: "" if no row has that metric and split.
  """
  chosen = [
    row
    for row in over_noise(rows)
    if (row.metric, row.split) == (metric, split)
  ]
  return "\n\n".join(
    "\n".join(_block(summaries)) for summaries in settings(chosen).values()
  )


def corruption_table(
  rows: Iterable[rows_lib.Row], *, metric: str, split: str
) -> str:
  """Method x level of each corruption as plain text, as in `table`.

  There is one part for each data set and scale, with a block for each
  corruption.
  """
  chosen = [
    row
    for row in rows
    if row.corruption and (row.metric, row.split) == (metric, split)
  ]
  return "\n\n".join(
    "\n".join(_corruption_blocks(summaries))
    for summaries in settings(chosen).values()
  )


def over_noise(rows: Iterable[rows_lib.Row]) -> list[rows_lib.Row]:
  """The rows of Gaussian noise, without those of corruptions."""
  return [row for row in rows if row.corruption is None]


def settings(
  rows: Iterable[rows_lib.Row],
) -> dict[tuple[str, int], list[intervals.Summary]]:
  """The summaries of each (data set, scale)."""
  # Untrained methods are the same in every experiment; they get one line.
  rows = [
    dataclasses.replace(row, experiment="") if row.phase == "none" else row
    for row in rows
  ]
  groups: dict[tuple[str, int], list[intervals.Summary]] = {}
  for summary in intervals.summarize(rows):
    groups.setdefault((summary.dataset, summary.scale), []).append(summary)
  return groups


def lines(
  summaries: Iterable[intervals.Summary],
) -> dict[Line, dict[float, intervals.Summary]]:
  """The lines of one data set and scale, each by noise variance, in order.

  Lines are in the order of `names.FAMILIES`, and each line's noise variances
  ascend. Summaries of one corruption are ordered by its levels instead.
  """
  found: dict[Line, dict[float, intervals.Summary]] = {}
  for summary in sorted(summaries, key=_level):
    fields = dataclasses.fields(Line)
    line = Line(
      **{field.name: getattr(summary, field.name) for field in fields}
    )
    found.setdefault(line, {})[_level(summary)] = summary
  return {line: found[line] for line in sorted(found, key=_order)}


def labels(
  of_lines: Iterable[Line], *, name_of: Callable[[str], str]
) -> dict[Line, str]:
  """A name for each line: its method, and how it differs from others."""
  qualifiers: dict[str, Callable[[Any], str]] = {
    "loss_weight": lambda value: f"λ={value:g}",
    "l2": lambda value: f"L2={value:g}",
    "shared_layers": lambda value: f"{value} shared",
    "experiment": str,
    "phase": str,
  }
  found = {}
  for line in of_lines:
    parts = [name_of(line.method)]
    same = [other for other in of_lines if other.method == line.method]
    for field, text in qualifiers.items():
      value = getattr(line, field)
      alike = [other for other in same if getattr(other, field) == value]
      if len(alike) < len(same) and value is not None:
        parts.append(text(value))
        same = alike
    found[line] = ", ".join(parts)
  return found


def count_seeds(summaries: Iterable[intervals.Summary]) -> str:
  """Number of seeds in words: "1 seed", "2-3 seeds", "no training"."""
  counts = {len(summary.seeds) for summary in summaries} - {0}
  if not counts:
    return "no training"
  low, high = min(counts), max(counts)
  return number_of_seeds(low) if low == high else f"{low}-{high} seeds"


def number_of_seeds(count: int) -> str:
  """A number of seeds in words: "1 seed" or "2 seeds"."""
  return f"{count} seed{'s' if count > 1 else ''}"


def number(value: float) -> str:
  """A number in short, with its power of ten: 0, 1e-5, 3.2e-5, 1e-2."""
  if value == 0:
    return "0"
  mantissa, exponent = f"{value:.6e}".split("e")
  return f"{float(mantissa):g}e{int(exponent)}"


def display_number(value: float) -> str:
  """A number for figures and the page, as 3.2·10⁻⁵."""
  mantissa, _, exponent = number(value).partition("e")
  if not exponent:
    return mantissa
  power = "10" + exponent.translate(_SUPERSCRIPTS)
  return power if mantissa == "1" else f"{mantissa}·{power}"


def _level(summary: intervals.Summary) -> float:
  if summary.corruption_level is not None:
    return summary.corruption_level
  return summary.noise_variance


def _order(line: Line) -> tuple[Any, ...]:
  return (
    names.FAMILIES.index(names.method(line.method).family),
    line.method,
    line.shared_layers or 0,
    *(-1.0 if x is None else x for x in (line.l2, line.loss_weight)),
    line.experiment,
    line.phase,
  )


def _block(summaries: Sequence[intervals.Summary]) -> list[str]:
  """The table of one metric, data set, split and scale."""
  text = _grid(summaries, heading="noise variance", number_of=number)
  return [*_title(summaries), *text]


def _corruption_blocks(summaries: Sequence[intervals.Summary]) -> list[str]:
  """The table of one metric, data set, split and scale, by corruption."""
  text = _title(summaries)
  for corruption in names.CORRUPTIONS.values():
    chosen = [x for x in summaries if x.corruption == corruption.key]
    if chosen:
      text += [
        "",
        *_grid(chosen, heading=corruption.title, number_of="{:g}".format),
      ]
  return text


def _title(summaries: Sequence[intervals.Summary]) -> list[str]:
  """Title of a table, and how to read its cells."""
  first = summaries[0]
  fewest = min(summary.n for summary in summaries)
  most = max(summary.n_max for summary in summaries)
  images = "-".join(f"{count:,}" for count in dict.fromkeys((fewest, most)))
  title = (
    f"{names.METRICS[first.metric].title}: {first.dataset} {first.split}, "
    f"x{first.scale}, {images} images, {count_seeds(summaries)}"
  )
  note = "* best of its column"
  if any(summary.half_width is not None for summary in summaries):
    note = "mean ± half the 95 % interval over seeds; " + note
  return [title, note]


def _grid(
  summaries: Sequence[intervals.Summary],
  *,
  heading: str,
  number_of: Callable[[float], str],
) -> list[str]:
  """A line for each method, a column for each level."""
  by_line = lines(summaries)
  columns = [[heading, *labels(by_line, name_of=str).values()]]
  for level in sorted(set(map(_level, summaries))):
    entries = [entries.get(level) for entries in by_line.values()]
    columns.append([number_of(level), *_cells(entries, summaries[0].metric)])

  widths = [max(map(len, column)) for column in columns]
  # A star or a blank ends each cell, so one more blank is enough if need be.
  gap = "  " if sum(widths) + 2 * (len(widths) - 1) <= 100 else " "
  text = [
    gap.join(map(str.ljust, row, widths)) for row in zip(*columns, strict=True)
  ]
  rule = "-" * max(map(len, text))
  return [text[0].rstrip(), rule, *map(str.rstrip, text[1:])]


def _cells(
  entries: Sequence[intervals.Summary | None], metric: str
) -> list[str]:
  """The cells of a column, aligned at their points, ± and stars."""
  decimals = names.METRICS[metric].decimals
  means, halves = [], []
  for entry in entries:
    half = None if entry is None else entry.half_width
    means.append("-" if entry is None else f"{entry.mean:.{decimals}f}")
    # Eight noise levels fit a terminal without the interval's leading zero.
    halves.append(
      "" if half is None else f"{half:.{decimals}f}".removeprefix("0")
    )
  finite = [x.mean for x in entries if x is not None and math.isfinite(x.mean)]
  best = (min if names.METRICS[metric].less_is_better else max)(
    finite, default=None
  )
  mean_width, half_width = max(map(len, means)), max(map(len, halves))
  return [
    mean.rjust(mean_width)
    + (half and "±" + half.rjust(half_width))
    + ("*" if entry is not None and entry.mean == best else " ")
    for entry, mean, half in zip(entries, means, halves, strict=True)
  ]
