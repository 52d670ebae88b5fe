"""The report of one or several runs, from result rows alone; no JAX.

`python -m sr2_jax.report runs/quickstart` prints the tables of a run again and
redraws its curves; several runs go into one table.
"""

import argparse
import pathlib
import sys
from collections.abc import Iterable, Sequence

from sr2_jax import errors, results, tables

# Tabulated without being asked for.
_METRICS = ("ssim", "ssim_uniform7", "psnr_db", "accuracy")


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  flags = _parse(arguments)
  try:
    rows = [row for row in results.read(flags.runs) if row.split == flags.split]
    if not rows:
      raise errors.UserError(
        f"No rows of split {flags.split!r} in {', '.join(flags.runs)}.\n"
        "Choose another one with --split."
      )
    for kind in (tables.table, tables.corruption_table):
      for metric in flags.metric or _METRICS:
        table = kind(rows, metric=metric, split=flags.split)
        if table:
          print(table, end="\n\n")
    for path in _write_curves(rows, _folder(flags), split=flags.split):
      print(path)
  except errors.UserError as error:
    print(error, file=sys.stderr)
    return error.exit_code
  return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog="python -m sr2_jax.report",
    description="Prints the tables of one or several runs and redraws their "
    "curves, from the rows of results.jsonl alone.",
  )
  parser.add_argument(
    "runs",
    nargs="+",
    metavar="RUN",
    help="a run folder, a folder of run folders, or a file of result rows",
  )
  parser.add_argument(
    "--out",
    metavar="FOLDER",
    help="where figures go (default: images/ of the run, report/ for several)",
  )
  parser.add_argument(
    "--split", default="test", help="the split to report (default: test)"
  )
  parser.add_argument(
    "--metric",
    action="append",
    choices=results.METRICS,
    help=f"a metric to tabulate, repeatable (default: {', '.join(_METRICS)})",
  )
  return parser.parse_args(arguments)


def _folder(flags: argparse.Namespace) -> pathlib.Path:
  if flags.out is not None:
    return pathlib.Path(flags.out)
  run = pathlib.Path(flags.runs[0])
  if len(flags.runs) == 1 and (run / results.FILE_NAME).is_file():
    return run / "images"
  return pathlib.Path("report")


def _write_curves(
  rows: Iterable[results.Row], folder: pathlib.Path, *, split: str
) -> list[pathlib.Path]:
  """One figure for each data set and scale."""
  # Loads Matplotlib, which takes a second: not for --help.
  from sr2_jax import figures

  settings: dict[tuple[str, int], list[results.Row]] = {}
  for row in tables.over_noise(rows):
    if row.metric in figures.CURVES:
      settings.setdefault((row.dataset, row.scale), []).append(row)
  paths = []
  for (dataset, scale), chosen in settings.items():
    suffix = f"_{dataset}_x{scale}" if len(settings) > 1 else ""
    paths.append(folder / f"curves_{split}{suffix}.png")
    figures.curves(chosen, paths[-1], split=split)
  return paths


if __name__ == "__main__":
  sys.exit(main())
