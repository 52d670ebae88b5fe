"""Measures speed and memory against PyTorch, and prints the table.

Needs PyTorch and scikit-image: pip install -r requirements-dev.txt
torch==2.13.0. Do not use the machine for anything else meanwhile.
"""

import argparse
import dataclasses
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks import effort as effort_lib
from benchmarks import (
  evaluation,
  goals,
  machine,
  memory,
  programs,
  records,
  sides,
  table,
  training,
)

RESULTS = pathlib.Path(__file__).parent / "results"


@dataclasses.dataclass(frozen=True)
class Context:
  """Resources for measuring a row.

  Attributes:
    both: the worker processes.
    effort: how much to measure.
    measured: rows that have been measured before.
  """

  both: sides.Sides
  effort: effort_lib.Effort
  measured: dict[str, records.Measurement]


# Functions that measure a row, by its kind.
MEASURE: dict[str, Callable[[goals.Row, Context], records.Measurement]] = {
  "training": lambda row, it: training.measure(row, it.both, it.effort),
  "geometric_mean": lambda row, it: training.geometric_mean(it.measured),
  "inputs": lambda row, it: training.inputs(it.measured),
  "evaluation": lambda row, it: evaluation.measure(it.both, it.effort),
  "evaluation_rate": lambda row, it: evaluation.rate(it.measured),
  "population": lambda row, it: programs.population(),
  "quickstart_cold": lambda row, it: programs.quickstart(),
  "quickstart_warm": lambda row, it: programs.quickstart_warm(it.measured),
  "first_step": lambda row, it: programs.first_step(it.effort),
  "memory": lambda row, it: memory.measure(it.effort),
}


def measure(name: str, context: Context) -> records.Measurement:
  """Outcome of one row; an error is an outcome, so that other rows continue."""
  begin = time.perf_counter()
  row = goals.ROWS[name]
  try:
    outcome = MEASURE[row.kind](row, context)
  except Exception as error:
    message = " ".join(f"{type(error).__name__}: {error}".split())
    outcome = records.Measurement(error=message)
  seconds = round(time.perf_counter() - begin, 1)
  return dataclasses.replace(outcome, seconds=seconds)


def measure_all(
  names: Sequence[str], *, quick: bool, path: pathlib.Path
) -> records.Record:
  """Measurements of rows; each is written to the file at once."""
  record = records.Record(machine.describe(), quick, {})
  with sides.Sides() as both:
    context = Context(
      both, effort_lib.QUICK if quick else effort_lib.FULL, record.rows
    )
    for name in names:
      print(f"measuring {name}", file=sys.stderr, flush=True)
      record.rows[name] = outcome = measure(name, context)
      both.clear()
      row = goals.ROWS[name]
      _, ours, theirs, ratio, *_, verdict = table.cells(row, outcome)
      text = outcome.error or f"{ours}, {theirs}, ratio {ratio}: {verdict}"
      print(f"  {text} ({outcome.seconds:.0f} s)", file=sys.stderr, flush=True)
      record.write(path)
  return record


def main(argv: Sequence[str]) -> int:
  """Runs one command line; the exit code is 1 if a row failed."""
  parser = _parser()
  arguments = parser.parse_args(argv)
  if arguments.show:
    return table.main([arguments.show])
  try:
    names = goals.select(arguments.only, quick=arguments.quick)
  except ValueError as error:
    parser.error(f"{error}; the rows are {', '.join(goals.ROWS)}")
  path = arguments.out or RESULTS / machine.file_name(
    machine.describe(), quick=arguments.quick
  )
  record = measure_all(names, quick=arguments.quick, path=path)
  print(table.markdown(record))
  print(f"\nAll samples are in {path}.", file=sys.stderr)
  return 1 if any(row.error for row in record.rows.values()) else 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m benchmarks.run",
    description=__doc__,
    epilog="Rows: " + ", ".join(goals.ROWS) + ".",
  )
  parser.add_argument(
    "--quick",
    action="store_true",
    help="fewer networks and samples, in about two minutes",
  )
  parser.add_argument(
    "--only",
    nargs="+",
    default=[],
    metavar="ROW",
    help='measure only these rows; patterns such as "sr2_*" work',
  )
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    metavar="FILE",
    help="result file; default: benchmarks/results/<date>-<machine>.json",
  )
  parser.add_argument(
    "--show", metavar="FILE", help="only print the table of a result file"
  )
  return parser


if __name__ == "__main__":
  # The exception lets `Sides` end its processes.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
  sys.exit(main(sys.argv[1:]))
