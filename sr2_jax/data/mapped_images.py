"""Own images in a file that is mapped, so that they need no memory.

An entry of the cache is one file: a sha256 (32 bytes), as `cache` has it, then
the pixels, a digest of each image and the notes, all as NumPy's .npy. Images
are written as they are decoded, and the file gets its name when it is complete.
The system reads pixels when they are looked at, and may forget them again.
"""

import abc
import contextlib
import errno
import hashlib
import io
import json
import math
import mmap
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sr2_jax import errors, files
from sr2_jax.data import cache, duplicates

# Bytes of pixels that every start reads to verify them, which takes a second or
# two, and most that are kept in memory if the cache cannot be written.
_FEW = 2_000_000_000
# A temporary file this old was left behind by a process that was killed.
_SECONDS_ABANDONED = 3600

_DIGEST_BYTES = hashlib.sha256().digest_size


class Images(NamedTuple):
  """Decoded images.

  Attributes:
    pixels: [N, H, W, C], uint8 or uint16; not to be written to.
    notes: what was changed or could not be kept, and in how many images.
    digests: of each image, as `duplicates.digest` gives them, uint8 [N, 16];
      of pairs both, one after the other, [N, 32].
  """

  pixels: np.ndarray
  notes: tuple[str, ...]
  digests: np.ndarray


