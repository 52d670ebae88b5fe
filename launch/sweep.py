"""Trains and evaluates every run of a sweep that has not finished.

Usage:
  python -m launch.sweep --sweep=FILE[:BUDGET] --workdir=FOLDER|URL
                         [--only NAME ...] [--set FIELD=VALUE]
                         [--mode=train|eval] [--at_once=N] [--retries=N]
                         [--stall=TIME] [--notify=URL|FILE]
                         [--dry-run | --status | --emit=KIND]
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
  --workdir=FOLDER|URL   Gets a folder and a log for each run, by its name. May
                         be in a bucket: gs://bucket/paper, s3://bucket/paper.
  --only NAME ...        Only these runs; * and ? stand for any letters.
  --set FIELD=VALUE      Changes a field of all runs, as --config.FIELD=VALUE
                         does for one; may be given several times. Retrained
                         SRMD keeps its one phase and its L2 of 0.
  --grid FIELD=VALUES    Makes a sweep of an experiment file (--sweep), with a
                         run for each combination of values: 0.11,9 or 0..9.
                         Seeds in a row, loss weights and L2 are one run's.
  --mode=train|eval      "eval" evaluates finished runs again; fields of `eval`
                         may differ then, as in sr2_jax.main.
  --at_once=N            Train up to N runs side by side on this machine's CPU,
                         each on its own share of the cores; 1 by default. On
                         two cores, two finish sooner than one after the other.
  --retries=N            How often a run that crashes is started again, from its
                         last checkpoint; 2 by default. A run that was stopped
                         from outside goes on as well, and is not counted.
  --stall=TIME           Kill a run, and start it again, that has shown no sign
                         of life for so long: 90s, 30m, 2h. 0 is never, and the
                         default on this machine; 30m is with --engine=ray.
  --notify=URL|FILE      Tell there which runs have finished or failed, and how
                         the sweep ended: {"text": ...} is posted to a URL, and
                         a line added to a file. The sweep never waits for it.
  --dry-run              List the runs and what they need. Start nothing.
  --status               Say how far the runs are. Works beside a sweep, and on
                         any machine that sees the folder.
  --help                 This text.

  --emit=KIND            Print a file that starts the runs elsewhere: jobset,
                         rayjob (Kubernetes), sbatch (Slurm), xpk or commands
                         (shell). Start nothing.
  --image=IMAGE          Container image of the runs; for Kubernetes.
  --volume=CLAIM:/PATH   Claim of a volume that all hosts share, and where it is
                         mounted; --workdir has to be below that.
  --queue=NAME           Queue of Kueue, or partition of Slurm.

  --engine=local|ray     "ray" starts runs on the slices of a Ray cluster, as
                         many at once as there are.
  --address=ADDRESS      Of the cluster; "auto" by default. emulate:2x2x2 starts
                         one here: slices x hosts x virtual chips.
                         emulate-gpu:2x4 has nodes x virtual GPUs.
  --wait=TIME            Give up after so long without a slice; 0 never does.
  --price=PER_CHIP_HOUR  What a chip costs an hour, as in 1.20: says what the
                         sweep has cost and will. There is no price by default.

What each run gets of a cluster:
  --accelerator=NAME     v4, v5e, v5p, v6e; a100, b200, h100, h200, l4.
  --topology=AxB         Of a TPU slice, as in 2x4.
  --chips_per_host=N     4, where a 2x4 is two hosts of four chips.
  --cut=AxB              2x2 or 1x1: runs share a host, each with such a part.
  --gpus=N               GPUs of a node that a run gets. With 1, eight runs
                         share a node of eight.
  --slices=N             Use at most so many at once.

Exit codes:
  0    every run has finished
  1    some have not; the table says which, and why
  2    something to fix in the command; one or two lines say what
  3    every run has finished, but members of some have diverged
  4    another sweep is using the folder; the message says which
  129  the terminal was closed: what ran was saved and stopped, and the same
       command goes on from there
  130  the same for Ctrl-C; a second one stops without saving
  143  the same for SIGTERM
"""

