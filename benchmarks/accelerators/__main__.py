"""Compiles for TPUs and GPUs that are not there.

python -m benchmarks.accelerators

No program runs, and nothing is timed. TPU programs come with the compiler's
estimate of their cycles, GPU programs with the number of their kernels.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import machine
from benchmarks.accelerators import compiling, programs, table
from sr2_jax import files

_RESULTS = machine.ROOT / "benchmarks" / "results" / "accelerators.json"


def main(argv: Sequence[str]) -> int:
  """Compiles, writes each row as it comes, prints tables; the exit code."""
  arguments = _parser().parse_args(argv)
  try:
    chosen = _choose(arguments)
    rows = _read(arguments.out)
  except (OSError, ValueError) as error:
    print(error, file=sys.stderr)
    return 2
  for number, row in enumerate(compiling.rows(chosen), 1):
    rows[row["name"]] = row
    _write(arguments.out, rows)
    outcome = row["error"] or f"{row['seconds']} s"
    print(f"{number}/{len(chosen)} {row['name']}: {outcome}", file=sys.stderr)
  print(table.markdown({x.name: rows[x.name] for x in chosen}))
  return 0


def _choose(arguments: argparse.Namespace) -> list[programs.Program]:
  """Programs that are asked for and that a compiler is here for.

  Raises:
    ValueError: if there is none.
  """
  chosen = programs.select(arguments.programs, every=arguments.all)
  for platform, needed in compiling.NEEDED.items():
    if arguments.only not in (platform, None):
      chosen = [x for x in chosen if x.platform != platform]
    elif not compiling.is_installed(platform):
      chosen = [x for x in chosen if x.platform != platform]
      print(
        f"no compiler for a {platform} here: {needed.install}", file=sys.stderr
      )
  if not chosen:
    raise ValueError("nothing to compile")
  return chosen


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m benchmarks.accelerators",
    description=(__doc__ or "").partition("\n")[0],
  )
  parser.add_argument(
    "programs",
    nargs="*",
    help='names or patterns, such as "v5e-4/members/*/loop/1/float32"',
  )
  parser.add_argument("--only", choices=("tpu", "gpu"))
  parser.add_argument("--all", action="store_true", help="every program")
  parser.add_argument(
    "--out", type=pathlib.Path, default=_RESULTS, help="file of the results"
  )
  return parser


def _read(path: pathlib.Path) -> dict[str, dict[str, Any]]:
  """Rows by name; none if the file does not exist.

  Raises:
    ValueError: if it is another kind of file.
  """
  if not path.exists():
    return {}
  try:
    return {row["name"]: row for row in json.loads(path.read_text())}
  except (TypeError, KeyError, ValueError) as error:
    raise ValueError(
      f"{path} has no rows of this benchmark; name another file with --out"
    ) from error


def _write(path: pathlib.Path, rows: dict[str, dict[str, Any]]) -> None:
  """A JSON list with one row a line, in the order of `programs.everything`."""
  names = [program.name for program in programs.everything()]
  ordered = [rows[name] for name in names if name in rows]
  text = ",\n".join(json.dumps(row, ensure_ascii=False) for row in ordered)
  files.write_atomically(path, f"[\n{text}\n]\n".encode())


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