class Target(abc.ABC):
  """Where decoded images go."""

  def __init__(self) -> None:
    self.digests = np.empty((0, duplicates.DIGEST_BYTES), np.uint8)
    self.nbytes = 0

  def begin(
    self, shape: tuple[int, ...], dtype: str, *, parts: int = 1
  ) -> None:
    """Makes room for images [N, H, W, C]; called once, before `put`.

    Args:
      shape: of all images.
      dtype: of their pixels.
      parts: of an image that have digests of their own.
    """
    width = parts * duplicates.DIGEST_BYTES
    self.digests = np.empty((shape[0], width), np.uint8)
    self.nbytes = math.prod(shape) * np.dtype(dtype).itemsize
    self._begin(shape, np.dtype(dtype))

  def put(self, index: int, image: np.ndarray, *parts: np.ndarray) -> None:
    """Takes an image [H, W, C]; several threads may call it at once.

    Args:
      index: of the image.
      image: its pixels.
      parts: what has digests of its own; none: the image.
    """
    image = np.ascontiguousarray(image)
    digests = b"".join(map(duplicates.digest, parts or (image,)))
    self.digests[index] = np.frombuffer(digests, np.uint8)
    self._put(index, image)

  @abc.abstractmethod
  def _begin(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None: ...

  @abc.abstractmethod
  def _put(self, index: int, image: np.ndarray) -> None: ...

  @abc.abstractmethod
  def end(self, notes: tuple[str, ...]) -> Images:
    """All images, and what is to be known about them."""


class _Memory(Target):
  """Memory, for few images that the cache cannot take because of an error."""

  def __init__(self, folder: Path, error: OSError) -> None:
    super().__init__()
    self._folder, self._error = folder, error

  def _begin(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    _refuse_many(self.nbytes, self._folder, self._error)
    self._pixels = np.empty(shape, dtype)

  def _put(self, index: int, image: np.ndarray) -> None:
    self._pixels[index] = image

  def end(self, notes: tuple[str, ...]) -> Images:
    return Images(self._pixels, notes, self.digests)


class _File(Target):
  """A new entry of the cache.

  Attributes:
    errors: that kept images from being written; threads may meet several.
  """

  def __init__(self, file: io.BufferedRandom, folder: Path, key: bytes) -> None:
    super().__init__()
    self.errors: list[OSError] = []
    self._file, self._folder, self._first = file, folder, 0
    self._key = key
    file.write(bytes(_DIGEST_BYTES))

  @contextlib.contextmanager
  def _writing(self) -> Iterator[None]:
    try:
      yield
    except OSError as error:
      self.errors.append(error)
      raise

  def _begin(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    with self._writing():
      if shutil.disk_usage(self._folder).free < self.nbytes:
        # Fails now, not after an hour of decoding.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
      form = {"descr": dtype.str, "fortran_order": False, "shape": shape}
      np.lib.format.write_array_header_1_0(self._file, form)
      self._file.flush()
      self._first = self._file.tell()

  def _put(self, index: int, image: np.ndarray) -> None:
    # Not by a map: on a full disk that kills the process.
    rest, place = image.data.cast("B"), self._first + index * image.nbytes
    with self._writing():
      while rest:
        count = os.pwrite(self._file.fileno(), rest, place)
        rest, place = rest[count:], place + count

  def end(self, notes: tuple[str, ...]) -> Images:
    file = self._file
    file.seek(self._first + self.nbytes)
    as_bytes = np.frombuffer(json.dumps(notes).encode(), np.uint8)
    for array in (self.digests, as_bytes):
      np.save(file, array, allow_pickle=False)
    file.flush()
    digest = _digest(file, self._key)
    file.seek(0)
    file.write(digest)
    file.flush()
    return _content(file)


def kept(
  name: str,
  source: str,
  *,
  decode: Callable[[Target], tuple[str, ...]],
) -> Images:
  """The images of `name` and `source`; `decode` makes them if there are none.

  Processes share the cache as they do in `cache.decoded`. An entry whose pixels
  are few is verified at each start; of a larger one everything else is.

  Args:
    name: what the images are, as part of a file name.
    source: everything that can change their content, in any format.
    decode: puts all images into the target, and returns the notes. What it
      raises itself goes on to the caller, an OSError as well.

  Raises:
    UserError: there are many images, and the cache cannot be written.
  """

  key = cache.key_of(name, source)

  def make(path: Path) -> Images:
    folder, size, is_of_cache = path.parent, 0, True
    try:
      _remove_abandoned(path)
      with files.replacing(path, shared=True) as file:
        target = _File(file, folder, key)
        try:
          notes = decode(target)
        except OSError as error:
          is_of_cache = error in target.errors
          raise
        finally:
          size = target.nbytes
        return target.end(notes)
    except OSError as error:
      if not is_of_cache:
        raise
      _refuse_many(size, folder, error)
      cache.warn_of_failure(error)
      target = _Memory(folder, error)
      return target.end(decode(target))

  path = cache.path_of(name, source, suffix=".images")
  return cache.once(path, name, read=lambda path: _read(path, key), make=make)


def _refuse_many(nbytes: int, folder: Path, error: OSError) -> None:
  """Refuses images that memory may not hold either."""
  if nbytes > _FEW:
    way_out = files.way_to_room(error.errno) or "Make room"
    raise errors.UserError(
      f"{folder} cannot take {nbytes / 1e9:,.1f} GB of decoded images "
      f"({error.strerror or error}). {way_out}, or set SR2_JAX_CACHE_DIR."
    ) from error


def _remove_abandoned(path: Path) -> None:
  """Removes what kills have left of this entry; it may be large."""
  for old in path.parent.glob(f"{path.name}.*.tmp"):
    if time.time() - old.stat().st_mtime > _SECONDS_ABANDONED:
      old.unlink(missing_ok=True)
      print(f"removed {old}, which was never completed", file=sys.stderr)


def _read(path: Path, key: bytes) -> Images | None:
  """The verified content of a file, or None if it cannot be used."""
  try:
    with files.open_regular(path) as file:
      if file.read(_DIGEST_BYTES) == _digest(file, key):
        return _content(file)
  except OSError:
    return None
  except Exception:
    pass  # A header that is damaged fails in many ways.
  cache.warn_of_damage(path)
  return None


def _pixels(
  file: io.BufferedIOBase,
) -> tuple[tuple[int, ...], np.dtype[Any], int, int]:
  """Shape, type, first byte and number of bytes of the pixels."""
  file.seek(_DIGEST_BYTES)
  np.lib.format.read_magic(file)
  shape, _, dtype = np.lib.format.read_array_header_1_0(file)
  nbytes = math.prod(shape) * dtype.itemsize
  return shape, dtype, file.tell(), nbytes


def _digest(file: io.BufferedIOBase, key: bytes) -> bytes:
  """sha256 of a key and the rest of a file, without the pixels if many."""
  _, _, first, nbytes = _pixels(file)
  file.seek(_DIGEST_BYTES)
  digest = hashlib.sha256(key)
  if nbytes > _FEW:
    digest.update(file.read(first - _DIGEST_BYTES))
    file.seek(first + nbytes)
  return hashlib.file_digest(file, lambda: digest).digest()


def _content(file: Any) -> Images:
  shape, dtype, first, nbytes = _pixels(file)
  file.seek(first + nbytes)
  digests = np.load(file, allow_pickle=False)
  notes = np.load(file, allow_pickle=False)
  pixels = mapped(file, shape, dtype=dtype, first=first)
  return Images(pixels, tuple(json.loads(notes.tobytes())), digests)


def mapped(
  file: Any, shape: tuple[int, ...], *, dtype: Any, first: int = 0
) -> np.memmap:
  """An array in a file, which is read where and when it is looked at.

  Args:
    file: open to read.
    shape: of the array.
    dtype: of the array.
    first: byte that it begins with.
  """
  array = np.memmap(file, dtype, "r", first, shape)
  # Otherwise the system reads ahead, far beyond the pixels that are needed.
  array._mmap.madvise(mmap.MADV_RANDOM)  # pyright: ignore
  return array