import contextlib
import importlib.util
import os
import sys
import textwrap
from collections.abc import Sequence

from launch import (
  attempts,
  bucket,
  driver,
  emit,
  engine,
  estimate,
  events,
  fill,
  local,
  notify,
  options,
  slices,
  tables,
)
from launch import jobs as jobs_lib
from launch import target as target_lib
from sr2_jax import errors, program, streams


@program.entry(stopped=None, needs_output=False)
def main(argv: Sequence[str] | None = None) -> int:
  """Runs a command line, program name first, and returns its exit code."""
  argv = sys.argv if argv is None else argv
  if program.asks_for_help(argv[1:]):
    print(f"{(__doc__ or '').strip()}\n\n{_rules()}")
    return errors.DONE
  asked = options.parse(argv[1:], engines=("local", "ray"))
  # To print files takes no look at the runs, unless a source is left out.
  runs = asked.workdir
  if asked.url and (asked.only or not asked.emit):
    runs = bucket.bring(asked.url, is_remote=asked.engine == "ray")
  jobs = jobs_lib.load(
    asked.sweep,
    runs,
    only=asked.only,
    settings=asked.settings,
    mode=asked.mode,
    grid=asked.grid,
    url=asked.url,
  )
  if asked.emit and asked.slice_ is not None:
    print(emit.emit(asked.emit, jobs, _target(asked, asked.slice_)), end="")
    streams.check_written()
    return errors.DONE
  if asked.action == "dry-run":
    print(_dry_run(asked, jobs))
    return errors.DONE
  if asked.action == "status":
    print(_status(asked, jobs))
    return errors.DONE
  signals = engine.Signals()
  folder = bucket.claimed(asked.url or str(asked.workdir))
  with folder, signals.listening():
    outcomes = _run(asked, jobs, signals)
    with _telling(asked) as tell:
      tell(tables.count(outcomes))
  print(_summary(asked, outcomes))
  if signals.received:
    return 128 + signals.received[0]
  if not all(outcome.is_good for outcome in outcomes):
    return 1
  has_diverged = any(o.state == engine.State.DIVERGED for o in outcomes)
  return errors.DIVERGED if has_diverged else errors.DONE


def _dry_run(asked: options.Options, jobs: Sequence[jobs_lib.Job]) -> str:
  speeds = estimate.Speeds.of(asked.workdir, asked.slice_)
  if asked.slice_ is None or asked.mode != "train":
    return tables.listing(jobs, speeds)
  plans = fill.plan(jobs, asked.slice_, speeds)
  return tables.plan(plans, asked.slice_, asked.price)


def _status(asked: options.Options, jobs: Sequence[jobs_lib.Job]) -> str:
  found = events.read(asked.workdir)
  name, chips = events.last_slice(found)
  if asked.slice_ is not None:
    name, chips = asked.slice_.name, asked.slice_.chips
  unfinished = [job.name for job in jobs if not job.folder.is_done]
  return tables.progress(
    jobs,
    estimate.Speeds.named(asked.workdir, name),
    attempts.tallies(found),
    slice_=name,
    chips=chips,
    price=asked.price,
    owners=bucket.owners(asked.url, unfinished) if asked.url else {},
  )


def _summary(asked: options.Options, outcomes: Sequence[engine.Outcome]) -> str:
  if asked.engine == "local" or asked.slice_ is None:
    return tables.summary(outcomes)
  return tables.summary(
    outcomes,
    attempts.tallies(events.read(asked.workdir)),
    slice_=asked.slice_.name,
    price=asked.price,
  )


