"""How far each job of a sweep has come, read from its run folder."""

import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from launch import jobs as jobs_lib
from sr2_jax import errors, files, json_files
from sr2_jax.buckets import state
from sr2_jax.config import derived, fields, record
from sr2_jax.data import published
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import json_lines

# So many bytes at the end of metrics.jsonl are certain to hold a whole row.
_TAIL = 1 << 16

# Fields that make a step longer or shorter, and the values that most runs have.
_USUAL: dict[str, Any] = {
  "batch_size": 64,
  "data.path": "",
  "data.size": "",
  "augmentation.crop": 0,
  "model.expansion": 1,
  "model.batch_norm": True,
  "model.transposed_convolution": False,
  "model.dtype": "float32",
}
# The same for networks with a classifier.
_USUAL_OF_CLASSIFIER = {
  "model.shared_layers": 1,
  "model.classifier_strides": (1, 2, 2),
}


@dataclasses.dataclass(frozen=True)
class Part:
  """A phase of a job.

  Attributes:
    phase: "pretrain" or "joint".
    kind: method, scale, data set and what else its speed depends on.
    num_members: of the population.
    num_steps: of the phase.
  """

  phase: str
  kind: str
  num_members: int
  num_steps: int


def parts(job: jobs_lib.Job) -> list[Part] | None:
  """The phases of a job; None if the number of its images is not known yet.

  That of an image folder is known once a run has read it.
  """
  num_images = _num_train_images(job)
  if num_images is None:
    return None
  config = job.config
  steps_per_epoch = num_images // config.batch_size
  return [
    Part(
      phase=phase,
      kind=_kind(config, phase),
      num_members=derived.population_size(config, phase),
      num_steps=config[phase].num_epochs * steps_per_epoch,
    )
    for phase in derived.phases(config)
  ]


def _kind(config: Any, phase: str) -> str:
  """As "sr2_fsrcnn_x4 mnist", then what is unusual about it."""
  name = f"{derived.method(config, phase).key}_x{config.degradation.scale}"
  return ", ".join(
    (
      f"{name} {config.data.name}",
      *(
        f"{field}={fields.in_words(value)}"
        for field, value in unusual(config, phase).items()
      ),
    )
  )


def unusual(config: Any, phase: str) -> dict[str, Any]:
  """What makes the steps of a phase unlike those of most runs, by field."""
  usual = dict(_USUAL)
  if phase == "joint" and derived.classifies(config):
    usual.update(_USUAL_OF_CLASSIFIER)
  values = record.flatten(config)
  return {
    field: values[field]
    for field, value in usual.items()
    if values[field] != value
  }


def has_recorded(job: jobs_lib.Job) -> bool:
  """Whether the number of training images is one that a run has counted."""
  return _recorded_images(job) is not None


def _num_train_images(job: jobs_lib.Job) -> int | None:
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


# By folder, of a run or of many, and by data. What was counted once stays so,
# and a sweep of many runs asks often.
_COUNTED: dict[tuple[pathlib.Path, str], int] = {}
# When all runs of a folder were last looked through for a count, in vain.
_MISSED: dict[tuple[pathlib.Path, str], float] = {}
_SECONDS_BETWEEN_SEARCHES = 5.0


def _recorded_images(job: jobs_lib.Job) -> int | None:
  """The count of this run, or of another run on the same data beside it.

  A count of another run may be found some seconds late.
  """
  data = job.config.data.to_dict()
  workdir, name = job.folder.path.parent, json.dumps(data)
  own, beside = (job.folder.path, name), (workdir, name)
  if own not in _COUNTED:
    found = _counted(job.folder, data)
    if found is not None:
      _COUNTED[own] = _COUNTED[beside] = found
    elif beside not in _COUNTED:
      _search(beside, data)
  return _COUNTED.get(own, _COUNTED.get(beside))


def _search(place: tuple[pathlib.Path, str], data: Mapping[str, Any]) -> None:
  """Looks for a count in all runs of a folder, unless it just has."""
  now = time.monotonic()
  if now - _MISSED.get(place, -math.inf) < _SECONDS_BETWEEN_SEARCHES:
    return
  for path in sorted(place[0].glob("*/config.json")):
    found = _counted(folder_lib.RunFolder(path.parent), data)
    if found is not None:
      _COUNTED[place] = found
      return
  _MISSED[place] = time.monotonic()


def _counted(
  folder: folder_lib.RunFolder, data: Mapping[str, Any]
) -> int | None:
  """The number of images that a run has counted, if on such data."""
  try:
    description = folder.read() or {}
    if record.complete(description["config"])["data"] == data:
      return int(description["dataset"]["num_train_images"])
  except (errors.UserError, KeyError, TypeError, ValueError):
    pass
  return None


def is_finished(job: jobs_lib.Job) -> bool:
  """Whether there is nothing left to do; reads two small files.

  Raises:
    UserError: if a run with another config has finished in the folder.
  """
  if not job.folder.is_done or state.is_unsent(job.folder.path):
    return False
  job.folder.check(
    record.to_dict(job.config),
    # The path of a run in the sweep may be spelled in several ways. Any other
    # network that is fine-tuned is what the run is about.
    ignore=(
      *("init_from",) * (not job.config.fine_tune or job.source is not None),
      *fields.FREE_ON_RESUME,
      *derived.open_fields(job.config),
    ),
    way_out="Give another --workdir, or move that run's folder away. Where "
    "only fields of `eval` differ, --mode=eval evaluates it again.",
  )
  return True


def has_diverged(job: jobs_lib.Job) -> bool:
  """Whether members of a run that has finished diverged, as DONE says."""
  try:
    return b'"diverged_at"' in files.read(job.folder.path / "DONE")
  except OSError:
    return False


def steps_done(job: jobs_lib.Job) -> dict[str, int]:
  """The steps of each phase up to the last row of metrics.jsonl."""
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
    with files.open_regular(path) as file:
      file.seek(max(0, path.stat().st_size - _TAIL))
      lines = file.read().split(b"\n")
  except OSError:
    return None
  for line in reversed(lines):
    try:
      row = json_lines.parse(line)
      return {
        "phase": str(row["phase"]),
        "step": json_files.whole(row["step"]),
      }
    except (ValueError, KeyError, TypeError):
      continue
  return None


def in_words(job: jobs_lib.Job, *, is_at_work: bool = False) -> str:
  """Finished, how far it has come, or not started.

  Args:
    job: of the sweep.
    is_at_work: whether it is on another machine, whose locks are not seen.
  """
  try:
    if is_finished(job):
      return "finished, members diverged" if has_diverged(job) else "finished"
  except errors.UserError:
    return "finished with another config"
  if is_at_work or job.folder.is_claimed:
    return "running"
  if not job.folder.has_begun:
    return "not started"
  done = steps_done(job)
  total = sum(part.num_steps for part in parts(job) or ())
  percent = f", {100 * sum(done.values()) // total} %" if total else ""
  return f"unfinished{percent}"
