"""Decoded images on disk, so that only the first start decodes.

Each entry is one file: a sha256 (32 bytes), the images, and what belongs to
them, both as NumPy's .npy. The sha256 is of what the entry is made from and of
everything that follows, so a good file under the name of another is not used.
Deleting the folder is always safe.
"""

import hashlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from sr2_jax import files

# Images [N, H, W, C], and labels or other facts about them.
Arrays = tuple[np.ndarray, np.ndarray]

_DIGEST_BYTES = hashlib.sha256().digest_size
_Entry = TypeVar("_Entry")


def decoded(name: str, source: str, *, decode: Callable[[], Arrays]) -> Arrays:
  """The entry of `name` and `source`; `decode` makes it if there is none.

  Of many processes that share the cache folder, on one host or on many, one
  makes the entry, and the others wait for it. A damaged entry is never used: it
  is reported on stderr and made again. If the cache cannot be written, the
  arrays are still returned.

  Args:
    name: what the arrays are, as part of a file name: "mnist-3.0.1-train".
    source: everything that can change their content, in any format.
    decode: makes the arrays; called at most once.
  """

  key = key_of(name, source)

  def make(path: Path) -> Arrays:
    arrays = decode()
    _write(path, arrays, key)
    return arrays

  path = path_of(name, source, suffix=".arrays")
  return once(path, name, read=lambda path: _read(path, key), make=make)


def key_of(name: str, source: str) -> bytes:
  """What the sha256 of the entry of `name` and `source` begins with."""
  return hashlib.sha256(f"{name}\n{source}".encode()).digest()


def path_of(name: str, source: str, *, suffix: str) -> Path:
  """Where the entry of `name` and `source` is, or would be."""
  key = hashlib.sha256(source.encode()).hexdigest()[:16]
  return files.cache_folder("data") / f"{name}-{key}{suffix}"


def once(
  path: Path,
  name: str,
  *,
  read: Callable[[Path], _Entry | None],
  make: Callable[[Path], _Entry],
) -> _Entry:
  """The entry at a path, which one of many processes makes.

  Args:
    path: of the entry.
    name: what it is, for those who wait.
    read: gives the entry, or None if it cannot be used.
    make: makes it and writes it; called at most once.
  """
  before, entry = _stamp(path), read(path)
  if entry is not None:
    return entry
  with files.one_at_a_time(
    path.with_suffix(".lock"),
    lambda: print(
      f"waiting for another process that reads {name}",
      file=sys.stderr,
      flush=True,
    ),
  ):
    # Another process may have made it meanwhile.
    is_new = _stamp(path) not in (None, before)
    entry = read(path) if is_new else None
    return make(path) if entry is None else entry


def warn_of_damage(path: Path) -> None:
  """Reports an entry that is made again."""
  print(
    f"warning: {path} is damaged, or not of these images; decoding them again",
    file=sys.stderr,
  )


def warn_of_failure(error: OSError) -> None:
  """Reports that the cache cannot be written."""
  print(
    f"warning: cannot write the data cache ({error}); continuing without it",
    file=sys.stderr,
  )


def _stamp(path: Path) -> tuple[int, int] | None:
  """What changes when a file is replaced; None if there is none."""
  try:
    stat = path.stat()
  except OSError:
    return None
  return stat.st_ino, stat.st_mtime_ns


def _read(path: Path, key: bytes) -> Arrays | None:
  """The verified content of `path`, or None if it cannot be used."""
  try:
    with files.open_regular(path) as file:
      expected = file.read(_DIGEST_BYTES)
      if _digest(file, key) != expected:
        warn_of_damage(path)
        return None
      file.seek(_DIGEST_BYTES)
      images = np.load(file, allow_pickle=False)
      facts = np.load(file, allow_pickle=False)
  except OSError:
    return None
  return images, facts


def _digest(file: io.BufferedIOBase, key: bytes) -> bytes:
  """sha256 of a key and of the rest of a file."""
  return hashlib.file_digest(file, lambda: hashlib.sha256(key)).digest()


def _write(path: Path, arrays: Arrays, key: bytes) -> None:
  """Writes a complete file at once, even if another process writes it too."""
  try:
    with files.replacing(path, shared=True) as file:
      file.write(bytes(_DIGEST_BYTES))
      for array in arrays:
        np.save(file, array, allow_pickle=False)
      file.seek(_DIGEST_BYTES)
      digest = _digest(file, key)
      file.seek(0)
      file.write(digest)
  except OSError as error:
    warn_of_failure(error)
