"""What a checkpoint says of itself, so that nobody has to believe its name.

The folder `identity` in its commit holds a copy of the run's config.json, and
checkpoint.json: the phase, "last", "best" or "final", the step, and what the
run's logs held by then. Checkpoints of older versions have no such folder.
"""

import contextlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from sr2_jax import files, json_files, messages
from sr2_jax.config import fields, record
from sr2_jax.records import folder as folder_lib
from sr2_jax.training import file_list

_NAME = "identity"
_OWN = "checkpoint.json"
# Where things are may change; what they are, fingerprints tell.
_PLACES = ("init_from", "data.path", "data.labels", "data.low_res_path")


def write(
  commit: pathlib.Path, step: int, logs: Mapping[str, Any] | None
) -> None:
  """Adds its identity to a checkpoint that is being written.

  Args:
    commit: the checkpoint, in the folder of its phase and kind.
    step: of the checkpoint.
    logs: what the logs held by then, if the run goes on from here.
  """
  place = commit.parent
  own = {
    "phase": place.parent.name,
    "kind": place.name,
    "step": step,
    "logs": logs or {},
  }
  folder = commit / _NAME
  folder.mkdir(exist_ok=True)
  with contextlib.suppress(OSError):  # There is none in a test.
    data = files.read(_run_of(place).config_path)
    files.write_atomically(folder / folder_lib.CONFIG, data)
  text = json.dumps(own, indent=2) + "\n"
  files.write_atomically(folder / _OWN, text.encode())


def check(commit: pathlib.Path, step: int) -> None:
  """Compares a checkpoint, whose files are good, with its place and name.

  Raises:
    ValueError: says what it is of instead.
    OSError: the system cannot read it now.
    UserError: if config.json of the run is damaged.
  """
  own = _own(commit)
  if own is None:
    return
  if not isinstance(own.get("logs"), dict):
    raise ValueError(f"{_NAME}/{_OWN} has no logs")
  place = commit.parent
  expected = {"phase": place.parent.name, "kind": place.name, "step": step}
  if {name: own.get(name) for name in expected} != expected:
    raise ValueError(
      f"it is {own.get('phase')}/{own.get('kind')} of step {own.get('step')}, "
      "under another name"
    )
  copy = commit / _NAME / folder_lib.CONFIG
  recorded = _run_of(place).read() if copy.exists() else None
  if recorded is not None:
    _check_run(json_files.read(copy), recorded)


def _check_run(copy: Any, recorded: Mapping[str, Any]) -> None:
  """Raises ValueError if two records are of different runs."""
  copy = record.as_written(copy)
  # Somebody may have brought config.json to the form of another version.
  configs = copy["config"], recorded["config"]
  differences = [
    str(difference)
    for difference in record.difference(
      record.recorded(*configs), record.recorded(*reversed(configs))
    )
    if not difference.is_of(*fields.FREE_ON_RESUME, *_PLACES)
  ]
  then, now = (
    x.get("dataset", {}).get("fingerprint") for x in (copy, recorded)
  )
  if then != now:
    differences.append("the images")
  if differences:
    raise ValueError(f"it is of another run, with {'; '.join(differences)}")


def check_count(commit: pathlib.Path, step: int, tree: Any) -> None:
  """Compares a checkpoint of an older version with its name, by Adam's steps.

  A member that has diverged keeps the count before; so may all of them.

  Args:
    commit: the checkpoint.
    step: of its name.
    tree: its arrays.

  Raises:
    ValueError: says which step it is of.
  """
  if _own(commit) is not None:
    return
  counts = [
    int(np.max(leaf))
    for (*_, name), leaf in jax.tree_util.tree_leaves_with_path(tree)
    if getattr(name, "name", None) == "count"
  ]
  if counts and max(counts) not in (step - 1, step):
    raise ValueError(f"it is of step {max(counts)}, under another name")


def logs_of(commit: pathlib.Path) -> Mapping[str, Any] | None:
  """What the logs held at a checkpoint that has been checked.

  None if it does not say what it is, as one of an older version.
  """
  own = _own(commit)
  return None if own is None else own["logs"]


def put_record_back(folder: folder_lib.RunFolder) -> None:
  """Restores config.json of a run that has begun from its good checkpoints.

  Does nothing if it is there, if no checkpoint has a copy, or if they are of
  different runs.
  """
  if not folder.has_begun or folder.read() is not None:
    return
  found: list[dict[str, Any]] = []
  # Not those in damaged/, which may be of another run.
  for kind in ("last", "best", "final"):
    pattern = f"checkpoints/*/{kind}/*/{_NAME}/{folder_lib.CONFIG}"
    for path in sorted(folder.path.glob(pattern)):
      with contextlib.suppress(OSError, ValueError):
        file_list.verify(path.parents[1])
        found.append(record.as_written(json_files.read(path)))
  try:
    for copy in found[1:]:
      _check_run(copy, found[0])
  except ValueError:
    return
  if found:
    folder.record(max(found, key=lambda copy: len(copy.get("later", ()))))
    messages.say(
      f"{folder.config_path} was gone; the copy in its checkpoints is put back"
    )


def _own(commit: pathlib.Path) -> dict[str, Any] | None:
  try:
    own = json_files.read(commit / _NAME / _OWN)
  except FileNotFoundError:
    return None
  if not isinstance(own, dict):
    raise ValueError(f"{_NAME}/{_OWN} is no object")
  return own


def _run_of(place: pathlib.Path) -> folder_lib.RunFolder:
  """The run folder that has a folder of checkpoints."""
  return folder_lib.RunFolder(place.parents[2])
