"""Weights of one network as a safetensors file, with their origin; no JAX.

`weights/<phase>_<method>/<member>/last.safetensors` in a run folder holds the
float32 parameters and BatchNorm statistics of a member, with names such as
"params/sr/map_0/kernel". `best.safetensors` holds those with the lowest
validation loss. If the statistics in "batch_stats" are re-estimated, the
running ones are beside them, in "running_batch_stats". The file's metadata say
how to build the network, so that no other file is needed. Its sha256 is in a
second file, `<name>.sha256`.

Released weights have the same form: `model.safetensors`, in float16. Their
sha256 is in a list, `SHA256SUMS`. Nothing in a file is ever executed, and its
arrays are read only if the sha256 is right.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from sr2_jax import errors, files, json_files, names
from sr2_jax.config import record
from sr2_jax.records import released, row_values
from sr2_jax.records import rows as rows_lib

# A single entry, because safetensors writes several in no fixed order.
_ENTRY = "sr2_jax"
# The running statistics where "batch_stats" are re-estimated.
RUNNING = "running_batch_stats"
# As in safetensors; a header of ours has some ten thousand bytes.
_LONGEST_HEADER = 100_000_000
_LONGEST_DIGEST = 1_000_000  # bytes of the file that has it
# What reading the metadata of another kind of file raises.
_OTHER_FILE = (KeyError, TypeError, ValueError)
# First bytes of what people have instead.
_OTHER_STARTS = {
  b"PK": "a zip archive, as .pth and .npz are",
  b"\x80": "a pickle",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
  """Metadata of a file of weights.

  Attributes:
    config: the run's, as in config.json.
    image_shape: (H, W, C) of the high-resolution training images.
    class_names: by label.
    phase: "pretrain" or "joint".
    method: the network's key in `names.METHODS` after that phase.
    member: the network in its population.
    step: training steps done in that phase.
    batch_norm: the statistics in "batch_stats", as rows name them.
  """

  config: Mapping[str, Any]
  image_shape: tuple[int, int, int]
  class_names: tuple[str, ...]
  phase: str
  method: str
  member: rows_lib.Member
  step: int
  batch_norm: str | None = "running"  # In files of older versions.

  @property
  def classifier_strides(self) -> tuple[int, ...]:
    """`model.classifier_strides`, which the shapes of weights do not tell."""
    model = record.complete(self.config)["model"]
    return tuple(model["classifier_strides"])

  @property
  def low_res_path(self) -> str:
    """`data.low_res_path`: "" unless the network was trained on pairs."""
    return record.complete(self.config)["data"]["low_res_path"]


def network_folder(
  folder: pathlib.Path, phase: str, method: str
) -> pathlib.Path:
  """Folder of all members of a network, in a run folder."""
  return folder / "weights" / f"{phase}_{method}"


def network_folders(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """The folders of a run folder's networks by method, in training order."""
  return networks_in(folder / "weights")


def networks_in(weights: pathlib.Path) -> dict[str, pathlib.Path]:
  """As `network_folders`, from the folder weights/ itself.

  Raises:
    UserError: if it cannot be read.
  """
  found = {}
  for phase in names.PHASES:
    for path in _entries(weights):
      if path.name.startswith(f"{phase}_"):
        found[path.name.removeprefix(f"{phase}_")] = path
  return found


def members_in(folder: pathlib.Path, name: str) -> list[pathlib.Path]:
  """The files of a name in the folders of a network's members.

  Raises:
    UserError: if a folder cannot be read: its network would be missing without
      a word.
  """
  return [
    path
    for member in _entries(folder)
    for path in _entries(member)
    if path.name == name
  ]


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
  """What is in a folder, by name; nothing where there is none."""
  try:
    return sorted(folder.iterdir()) if os.path.isdir(folder) else []
  except OSError as error:
    raise _unreadable(folder, error) from error


def order(member: rows_lib.Member) -> tuple[float, ...]:
  """What members are sorted by: the seed, then L2 and the loss weight."""
  values = (member.l2, member.loss_weight)
  return (member.seed or 0, *(-1.0 if x is None else x for x in values))


def write(
  path: pathlib.Path, arrays: Mapping[str, np.ndarray], origin: Origin
) -> None:
  """Writes a file of weights and its sha256, each atomically.

  Args:
    path: ends in ".safetensors".
    arrays: by name.
    origin: becomes the file's metadata.
  """
  data = encode(arrays, origin)
  digest = hashlib.sha256(data).hexdigest()
  files.write_atomically(path, data)
  files.write_atomically(
    _digest_path(path), f"{digest}  {path.name}\n".encode()
  )


def encode(arrays: Mapping[str, np.ndarray], origin: Origin) -> bytes:
  """The bytes of a file of weights."""
  from safetensors import numpy as safetensors  # Takes a moment to load.

  metadata = {_ENTRY: json.dumps(dataclasses.asdict(origin))}
  return safetensors.save(
    {name: np.ascontiguousarray(array) for name, array in arrays.items()},
    metadata=metadata,
  )


