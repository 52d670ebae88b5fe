"""What a sweep comes to: its runs, checked, and how far each has come.

A sweep file defines `sweep(budget)`, which returns `experiments.runs.Run`s.
"""

import dataclasses
import fnmatch
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from experiments import runs
from sr2_jax import errors, main
from sr2_jax.config import derived, fields, record
from sr2_jax.data import published
from sr2_jax.records import folder as folder_lib

# Fields that tell the networks of a sweep apart.
_OF_NAMES = (
  "degradation.scale", "model.shared_layers", "model.trunk", "model.wiring",
)  # fmt: skip
# Bytes from the end of metrics.jsonl that surely hold a row.
_TAIL = 1 << 16


@dataclasses.dataclass(frozen=True)
class Job:
  """A run of a sweep, ready to be started.

  Attributes:
    name: of the run.
    folder: of the run.
    config: resolved.
    arguments: of `python -m sr2_jax.main`.
    source: the run whose pretraining it starts from.
    mode: "train", or "eval": what has been trained is evaluated again.
  """

  name: str
  folder: folder_lib.RunFolder
  config: ml_collections.FrozenConfigDict
  arguments: tuple[str, ...]
  source: str | None
  mode: str = "train"


@dataclasses.dataclass(frozen=True)
class Part:
  """A phase of a job.

  Attributes:
    phase: "pretrain" or "joint".
    kind: what its speed depends on.
    num_members: of the population.
    num_steps: of the phase.
  """

  phase: str
  kind: str
  num_members: int
  num_steps: int


def load(
  sweep: str,
  workdir: str | os.PathLike[str],
  *,
  only: Sequence[str] = (),
  settings: Mapping[str, str] | None = None,
  mode: str = "train",
) -> list[Job]:
  """The runs of a sweep in their order, each checked as `main` would.

  Args:
    sweep: a sweep file, perhaps with a budget: "experiments/paper.py:cpu".
    workdir: the folder of all run folders.
    only: globs; runs that match none are left out.
    settings: {field: value} for all runs, as typed on a command line, but for
      fields that a run has fixed.
    mode: of all jobs.

  Raises:
    UserError: names what is wrong.
  """
  found = _read(sweep)
  if only:
    for glob in only:
      if not fnmatch.filter([run.name for run in found], glob):
        raise errors.UserError(
          f"--only {glob} matches no run of {sweep}; --dry-run lists them."
        )
    found = [
      run
      for run in found
      if any(fnmatch.fnmatchcase(run.name, glob) for glob in only)
    ]
  for field in settings or {}:
    if field not in fields.CHECKS:
      raise errors.UserError(fields.unknown_field(field))
    if field in ("experiment", "init_from"):
      raise errors.UserError(f"config.{field} is set by {sweep} in each run.")
    if field in _OF_NAMES:
      raise errors.UserError(
        f"config.{field} is what the runs of {sweep} are named after; --only "
        "chooses among them."
      )
  # The same spelling however the folder was typed: it is part of the configs.
  workdir = pathlib.Path(workdir).absolute()
  if workdir.is_relative_to(pathlib.Path.cwd()):
    workdir = workdir.relative_to(pathlib.Path.cwd())
  names = [run.name for run in found]
  for run in found:
    source = run.init_from
    if (
      mode == "train"
      and source
      and source not in names
      and not (workdir / source).exists()
    ):
      raise errors.UserError(
        f"{run.name} starts from {source}, which --only leaves out and which "
        f"is not in {workdir}."
      )
  return [_job(run, workdir, settings or {}, mode) for run in found]


def _read(sweep: str) -> list[runs.Run]:
  """The runs that a sweep file returns."""
  path, _, budget = sweep.partition(".py:")
  arguments = (budget,) if budget else ()
  path = f"{path}.py" if budget else sweep.removesuffix(":")
  found = main.call_file(path, "sweep", *arguments, kind="sweep file")
  if (
    not isinstance(found, list)
    or not found
    or not all(isinstance(run, runs.Run) for run in found)
  ):
    raise errors.UserError(
      f"The sweep file {path} has to define sweep(budget) that returns a list "
      "of experiments.runs.Run, as experiments/paper.py does."
    )
  names: list[str] = []
  for run in found:
    if run.name in names:
      raise errors.UserError(f"{path}: two runs are called {run.name}.")
    if run.init_from is not None and run.init_from not in names:
      raise errors.UserError(
        f"{path}: {run.name} starts from {run.init_from}, which is not a run "
        "before it."
      )
    names.append(run.name)
  return found


