"""The jobs of a sweep: its runs, each checked and ready to start.

A sweep file defines `sweep(budget)`, which returns `experiments.runs.Run`s.
"""

import dataclasses
import fnmatch
import functools
import os
import pathlib
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import ml_collections

from launch import grid as grid_lib
from sr2_jax import errors
from sr2_jax.config import command_line, experiment_file, fields
from sr2_jax.records import folder as folder_lib

# What sweeps set unless told otherwise.
_OF_SWEEPS = {"checkpoint.keep_finished": "false"}
# Fields that a run's name is made of.
_OF_NAMES = (
  "degradation.scale", "model.shared_layers", "model.trunk", "model.wiring",
)  # fmt: skip


# What the fields of a run may be in a sweep file.
_KINDS: dict[str, Any] = {
  "name": str,
  "config": str,
  "overrides": Mapping,
  "init_from": str | None,
  "fixed": tuple | list,
  "experiment": str,
}


@dataclasses.dataclass(frozen=True)
class Spec:
  """What a sweep says of a run; the fields are those of `experiments.runs.Run`.

  Not that class itself: a sweep file may bring its own `experiments`.
  """

  name: str
  config: str
  overrides: Mapping[str, str]
  init_from: str | None = None
  fixed: tuple[str, ...] = ()
  experiment: str = ""

  @classmethod
  def of(cls, run: Any) -> Self:
    """The same of any object that has these fields.

    Raises:
      AttributeError: if it lacks one, or one is of another kind.
    """
    values = {x.name: getattr(run, x.name) for x in dataclasses.fields(cls)}
    for name, kind in _KINDS.items():
      if not isinstance(values[name], kind):
        raise AttributeError(f"{name} is {type(values[name]).__name__}")
    # As on a command line: a value may have any type.
    typed = {name: _typed(x) for name, x in values["overrides"].items()}
    return cls(**{**values, "overrides": typed})


@dataclasses.dataclass(frozen=True)
class Job:
  """A run of a sweep, ready to start.

  Attributes:
    name: of the run.
    folder: of the run.
    config: resolved.
    arguments: of `python -m sr2_jax.main`.
    source: the run whose pretraining it starts from.
    mode: "train", or "eval" to evaluate the trained run again.
  """

  name: str
  folder: folder_lib.RunFolder
  config: ml_collections.FrozenConfigDict
  arguments: tuple[str, ...]
  source: str | None
  mode: str = "train"


def load(
  sweep: str,
  workdir: str | os.PathLike[str],
  *,
  only: Sequence[str] = (),
  settings: Mapping[str, str] | None = None,
  mode: str = "train",
  grid: Mapping[str, str] | None = None,
  url: str = "",
) -> list[Job]:
  """The runs of a sweep in their order, each checked as its command would be.

  Args:
    sweep: a sweep file, perhaps with a budget: "experiments/paper.py:cpu".
    workdir: the folder of all run folders.
    only: globs; runs that match none are left out.
    settings: {field: value} for all runs, as typed on a command line. A run
      keeps the fields that it has fixed.
    mode: of all jobs.
    grid: {field: values}; then `sweep` is an experiment file.
    url: of the folder of all run folders, if it is in a bucket; `workdir` is
      what this machine has of it then.

  Raises:
    UserError: names what is wrong.
  """
  path, _, budget = sweep.partition(".py:")
  file = experiment_file.find(
    f"{path}.py" if budget else sweep.removesuffix(":"), kind="sweep file"
  )
  settings = settings or {}
  if grid:
    runs = grid_lib.runs(str(file), grid)
    both = settings.keys() & {name for run in runs.values() for name in run}
    if both:
      raise errors.UserError(f"--set {min(both)}: --grid sets it in each run.")
    found = [Spec(name, str(file), chosen) for name, chosen in runs.items()]
  else:
    found = _read(file, budget)
  specs = _chosen(found, only, sweep=sweep)
  _check_settings(settings, sweep=sweep)
  # One spelling for every way to type the folder: it is part of the configs.
  folder = pathlib.Path(workdir).absolute()
  if folder.is_relative_to(pathlib.Path.cwd()):
    folder = folder.relative_to(pathlib.Path.cwd())
  if mode == "train":
    _check_sources(specs, folder)
  read = _once(experiment_file.load_config)
  return [
    _job(
      spec,
      folder,
      lambda name: f"{url}/{name}" if url else str(folder / name),
      file=file,
      settings=settings,
      mode=mode,
      load=read,
    )
    for spec in specs
  ]


def waves(jobs: Sequence[Job]) -> dict[str, int]:
  """The wave of each job, from 1: one more than that of its source."""
  found: dict[str, int] = {}
  for job in jobs:
    is_first = job.mode != "train" or job.source not in found
    found[job.name] = 1 if is_first else found[job.source or ""] + 1
  return found


def _specs(found: Any) -> list[Spec]:
  """What a sweep file says of its runs; [] if it is not a list of runs."""
  if not isinstance(found, list):
    return []
  try:
    return [Spec.of(run) for run in found]
  except AttributeError:
    return []


