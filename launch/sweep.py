"""Trains and evaluates every run of a sweep that has not finished.

Usage:
  python -m launch.sweep --sweep=FILE[:BUDGET] --workdir=FOLDER
                         [--only NAME ...] [--set FIELD=VALUE]
                         [--mode=train|eval] [--dry-run]
Installed with pip, sr2-sweep is the same command.

Examples:
  python -m launch.sweep --sweep=experiments/paper.py:cpu --workdir=runs/paper
      The whole paper in hours on two cores, one run after another. The same
      command skips runs that have finished and resumes the others.
  python -m launch.sweep --sweep=experiments/paper.py:smoke --workdir=runs/smoke
      All its networks for a hundred steps, on digits that need no download.
  python -m launch.sweep --sweep=experiments/table1.py:cpu \\
      --workdir=runs/paper --only "mnist_*fsrcnn_x4" --dry-run
      List the runs of a sweep, and how far each has come.
  python -m launch.sweep --sweep=experiments/paper.py:cpu \\
      --workdir=runs/paper --only "mnist_sr_continued_fsrcnn_*" --mode=eval \\
      --set eval.srmd.weights=package --set eval.srmd.pca=srmd_pca_matlab.mat
      Evaluate trained runs again, with the released SRMD beside them.

Flags:
  --sweep=FILE[:BUDGET]  Sweep file, and a budget of experiments/runs.py:
                         "paper" (the default), "cpu" or "smoke"; or "gpu" of
                         experiments/paper.py. A file that begins with
                         experiments/ and is not here is taken from those that
                         come with sr2_jax.
  --workdir=FOLDER       Gets a folder and a log for each run, by its name.
  --only NAME ...        Only these runs; * and ? stand for any letters.
  --set FIELD=VALUE      Changes a field of all runs, as --config.FIELD=VALUE
                         does for one; may be given several times. Retrained
                         SRMD keeps its one phase and its L2 of 0.
  --mode=train|eval      "eval" evaluates finished runs again; fields of `eval`
                         may differ then, as in sr2_jax.main.
  --dry-run              Start nothing.
  --help                 This text.

Exit codes:
  0    every run has finished
  1    some have not; the table says which, and why
  2    something to fix in the command; one or two lines say what
  3    every run has finished, but members of some have diverged
  4    another sweep is using the folder; the message says which
  129  the terminal was closed: the running run was saved and stopped, and the
       same command goes on from there
  130  the same for Ctrl-C; a second one stops that run without saving
  143  the same for SIGTERM
"""

import argparse
import pathlib
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from launch import engine, estimate, local, status
from launch import jobs as jobs_lib
from sr2_jax import errors, paths
from sr2_jax.records import folder as folder_lib

ENGINES: dict[str, engine.Engine] = {"local": local.run}


class _Parser(argparse.ArgumentParser):
  def error(self, message: str) -> NoReturn:
    raise errors.UserError(f"{message}.\n--help explains all flags.")


def main(argv: Sequence[str] | None = None) -> int:
  """Runs a command line, program name first, and returns its exit code."""
  argv = sys.argv if argv is None else argv
  if any(argument in ("-h", "-help", "--help") for argument in argv[1:]):
    print(f"{(__doc__ or '').strip()}\n\n{_rules()}")
    return errors.DONE
  try:
    arguments = _parse(argv[1:])
    workdir = pathlib.Path(
      paths.for_checkpoints(arguments.workdir, "--workdir")
    )
    jobs = jobs_lib.load(
      paths.local(arguments.sweep, "--sweep"),
      workdir,
      only=arguments.only,
      settings=_settings(arguments.set),
      mode=arguments.mode,
    )
    if arguments.dry_run:
      print(listing(jobs, estimate.Speeds(workdir / "speeds.json")))
      return 0
    signals = engine.Signals()
    with folder_lib.RunFolder(workdir).claim(), signals.listening():
      outcomes = ENGINES["local"](jobs, workdir, signals=signals)
  except errors.UserError as error:
    print(error, file=sys.stderr)
    return error.exit_code
  print(summary(outcomes))
  if signals.received:
    return 128 + signals.received[0]
  if not all(outcome.is_good for outcome in outcomes):
    return 1
  has_diverged = any(o.state == engine.State.DIVERGED for o in outcomes)
  return errors.DIVERGED if has_diverged else errors.DONE


def _rules() -> str:
  """What a run's exit code means here, as the end of the help."""
  rules = {
    **{str(code): rule for code, rule in engine.RULES.items()},
    "other": engine.CRASH,
  }
  lines = ["After a run's exit code, which `sr2_jax.main --help` explains:"]
  for code, rule in rules.items():
    lines += textwrap.wrap(
      f"{rule.state}: {rule.then}",
      80,
      initial_indent=f"  {code:<7}",
      subsequent_indent=" " * 9,
    )
  return "\n".join(lines)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
  parser = _Parser(add_help=False, allow_abbrev=False)
  parser.add_argument("--sweep", required=True)
  parser.add_argument("--workdir", required=True)
  parser.add_argument("--only", nargs="+", default=[])
  parser.add_argument("--set", action="append", default=[])
  parser.add_argument("--mode", choices=("train", "eval"), default="train")
  parser.add_argument("--dry-run", action="store_true")
  return parser.parse_args(arguments)


def _settings(typed: Sequence[str]) -> dict[str, str]:
  """{field: value} of FIELD=VALUE arguments."""
  settings: dict[str, Any] = {}
  for text in typed:
    field, equals, value = text.partition("=")
    if not equals:
      raise errors.UserError(
        f'--set has to be FIELD=VALUE, as in eval.clip=true, not "{text}".'
      )
    settings[field.removeprefix("config.")] = value
  return settings


def listing(jobs: Sequence[jobs_lib.Job], speeds: estimate.Speeds) -> str:
  """A table of the runs: how far each has come, and its number of steps."""
  lines, is_official = [], False
  if all(job.mode == "eval" for job in jobs):
    states = [
      (job.name, "to be evaluated" if job.folder.is_done else "not finished")
      for job in jobs
    ]
    return "\n".join(_aligned([("run", "state"), *states]))
  for job in jobs:
    parts = status.parts(job)
    steps = "unknown before its images are read"
    if parts is not None:
      mark = "" if status.has_recorded(job) else "~"
      is_official = is_official or bool(mark)
      steps = ", ".join(
        f"{part.phase} {mark}{part.num_steps:,} x {part.num_members}"
        for part in parts
      )
    lines.append((job.name, status.in_words(job), steps))
  text = _aligned([("run", "state", "steps x members"), *lines])
  text.append("")
  if is_official:
    text.append("~ by the official size of the data set; yours may be smaller")
  text.append(f"{len(jobs)} runs: {estimate.overall(jobs, speeds)}.")
  return "\n".join(text)


def summary(outcomes: Sequence[engine.Outcome]) -> str:
  """A table of what became of each run, and why those that failed did."""
  rows = [("run", "state", "time")]
  for outcome in outcomes:
    seconds = outcome.seconds
    time = "-" if seconds is None else estimate.duration(seconds)
    rows.append((outcome.name, outcome.state, time))
  text = ["", *_aligned(rows)]
  for outcome in outcomes:
    if outcome.reason:
      text += ["", f"{outcome.name} {outcome.state}:"]
      text += [f"  {line}" for line in outcome.reason.splitlines()]
  return "\n".join(text)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


if __name__ == "__main__":
  sys.exit(main())
