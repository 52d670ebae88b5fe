"""Prints the table of a result file as Markdown, for docs/speed.md.

python -m benchmarks.table benchmarks/results/FILE.json
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import goals, records

HEADER = ("what", "ours", "PyTorch's", "ratio", "goal", "result")

# Load per core above which times mean nothing. A minute after other work ended,
# the load is still a third of what it was.
_BUSY = 0.4

MET, MISSED = "met", "missed"
NOT_MEASURED, FAILED = "not measured", "failed"


def number(value: float | None, unit: str) -> str:
  """A value with its unit, rounded as its precision allows; a dash for None."""
  if value is None:
    return "-"
  match unit:
    case "img/s":
      return f"{value:,.0f} {unit}"
    case "x":
      return f"{value:.2f}"
    case "GB":
      return f"{value:.2f} {unit}"
    case _:
      digits = 1 if abs(value) < 100 else 0
      return f"{value:,.{digits}f} {unit}"


def goal(row: goals.Row) -> str:
  """A row's goal, such as "≥ 1.0" or "≤ 60 s"; a dash if it has none."""
  if row.goal is None:
    return "-"
  if row.is_ratio:
    return f"≥ {row.goal:.1f}"
  return f"{'≥' if row.more else '≤'} {row.goal:g} {row.unit}"


def verdict(row: goals.Row, measurement: records.Measurement | None) -> str:
  """Met, missed, not measured, failed, or a dash if there is no goal."""
  if measurement is None:
    return NOT_MEASURED
  if measurement.error:
    return FAILED
  value = measurement.ratio if row.is_ratio else measurement.ours
  if value is None:
    return NOT_MEASURED
  if row.goal is None:
    return "-"
  sign = 1 if row.is_ratio or row.more else -1
  return MET if sign * value >= sign * row.goal else MISSED


def cells(
  row: goals.Row, measurement: records.Measurement | None
) -> tuple[str, ...]:
  """Cells of a row, in the order of `HEADER`."""
  shown = measurement or records.Measurement()
  # The geometric mean has only a ratio.
  ours = None if row.unit == "x" else shown.ours
  theirs = number(shown.theirs, row.unit)
  if row.other and shown.theirs is not None:
    theirs += f" ({row.other})"
  return (
    row.what,
    number(ours, row.unit),
    theirs,
    number(shown.ratio, "x"),
    goal(row),
    verdict(row, measurement),
  )


def markdown(record: records.Record) -> str:
  """Machine, table and notes."""
  rows = [cells(row, record.rows.get(name)) for name, row in goals.ROWS.items()]
  widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]

  def line(texts: Sequence[str]) -> str:
    padded = (t.ljust(w) for t, w in zip(texts, widths, strict=True))
    return f"| {' | '.join(padded)} |"

  rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
  table = "\n".join((line(HEADER), rule, *map(line, rows)))
  return "\n\n".join(
    part for part in (_heading(record), table, _notes(record)) if part
  )


def _heading(record: records.Record) -> str:
  machine = record.machine
  packages = ", ".join(
    f"{name} {version}" for name, version in machine["packages"].items()
  )
  return (
    f"{machine['date']}, {machine['cores']} cores of {machine['processor']}, "
    f"{machine['system']}, Python {machine['python']}, {packages}; revision "
    f"{machine['git_revision']}"
    + ("; quick: few samples" if record.is_quick else "")
    + _busy(machine)
    + "."
  )


def _busy(machine: Mapping[str, Any]) -> str:
  """A warning if the machine was busy when the measurements began."""
  load = machine["load_average"]
  if load is None or load[0] < _BUSY * machine["cores"]:
    return ""
  return f"; BUSY WITH OTHER WORK (load {load[0]:.1f}): ignore these numbers"


def _notes(record: records.Record) -> str:
  """Notes of the measurements as a list, equal notes only once."""
  titles: dict[str, dict[str, None]] = {}
  for name, row in goals.ROWS.items():
    measurement = record.rows.get(name, records.Measurement())
    note, title = measurement.note, row.what
    if measurement.error:
      note = f"failed: {measurement.error}"
    elif row.kind == "training":
      title = "training step"
    if note:
      titles.setdefault(note, {})[title] = None
  return "\n".join(
    f"* {'; '.join(names)}: {note}" for note, names in titles.items()
  )


def main(argv: Sequence[str]) -> int:
  """Prints the table of one file, and returns the exit code."""
  parser = argparse.ArgumentParser(
    prog="python -m benchmarks.table",
    description="Prints the table of a result file as Markdown.",
  )
  parser.add_argument("file", help="a file in benchmarks/results")
  path = parser.parse_args(argv).file
  try:
    print(markdown(records.read(path)))
  except (OSError, ValueError) as error:
    print(error, file=sys.stderr)
    return 2
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