def _job(
  run: runs.Run, workdir: pathlib.Path, settings: Mapping[str, str], mode: str
) -> Job:
  changes = {
    **{name: _typed(value) for name, value in run.overrides.items()},
    **{
      field: value
      for field, value in settings.items()
      if not any(fnmatch.fnmatchcase(field, glob) for glob in run.fixed)
    },
    "experiment": run.name,
  }
  if run.init_from is not None:
    changes["init_from"] = str(workdir / run.init_from)
  arguments = [
    f"--config={run.config}",
    *(f"--config.{name}={value}" for name, value in changes.items()),
  ]
  try:
    config = main.parse(["main.py", *arguments]).config
  except errors.UserError as error:
    raise errors.UserError(f"{run.name}: {error}") from error
  folder = folder_lib.RunFolder(workdir / run.name)
  arguments.append(f"--workdir={folder.path}")
  if mode != "train":
    arguments.append(f"--mode={mode}")
  return Job(run.name, folder, config, tuple(arguments), run.init_from, mode)


def _typed(value: Any) -> str:
  """A value as one types it on the command line."""
  if isinstance(value, (tuple, list)):
    return ",".join(map(_typed, value))
  return str(value)


def is_finished(job: Job) -> bool:
  """Whether there is nothing left to do; reads two small files.

  Raises:
    UserError: if another config has finished in the run's folder.
  """
  if not job.folder.is_done:
    return False
  # Where its source lies may be typed differently.
  job.folder.check(
    record.to_dict(job.config),
    ignore=("init_from",),
    way_out="Give another --workdir, or move that run's folder away; where "
    "only fields of `eval` differ, --mode=eval evaluates it again.",
  )
  return True


def parts(job: Job) -> list[Part] | None:
  """The phases of a job; None where nobody can say how many steps.

  That is so before the first start on an image folder.
  """
  num_images = _num_train_images(job)
  if num_images is None:
    return None
  config = job.config
  steps_per_epoch = num_images // config.batch_size
  return [
    Part(
      phase=phase,
      kind=(
        f"{derived.method(config, phase).key}_x{config.degradation.scale} "
        f"{config.data.name}"
      ),
      num_members=derived.population_size(config, phase),
      num_steps=config[phase].num_epochs * steps_per_epoch,
    )
    for phase in derived.phases(config)
  ]


def has_recorded(job: Job) -> bool:
  """Whether the number of training images is one that a run has found."""
  return _recorded_images(job) is not None


def _num_train_images(job: Job) -> int | None:
  recorded = _recorded_images(job)
  if recorded is not None:
    return recorded
  data = job.config.data
  if data.name not in published.PUBLISHED:
    return None
  count = published.num_train_images(
    data.name, validation_fraction=data.validation_fraction
  )
  return min(count, data.max_train_images or count)


def _recorded_images(job: Job) -> int | None:
  """As this run has found them, or another one on the same data beside it."""
  beside = job.folder.path.parent.glob("*/config.json")
  others = (folder_lib.RunFolder(path.parent) for path in sorted(beside))
  data = record.to_dict(job.config)["data"]
  for folder in (job.folder, *others):
    try:
      description = folder.read() or {}
      if description["config"]["data"] == data:
        return int(description["dataset"]["num_train_images"])
    except (errors.UserError, KeyError, TypeError, ValueError):
      continue
  return None


def steps_done(job: Job) -> dict[str, int]:
  """Steps of each phase that metrics.jsonl has rows of, by its last lines."""
  phases = derived.phases(job.config)
  of_phases = {part.phase: part.num_steps for part in parts(job) or ()}
  if job.folder.is_done:
    return of_phases
  last = _last_row(job.folder.path / "metrics.jsonl")
  if last is None or last.get("phase") not in phases:
    return dict.fromkeys(phases, 0)
  before = phases[: phases.index(last["phase"])]
  return {
    **dict.fromkeys(phases, 0),
    **{phase: of_phases.get(phase, 0) for phase in before},
    last["phase"]: last["step"],
  }


def _last_row(path: pathlib.Path) -> dict[str, Any] | None:
  """The last whole row of a file that may be growing."""
  try:
    with path.open("rb") as file:
      file.seek(max(0, path.stat().st_size - _TAIL))
      lines = file.read().split(b"\n")
  except OSError:
    return None
  for line in reversed(lines):
    try:
      row = json.loads(line)
      return {"phase": str(row["phase"]), "step": int(row["step"])}
    except (ValueError, KeyError, TypeError):
      continue
  return None


def state(job: Job) -> str:
  """In words: finished, how far, or not started."""
  try:
    if is_finished(job):
      return "finished"
  except errors.UserError:
    return "finished with another config"
  if job.folder.is_claimed:
    return "running"
  if not job.folder.has_begun:
    return "not started"
  done = steps_done(job)
  total = sum(part.num_steps for part in parts(job) or ())
  percent = f", {100 * sum(done.values()) // total} %" if total else ""
  return f"unfinished{percent}"