def _read(file: pathlib.Path, budget: str) -> list[Spec]:
  """The runs that a sweep file returns, of its default budget if ""."""
  arguments = (budget,) if budget else ()
  specs = experiment_file.call(
    file, "sweep", _specs, *arguments, kind="sweep file"
  )
  if not specs:
    raise errors.UserError(
      f"The sweep file {file} has to define sweep(budget) that returns a list "
      "of experiments.runs.Run, as experiments/paper.py does; --grid makes one "
      "of an experiment file."
    )
  names: list[str] = []
  folders: dict[str, str] = {}  # By name in lower case, as macOS has them.
  name_check = fields.CHECKS["experiment"]
  for spec in specs:
    # Otherwise the name is `config.experiment` as well, and checked as such.
    if spec.experiment and not name_check.accepts(spec.name):
      raise errors.UserError(
        f"{file}: a run has to have {name_check.expected}, not "
        f"{fields.in_words(spec.name)}."
      )
    if spec.name in names:
      raise errors.UserError(f"{file}: two runs are called {spec.name}.")
    other = folders.setdefault(spec.name.lower(), spec.name)
    if other != spec.name:
      raise errors.UserError(
        f"{file}: two runs are called {other} and {spec.name}, which some file "
        "systems take for one name."
      )
    if spec.init_from is not None and spec.init_from not in names:
      raise errors.UserError(
        f"{file}: {spec.name} starts from {spec.init_from}, which is not a run "
        "before it."
      )
    names.append(spec.name)
  return specs


def _chosen(
  specs: Sequence[Spec], only: Sequence[str], *, sweep: str
) -> list[Spec]:
  """The runs that match a glob; all where there is none."""
  for glob in only:
    if not fnmatch.filter([spec.name for spec in specs], glob):
      raise errors.UserError(
        f"--only {glob} matches no run of {sweep}; --dry-run lists them."
      )
  return [
    spec
    for spec in specs
    if not only or any(fnmatch.fnmatchcase(spec.name, glob) for glob in only)
  ]


def _check_settings(settings: Mapping[str, str], *, sweep: str) -> None:
  """Refuses fields that do not exist, or that are each run's own."""
  for field in settings:
    if field not in fields.CHECKS:
      raise errors.UserError(fields.unknown_field(field))
    if field in ("experiment", "init_from"):
      raise errors.UserError(f"config.{field} is set by {sweep} in each run.")
    if field in _OF_NAMES:
      raise errors.UserError(
        f"The runs of {sweep} are named after their config.{field}; choose "
        "among them with --only."
      )


def _check_sources(specs: Sequence[Spec], workdir: pathlib.Path) -> None:
  """Refuses a run whose source is neither in the sweep nor in the folder."""
  names = [spec.name for spec in specs]
  for spec in specs:
    source = spec.init_from
    if source and source not in names and not (workdir / source).exists():
      raise errors.UserError(
        f"{spec.name} starts from {source}, which --only leaves out and which "
        f"is not in {workdir}."
      )


def _job(
  spec: Spec,
  workdir: pathlib.Path,
  place: Callable[[str], str],
  *,
  file: pathlib.Path,
  settings: Mapping[str, str],
  mode: str,
  load: Callable[[str], ml_collections.ConfigDict],
) -> Job:
  changes = {
    **_OF_SWEEPS,
    **spec.overrides,
    **{
      field: value
      for field, value in settings.items()
      if not any(fnmatch.fnmatchcase(field, glob) for glob in spec.fixed)
    },
    "experiment": spec.experiment or spec.name,
  }
  if spec.init_from is not None:
    changes["init_from"] = place(spec.init_from)
  overrides = [f"--config.{name}={value}" for name, value in changes.items()]
  try:
    config_file = experiment_file.find(
      spec.config, kind="config file", named_in=file
    )
    folder = folder_lib.RunFolder(workdir / spec.name)
    arguments = [
      f"--config={config_file}", *overrides, f"--workdir={place(spec.name)}",
    ]  # fmt: skip
    config = command_line.parse(["main.py", *arguments], load=load).config
  except errors.UserError as error:
    raise errors.UserError(f"{spec.name}: {error}") from error
  if mode != "train":
    arguments.append(f"--mode={mode}")
  return Job(spec.name, folder, config, tuple(arguments), spec.init_from, mode)


def _once(
  load: Callable[[str], ml_collections.ConfigDict],
) -> Callable[[str], ml_collections.ConfigDict]:
  """Loads a file once, and not for each run that names it; gives copies."""

  @functools.cache
  def kept(path: str) -> bytes | None:
    try:
      return pickle.dumps(load(path))
    except (pickle.PicklingError, AttributeError, TypeError):
      return None  # It holds a function, or what the file has defined.

  def read(path: str) -> ml_collections.ConfigDict:
    found = kept(path)
    return load(path) if found is None else pickle.loads(found)

  return read


def _typed(value: Any) -> str:
  """A value as it is typed on a command line."""
  if isinstance(value, (tuple, list)):
    return ",".join(map(_typed, value))
  return str(value)