def _run(
  asked: options.Options,
  jobs: Sequence[jobs_lib.Job],
  signals: engine.Signals,
) -> list[engine.Outcome]:
  """Runs the jobs on the engine that is asked for."""
  if asked.engine == "local" or asked.slice_ is None:
    with _telling(asked) as tell:
      return local.run(
        jobs,
        asked.workdir,
        signals=signals,
        policy=asked.policy,
        tell=tell,
        at_once=asked.at_once,
      )
  if importlib.util.find_spec("ray") is None:
    raise errors.UserError(
      '--engine=ray needs Ray: pip install "ray[default]>=2.60,<2.61".'
    )
  # Says of all runs at once what does not fit, before anything is started.
  fill.plan(jobs, asked.slice_, estimate.Speeds.of(asked.workdir, asked.slice_))
  try:
    return driver.run(lambda: _run_on_ray(asked, jobs, signals), signals)
  except driver.NoOutcomesError as error:
    print(f"{error}\nThe same command goes on.", file=sys.stderr)
    return driver.outcomes_without_it(jobs)


def _run_on_ray(
  asked: options.Options,
  jobs: Sequence[jobs_lib.Job],
  signals: engine.Signals,
) -> list[engine.Outcome]:
  # Takes a second; only here it is needed.
  from launch import cluster

  assert asked.slice_ is not None
  with _telling(asked) as tell:
    return cluster.run(
      jobs,
      asked.workdir,
      url=asked.url,
      signals=signals,
      policy=asked.policy,
      tell=tell,
      address=asked.address,
      slice_=asked.slice_,
      at_once=asked.slices,
      wait=asked.wait,
      price=asked.price,
    )


def _telling(
  asked: options.Options,
) -> contextlib.AbstractContextManager[notify.Tell]:
  title = asked.workdir.name or "sweep"
  if asked.engine == "ray" and asked.slice_:
    title = f"{tables.mark(asked.slice_.name)}{title}"
  return notify.telling(asked.notify, title=title)


def _target(asked: options.Options, slice_: slices.Slice) -> target_lib.Target:
  """Where the runs are to go whose files are asked for."""
  # Without "..", or it could lead out of what a pod mounts.
  workdir = asked.url or os.path.abspath(asked.workdir)
  return target_lib.Target(
    slice_=slice_,
    name=asked.workdir.name or "sweep",
    workdir=workdir,
    retries=asked.policy.retries,
    slices=asked.slices,
    image=asked.image,
    volume=asked.volume,
    queue=asked.queue,
    arguments=_of_the_sweep(asked, workdir),
  )


def _of_the_sweep(asked: options.Options, workdir: str) -> tuple[str, ...]:
  """The arguments that start the same sweep on a Ray cluster."""
  slice_, policy = asked.slice_, asked.policy
  assert slice_ is not None
  own = [
    f"--sweep={asked.sweep}",
    f"--workdir={workdir}",
    f"--mode={asked.mode}",
    "--engine=ray",
    f"--accelerator={slice_.accelerator}",
    *([f"--topology={slice_.topology}"] if slice_.topology else []),
    f"--chips_per_host={slice_.chips_per_host}"
    if slice_.topology
    else f"--gpus={slice_.chips}",
    f"--slices={asked.slices}",
    f"--retries={policy.retries}",
    f"--stall={policy.stall:.0f}s" if policy.stall else "--stall=0",
    *([f"--notify={asked.notify}"] if asked.notify else []),
    *([f"--price={asked.price}"] if asked.price else []),
  ]
  for flag, given in (("--set", asked.settings), ("--grid", asked.grid)):
    for field, value in given.items():
      own += [flag, f"{field}={value}"]
  return (*own, *(["--only", *asked.only] if asked.only else []))


def _rules() -> str:
  """What a run's exit code means here, as the end of the help."""
  rules = {
    **{str(code): rule for code, rule in attempts.RULES.items()},
    "other": attempts.CRASH,
  }
  lines = ["After a run's exit code, which `sr2_jax.main --help` explains:"]
  for code, rule in rules.items():
    lines += textwrap.wrap(
      f"{rule.end}: {rule.then}",
      80,
      initial_indent=f"  {code:<7}",
      subsequent_indent=" " * 9,
    )
  return "\n".join(lines)


if __name__ == "__main__":
  sys.exit(main())
