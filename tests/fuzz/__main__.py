"""Changes files and commands at random, and shows what nobody has thought of.

  python -m tests.fuzz --minutes=10
  python -m tests.fuzz --only=report --seed=7 --cases=500
  python -m tests.fuzz --case='{"target": "report", ...}'

A case that fails is shown with the command that plays it again, and is added to
tests/fuzz/corpus, which the tests play. Exit code 1 if any has failed.
"""

import argparse
import collections
import dataclasses
import itertools
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Sequence

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from tests.fuzz import cases, draws, oracle, targets


def main(arguments: Sequence[str] | None = None) -> int:
  options = _parse(arguments)
  with tempfile.TemporaryDirectory() as folder:
    world = oracle.World(pathlib.Path(folder), targets.TARGETS)
    if options.case:
      problem = world.play(cases.parse(options.case))
      print(f"{problem.kind}\n{problem.details}" if problem else "good")
      return int(problem is not None)
    return _search(world, options)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog="python -m tests.fuzz",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("--minutes", type=float, default=1.0)
  parser.add_argument("--cases", type=int, help="instead of --minutes")
  parser.add_argument("--only", choices=targets.TARGETS, action="append")
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--case")
  parser.add_argument(
    "--dry", action="store_true", help="add nothing to the corpus"
  )
  return parser.parse_args(arguments)


def _search(world: oracle.World, options: argparse.Namespace) -> int:
  """Plays cases of all targets until there were enough of them."""
  began = time.monotonic()
  seconds, counts = collections.Counter[str](), collections.Counter[str]()
  found = collections.Counter[tuple[str, str]]()
  names = options.only or list(targets.TARGETS)
  for number in itertools.count():
    is_over = time.monotonic() - began > 60 * options.minutes
    if is_over if options.cases is None else number == options.cases:
      break
    # What is quick gets more cases; what takes their number has them in turn.
    quickest = min(names, key=lambda name: seconds[name])
    name = quickest if options.cases is None else names[number % len(names)]
    start = time.monotonic()
    case = draws.case(world, targets.TARGETS, name, options.seed, number)
    problem = world.play(case)
    seconds[name] += time.monotonic() - start
    counts[name] += 1
    if problem is not None:
      found[name, problem.kind] += 1
      if found[name, problem.kind] == 1:
        _show(case, problem, keeps=not options.dry)
  print(f"\n{counts.total():,} cases, {len(found)} kinds of problems")
  for name in names:
    print(f"  {name:16} {counts[name]:6,} cases, {seconds[name]:6.1f} s")
  for (name, kind), count in found.items():
    print(f"  {count:6} x {name}: {kind}")
  return int(bool(found))


def _show(case: cases.Case, problem: oracle.Problem, *, keeps: bool) -> None:
  """Shows a problem, and adds its case to the corpus."""
  case = dataclasses.replace(case, why=problem.kind)
  print(f"\n{case.target}: {problem.kind}\n{problem.details}")
  print(f"python -m tests.fuzz --case={_quoted(str(case))}", flush=True)
  if keeps:
    cases.keep(case)


def _quoted(text: str) -> str:
  return "'" + text.replace("'", "'\\''") + "'"


if __name__ == "__main__":
  sys.exit(main())