def read(path: pathlib.Path) -> tuple[dict[str, np.ndarray], Origin]:
  """The float32 arrays of a file by name, and their origin.

  Raises:
    UserError: if the file is missing, damaged or of another kind.
  """
  import safetensors
  from safetensors import numpy as safetensors_numpy

  data = _verified(path)
  try:
    arrays, origin = safetensors_numpy.load(data), _origin_in(data)
    for name, array in arrays.items():
      if array.dtype not in (np.float32, np.float16):
        raise TypeError(f"{name} is {array.dtype}, not float32 or float16")
      arrays[name] = array.astype(np.float32, copy=False)
    return arrays, origin
  except (safetensors.SafetensorError, *_OTHER_FILE) as error:
    raise _not_weights(path, _named(error)) from error


def verify(path: pathlib.Path) -> None:
  """Raises UserError if a file is missing or its sha256 is wrong or unknown."""
  _verified(path)


def _verified(path: pathlib.Path) -> bytes:
  """The bytes of a file whose sha256 is right."""
  try:
    data = files.read(path)
    stated = _stated_digest(path)
  except (OSError, UnicodeDecodeError) as error:
    raise _unreadable(path, error) from error
  found = hashlib.sha256(data).hexdigest()
  if stated is None:
    for start, kind in _OTHER_STARTS.items():
      if data.startswith(start):
        raise _not_weights(path, kind)
    if not released.is_known(found):
      raise errors.UserError(
        f"{path}: cannot be checked; its sha256 should be in "
        f"{_digest_path(path).name} or {released.SUMS} beside it.\n"
        "Copy that file as well."
      )
  elif stated[0] != found:
    raise errors.UserError(
      f"{path}: damaged; its sha256 is not the one in {stated[1].name}.\n"
      "Restore both files from a copy."
    )
  return data


def read_origin(path: pathlib.Path) -> Origin:
  """The origin of a file, without reading or checking its arrays.

  Raises:
    UserError: if the file is missing or of another kind.
  """
  try:
    with files.open_regular(path) as file:
      length = int.from_bytes(file.read(8), "little")
      file.seek(0)
      return _origin_in(file.read(8 + min(length, _LONGEST_HEADER)))
  except OSError as error:
    raise _unreadable(path, error) from error
  except _OTHER_FILE as error:
    raise _not_weights(path, _named(error)) from error


def digest(path: pathlib.Path) -> str:
  """The sha256 that a file of weights has, or should have; "" if unknown."""
  try:
    stated = _stated_digest(path)
    if stated is None:
      return hashlib.sha256(files.read(path)).hexdigest()
    return stated[0]
  except (OSError, ValueError):
    return ""


def _origin_in(data: bytes) -> Origin:
  """The origin in the first bytes of a file."""
  length = int.from_bytes(data[:8], "little")
  metadata = json_files.parse(data[8 : 8 + length])["__metadata__"]
  return _origin(json_files.parse(metadata[_ENTRY]))


def _unreadable(path: pathlib.Path, error: Exception) -> errors.UserError:
  return errors.UserError(f"{path}: cannot be read ({files.in_words(error)}).")


def _not_weights(path: pathlib.Path, problem: str) -> errors.UserError:
  return errors.UserError(f"{path}: not weights of sr2_jax ({problem}).")


def _named(error: Exception) -> str:
  return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _origin(fields: Any) -> Origin:
  """The origin that an entry of metadata describes.

  Raises:
    KeyError, TypeError or ValueError: if something is missing, or another type.
  """
  config = record.config_as_written(fields["config"])
  names.PHASES.index(fields["phase"])
  if not isinstance(fields["method"], str):
    raise TypeError("method is no text")
  height, width, channels = map(json_files.whole, fields["image_shape"])
  if min(height, width, channels) < 1:
    raise ValueError(f"image_shape is {fields['image_shape']}")
  names_of = fields["class_names"]
  if not isinstance(names_of, list) or not all(
    isinstance(name, str) for name in names_of
  ):
    raise TypeError("class_names is no list of text")
  if fields.get("batch_norm") not in (None, *names.BATCH_NORMS):
    raise ValueError(f"unknown batch_norm {fields['batch_norm']!r}")
  return Origin(
    **{
      **fields,
      "config": config,
      "image_shape": (height, width, channels),
      "class_names": tuple(names_of),
      "member": rows_lib.Member(**fields["member"]),
      "step": row_values.read("step", int, fields["step"]),
    }
  )


def _stated_digest(path: pathlib.Path) -> tuple[str, pathlib.Path] | None:
  """The sha256 that a file should have, and the file that says so."""
  own = _digest_path(path)
  if os.path.lexists(own):
    digest = files.read(own, most=_LONGEST_DIGEST).decode()
    return digest.partition(" ")[0], own
  for folder in (path.parent, path.parent.parent):
    digest = released.sums_in(folder).get(path.relative_to(folder).as_posix())
    if digest is not None:
      return digest, folder / released.SUMS
  return None


def _digest_path(path: pathlib.Path) -> pathlib.Path:
  return path.with_name(f"{path.name}.sha256")
