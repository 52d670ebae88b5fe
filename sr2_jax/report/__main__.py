"""The report of one or several runs, from their folders; no JAX.

`python -m sr2_jax.report runs/quickstart` prints the tables of a run again and
redraws its curves; several runs go into one table. With --out, or for several
runs, a page that compares them with the paper is written as well.
"""

import argparse
import pathlib
import shlex
import sys
from collections.abc import Iterable, Sequence

from sr2_jax import errors, names, paths
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import divergences, reading, tables
from sr2_jax.report.paper import measurements as measurements_lib

# The default of --metric.
_METRICS = (
  "ssim_uniform7_range2", "ssim_uniform7", "ssim", "psnr_db", "accuracy",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  flags = _parse(arguments)
  try:
    flags.runs = [paths.local(run, "RUN") for run in flags.runs]
    if flags.out is not None:
      flags.out = paths.local(flags.out, "--out")
    found = [
      (row, file)
      for row, file in reading.read(flags.runs).rows
      if row.split == flags.split
    ]
    rows = [row for row, _ in found]
    if not rows:
      raise errors.UserError(
        f"No rows of split {flags.split!r} in {', '.join(flags.runs)}.\n"
        "Choose another split with --split."
      )
    for kind in (tables.table, tables.corruption_table):
      for metric in flags.metric or _METRICS:
        table = kind(rows, metric=metric, split=flags.split)
        if table:
          print(table, end="\n\n")
    note = divergences.note(dict.fromkeys(file.parent for _, file in found))
    if note:
      print(note, end="\n\n")
    for path in _write_curves(rows, _folder(flags), split=flags.split):
      print(path)
    if flags.out is not None or not _is_run(flags):
      for path in _write_page(flags):
        print(path)
  except errors.UserError as error:
    print(error, file=sys.stderr)
    return error.exit_code
  except OSError as error:
    print(f"{error.filename or 'report'}: {error.strerror}.", file=sys.stderr)
    return errors.TO_FIX
  return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog="python -m sr2_jax.report",
    description="Prints the tables of one or several runs and redraws their "
    "curves, from the rows of results.jsonl. With --out, or for several runs, "
    "also writes report.html and report.md, which compare the paper's tables, "
    "figures and claims with what the runs measured.",
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
    help="where the page and its figures go (default: report/ for several "
    "runs; one run gets no page, and its curves go into its images/)",
  )
  parser.add_argument(
    "--split", default="test", help="the split to report (default: test)"
  )
  parser.add_argument(
    "--metric",
    action="append",
    choices=names.METRICS,
    help=f"a metric to tabulate, repeatable (default: {', '.join(_METRICS)})",
  )
  return parser.parse_args(arguments)


def _folder(flags: argparse.Namespace) -> pathlib.Path:
  if flags.out is not None:
    return pathlib.Path(flags.out)
  if _is_run(flags):
    return pathlib.Path(flags.runs[0]) / "images"
  return pathlib.Path("report")


def _is_run(flags: argparse.Namespace) -> bool:
  """Whether the command names one run and nothing else."""
  run = pathlib.Path(flags.runs[0])
  return len(flags.runs) == 1 and (run / rows_lib.FILE_NAME).is_file()


def _write_page(flags: argparse.Namespace) -> list[pathlib.Path]:
  """Writes the page; returns the paths of its two forms."""
  # Imported here, because they load Matplotlib, which takes a second.
  from sr2_jax.report.paper import page as page_lib
  from sr2_jax.report.paper import values as paper_values

  folder = _folder(flags)
  words = ["python", "-m", "sr2_jax.report", *flags.runs]
  if flags.split != "test":
    words += ["--split", flags.split]
  measurements = measurements_lib.read(
    flags.runs,
    split=flags.split,
    stand_ins=paper_values.STAND_INS,
    l2=paper_values.L2,
  )
  paths = page_lib.write(
    measurements, folder, command=shlex.join([*words, "--out", str(folder)])
  )
  return paths[-2:]


def _write_curves(
  rows: Iterable[rows_lib.Row], folder: pathlib.Path, *, split: str
) -> list[pathlib.Path]:
  """Draws one figure for each data set and scale; returns their paths."""
  # Imported here, because it loads Matplotlib, which takes a second.
  from sr2_jax.report import figures

  settings: dict[tuple[str, int], list[rows_lib.Row]] = {}
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
