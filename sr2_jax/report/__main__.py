"""The report of one or several runs, from their folders; no JAX.

`python -m sr2_jax.report runs/quickstart` prints the tables of a run again and
redraws its curves. With --out, or for several runs, it writes a page that
compares them with the paper or, on other data sets, SR² with its control. It
prints what that page says in short. With --csv it writes all rows as one table
instead.
"""

import argparse
import pathlib
import shlex
import sys
from collections.abc import Iterable, Sequence

from sr2_jax import errors, names, paths, program
from sr2_jax.buckets import address, copies
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import csv_file, divergences, reading, tables

# The default of --metric.
_METRICS = (
  "ssim_uniform7_range2", "ssim_uniform7", "ssim", "psnr_db", "accuracy",
)  # fmt: skip


@program.entry()
def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  flags = _parse(arguments)
  flags.typed = flags.runs
  flags.runs = [
    paths.local(copies.bring(run, "RUN", copies.is_of_rows), "RUN")
    for run in flags.runs
  ]
  if flags.out is not None:
    flags.out = paths.local(flags.out, "--out")
  if flags.csv is not None:
    return _write_csv(flags)
  flags.split = flags.split or "test"
  found = reading.read(flags.runs)
  rows = [row for row, _ in found.rows if row.split == flags.split]
  if not rows:
    raise errors.UserError(
      f"No rows of split {flags.split!r} in {', '.join(flags.typed)}.\n"
      "Choose another split with --split."
    )
  has_page = flags.out is not None or not _is_run(flags)
  if flags.metric or not has_page:
    _print_tables(rows, flags.metric or _METRICS, split=flags.split)
  folders = dict.fromkeys(
    file.parent for row, file in found.rows if row.split == flags.split
  )
  if note := divergences.note(folders):
    print(note, end="\n\n")
  if has_page:
    _write_page(flags, found)
  else:
    for path in _write_curves(rows, flags):
      print(path)
  return errors.DONE


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
  parser = program.Parser(
    prog="python -m sr2_jax.report",
    description="Prints the tables of a run and redraws its curves, from the "
    "rows of results.jsonl. With --out, or for several runs, writes "
    "report.html and report.md instead, which compare the paper's tables, "
    "figures and claims with what the runs measured, and have a section for "
    "each other data set. With --csv, writes all rows as one table and nothing "
    "else.",
  )
  parser.add_argument(
    "runs",
    nargs="+",
    metavar="RUN",
    help="a run folder, a folder of run folders or of files of result rows, or "
    "such a file; or a URL of a bucket, as --workdir of a run or sweep",
  )
  parser.add_argument(
    "--out",
    metavar="FOLDER",
    help="where the page and its figures go (default: report/ for several "
    "runs; one run gets no page)",
  )
  parser.add_argument("--split", help="the split to report (default: test)")
  parser.add_argument(
    "--metric",
    action="append",
    choices=names.METRICS,
    help="a metric to tabulate, repeatable (default: "
    f"{', '.join(_METRICS)}, if there is no page)",
  )
  parser.add_argument(
    "--csv",
    metavar="FILE",
    help="where all rows go as CSV, of every split and step (see docs/rows.md)",
  )
  parser.add_argument(
    "--force", action="store_true", help="replace the file of --csv"
  )
  return parser.parse_args(arguments)


def _write_csv(flags: argparse.Namespace) -> int:
  """Writes every row of the runs; says how many, and where."""
  for flag in ("out", "split", "metric"):
    if getattr(flags, flag) is not None:
      raise errors.UserError(
        f"--csv takes all rows and makes no page; leave --{flag} out."
      )
  path = pathlib.Path(paths.local(flags.csv, "--csv"))
  found = rows_lib.read_with_files(flags.runs)
  count = csv_file.write(path, found, force=flags.force)
  num_files = len({file for _, file in found})
  print(f"{path}: {count:,} rows of {num_files:,} files")
  return errors.DONE


def _is_run(flags: argparse.Namespace) -> bool:
  """Whether the command names one run and nothing else."""
  run = pathlib.Path(flags.runs[0])
  return len(flags.runs) == 1 and (run / rows_lib.FILE_NAME).is_file()


def _print_tables(
  rows: Sequence[rows_lib.Row], metrics: Iterable[str], *, split: str
) -> None:
  for kind in (tables.table, tables.corruption_table):
    for metric in metrics:
      table = kind(rows, metric=metric, split=split)
      if table:
        print(table, end="\n\n")


def _write_page(flags: argparse.Namespace, found: reading.Found) -> None:
  """Writes the page; prints its summary and the paths of its two forms."""
  # Imported here, because they load Matplotlib, which takes a second.
  from sr2_jax.report.paper import measurements as measurements_lib
  from sr2_jax.report.paper import page as page_lib

  folder = flags.out or "report"
  words = ["python", "-m", "sr2_jax.report", *flags.typed]
  if flags.split != "test":
    words += ["--split", flags.split]
  paths, summary = page_lib.write(
    measurements_lib.of_the_paper(found, split=flags.split),
    pathlib.Path(folder),
    command=shlex.join([*words, "--out", folder]),
  )
  print(summary)
  for path in paths[-2:]:
    print(path)


def _write_curves(
  rows: Sequence[rows_lib.Row], flags: argparse.Namespace
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
    # Of a bucket there is only a copy here.
    is_copy = address.is_url(flags.typed[0])
    folder = pathlib.Path("report" if is_copy else flags.runs[0]) / "images"
    paths.append(folder / f"curves_{flags.split}{suffix}.png")
    figures.curves(chosen, paths[-1], split=flags.split)
  return paths


if __name__ == "__main__":
  sys.exit(main())
