"""Changes of files of arrays: NumPy's, and weights with their sha256."""

import hashlib
import io
import json
import pathlib
import pickle
import random
import struct
import zipfile
from typing import Any

import numpy as np
import safetensors
from safetensors import numpy as safetensors_numpy

from tests.fuzz import json_kinds

# Where a pickle that is executed leaves its trace, in the current folder.
CANARY = "executed"


class _Canary:
  """Leaves a file where it is unpickled."""

  def __reduce__(self) -> Any:
    return (open, (CANARY, "w"))


def _objects(array: np.ndarray) -> np.ndarray:
  found = np.empty(1, object)
  found[0] = _Canary()
  return found


def _of_numbers(value: float) -> Any:
  def change(array: np.ndarray) -> np.ndarray:
    kind = array.dtype if array.dtype.kind in "fiu" else np.dtype(float)
    if kind.kind != "f" and not np.isfinite(value):
      kind = np.dtype(float)
    with np.errstate(all="ignore"):
      return np.full(array.shape, value).astype(kind)

  return change


def _as(dtype: Any) -> Any:
  def change(array: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
      try:
        return array.astype(dtype)
      except (TypeError, ValueError):
        return np.zeros(array.shape, dtype)

  return change


WAYS = {
  "objects": _objects,
  "float16": _as(np.float16),
  "float64": _as(np.float64),
  "big endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
  "int8": _as(np.int8),
  "uint64": _as(np.uint64),
  "bool": _as(bool),
  "complex": _as(complex),
  "text": _as(str),
  "bytes": _as(bytes),
  "dates": lambda x: np.zeros(x.shape, "datetime64[s]"),
  "records": lambda x: np.zeros(x.shape, [("a", "f4"), ("b", "i4")]),
  "no axis": lambda x: np.asarray(x.ravel()[0] if x.size else 0, x.dtype),
  "one more axis": lambda x: x[None],
  "one axis": np.ravel,
  "transposed": np.transpose,
  "none": lambda x: x[:0] if x.ndim else x,
  "one fewer": lambda x: x[:-1] if x.ndim else x,
  "one more": lambda x: np.concatenate([x, x[:1]]) if x.ndim else x,
  "reversed": lambda x: x[::-1] if x.ndim else x,
  "nan": _of_numbers(np.nan),
  "inf": _of_numbers(np.inf),
  "huge": _of_numbers(1e30),
  "negative": _of_numbers(-2),
}  # fmt: skip


def _draw_npz(rng: random.Random, path: pathlib.Path) -> dict | None:
  arrays = _npz(path)
  if not arrays:
    return None
  ways = (*WAYS, "dropped", "renamed", "huge header", "no array")
  return {"array": rng.choice(list(arrays)), "to": rng.choice(ways)}


def _npz(path: pathlib.Path) -> dict[str, np.ndarray] | None:
  if path.suffix != ".npz" or not path.is_file():
    return None
  try:
    with np.load(path, allow_pickle=False) as arrays:
      return dict(arrays)
  except (OSError, ValueError, EOFError, zipfile.BadZipFile):
    return None


def _as_npy(array: np.ndarray) -> bytes:
  buffer = io.BytesIO()
  np.save(buffer, array, allow_pickle=True)
  return buffer.getvalue()


def _change_npz(path: pathlib.Path, *, array: str, to: str) -> None:
  arrays = _npz(path)
  if not arrays or array not in arrays:
    return
  entries = {f"{name}.npy": _as_npy(x) for name, x in arrays.items()}
  name = f"{array}.npy"
  match to:
    case "dropped":
      del entries[name]
    case "renamed":
      entries["odd.npy"] = entries.pop(name)
    case "no array":
      entries[name] = b"odd"
    case "huge header":
      # More bytes than any address space has.
      header = io.BytesIO()
      form = {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
      np.lib.format.write_array_header_1_0(header, form)
      entries[name] = header.getvalue()
    case _:
      entries[name] = _as_npy(WAYS[to](arrays[array]))
  with zipfile.ZipFile(path, "w") as archive:
    for name, data in entries.items():
      archive.writestr(name, data)


def _draw_npy(rng: random.Random, path: pathlib.Path) -> dict | None:
  return {} if path.suffix == ".npz" and path.is_file() else None


def _npy(path: pathlib.Path) -> None:
  path.write_bytes(_as_npy(np.zeros(3)))


def write_pickle(path: pathlib.Path) -> None:
  """Replaces a file by a pickle that leaves a trace where it is read."""
  path.write_bytes(pickle.dumps(_Canary()))


def _weights(path: pathlib.Path) -> tuple[dict[str, Any], bytes] | None:
  """Header and data of a file of weights."""
  if path.suffix != ".safetensors" or not path.is_file():
    return None
  try:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]
  except (ValueError, struct.error):
    return None


def _seal(path: pathlib.Path, header: bytes, data: bytes) -> None:
  """Writes a file, and its sha256 wherever that is."""
  old = hashlib.sha256(path.read_bytes()).hexdigest()
  new = struct.pack("<Q", len(header)) + header + data
  path.write_bytes(new)
  size, digest = str(len(new)), hashlib.sha256(new).hexdigest()
  for folder in (path.parent, *path.parents[1:3]):
    for name in (f"{path.name}.sha256", "SHA256SUMS", "weights.json"):
      if (folder / name).is_file():
        text = (folder / name).read_text().replace(old, digest)
        (folder / name).write_text(text.replace("@size@", size))


def _origin(header: dict[str, Any]) -> Any:
  return json.loads(header["__metadata__"]["sr2_jax"])


def _draw_origin(rng: random.Random, path: pathlib.Path) -> dict | None:
  found = _weights(path)
  return found and json_kinds.draw_value(rng, _origin(found[0]))


def _change_origin(path: pathlib.Path, *, at: list[Any], to: str) -> None:
  found = _weights(path)
  if found:
    header, data = found
    text = json_kinds.changed(_origin(header), at, to)
    header["__metadata__"]["sr2_jax"] = text
    _seal(path, json.dumps(header).encode(), data)


def _draw_header(rng: random.Random, path: pathlib.Path) -> dict | None:
  found = _weights(path)
  return found and json_kinds.draw_value(rng, found[0])


def _change_header(path: pathlib.Path, *, at: list[Any], to: str) -> None:
  found = _weights(path)
  if found:
    header, data = found
    _seal(path, json_kinds.changed(header, at, to).encode(), data)


def _draw_weights(rng: random.Random, path: pathlib.Path) -> dict | None:
  found = _weights(path)
  try:
    safetensors_numpy.load(path.read_bytes() if found else b"")
  except safetensors.SafetensorError:
    return None
  assert found
  names = [name for name in found[0] if name != "__metadata__"]
  ways = ("nan", "inf", "huge", "dropped", "renamed", "float64", "bool")
  ways += ("one more axis", "none", "one more", "int8")
  return {"array": rng.choice(names), "to": rng.choice(ways)}


def _change_weights(path: pathlib.Path, *, array: str, to: str) -> None:
  found = _weights(path)
  if not found or array not in found[0]:
    return
  arrays = safetensors_numpy.load(path.read_bytes())
  value = arrays.pop(array)
  if to == "renamed":
    arrays["odd"] = value
  elif to != "dropped":
    arrays[array] = np.ascontiguousarray(WAYS[to](value))
  data = safetensors_numpy.save(arrays, metadata=found[0]["__metadata__"])
  (length,) = struct.unpack("<Q", data[:8])
  _seal(path, data[8 : 8 + length], data[8 + length :])


# What is right by its own sha256, and another network.
SEALED = ("origin", "header", "weights")

KINDS = {
  "array": (_draw_npz, _change_npz),
  "npy": (_draw_npy, _npy),
  "origin": (_draw_origin, _change_origin),
  "header": (_draw_header, _change_header),
  "weights": (_draw_weights, _change_weights),
}
