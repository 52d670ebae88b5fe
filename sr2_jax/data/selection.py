"""Some images of an array or a mapped file, without a copy of them."""

import contextlib
import dataclasses
import math
import mmap
from collections.abc import Iterator
from typing import Any, overload

import numpy as np

from sr2_jax.data import fitting
from sr2_jax.data import sizes as sizes_lib

# Bytes of images that are in memory at once where all are looked at.
_PORTION = 16_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
  """Images [N, H, W, C], chosen from an array by their rows.

  As of an array, indices give a copy and a slice gives a view.

  Attributes:
    source: [all, H, W, C]; may be larger than memory if a file is behind it.
    rows: int [N].
  """

  source: np.ndarray
  rows: np.ndarray

  @property
  def shape(self) -> tuple[int, int, int, int]:
    """(N, H, W, C)."""
    height, width, channels = self.source.shape[1:]
    return len(self.rows), height, width, channels

  @property
  def ndim(self) -> int:
    """Four."""
    return self.source.ndim

  @property
  def dtype(self) -> np.dtype[Any]:
    """Type of the pixels."""
    return self.source.dtype

  @property
  def nbytes(self) -> int:
    """Bytes of an array of these images."""
    return math.prod(self.shape) * self.dtype.itemsize

  def __len__(self) -> int:
    return len(self.rows)

  @overload
  def __getitem__(self, index: slice, /) -> "Selection": ...
  @overload
  def __getitem__(self, index: np.ndarray, /) -> np.ndarray: ...
  def __getitem__(
    self, index: slice | np.ndarray, /
  ) -> "Selection | np.ndarray":
    chosen = self.rows[index]
    if isinstance(index, slice):
      return Selection(self.source, chosen)
    self._announce(chosen, 0, self.shape[1])
    return np.ascontiguousarray(self.source[chosen])

  def __array__(
    self, dtype: Any = None, copy: bool | None = None
  ) -> np.ndarray:
    """A copy of these images."""
    if copy is False:
      raise ValueError("an array of these images is a copy")
    images, first = np.empty(self.shape, dtype or self.dtype), 0
    for portion in portions(self):
      images[first : first + len(portion)] = portion
      first += len(portion)
    return images

  def middle(self, size: sizes_lib.Size) -> "Selection":
    """The middle of each image, cut when it is looked at."""
    return Selection(fitting.cropped(self.source, size), self.rows)

  def squares(self, places: np.ndarray, side: int) -> np.ndarray:
    """Squares from anywhere in images, [..., side, side, C].

    Args:
      places: int [..., 3]: the image, and the square's first row and column.
      side: height and width of the squares.
    """
    index, top, left = np.moveaxis(places, -1, 0)
    rows = self.rows[index]
    self._announce(rows, top, side)
    # [all, top, left, C, side, side]; nothing is copied yet.
    squares = np.lib.stride_tricks.sliding_window_view(
      self.source, (side, side), axis=(1, 2)
    )
    squares = np.moveaxis(squares, 3, -1)
    return np.ascontiguousarray(squares[rows, top, left])

  def _announce(
    self, rows: np.ndarray, tops: np.ndarray | int, height: int
  ) -> None:
    """Asks the system for pixels of a mapped file that are read next.

    A disk then gets all requests at once. Otherwise it would get the next one
    when the last is answered.

    Args:
      rows: of the source, int [...].
      tops: first line of pixels that is read of each, int [...].
      height: how many lines are read.
    """
    mapped = getattr(self.source, "_mmap", None)
    if mapped is None:
      return
    of_image, of_line = self.source.strides[:2]
    address = np.frombuffer(mapped, np.uint8).__array_interface__["data"][0]
    begin = self.source.__array_interface__["data"][0] - address
    starts = begin + rows.astype(np.int64) * of_image + tops * of_line
    pages = starts - starts % mmap.PAGESIZE
    ends = np.minimum(starts + height * of_line, len(mapped))
    # It is only advice: what fails here is read all the same.
    with contextlib.suppress(OSError):
      for page, end in zip(
        pages.ravel().tolist(), ends.ravel().tolist(), strict=True
      ):
        mapped.madvise(mmap.MADV_WILLNEED, page, end - page)


# Images [N, H, W, C] of a split.
Images = np.ndarray | Selection


def of(images: Images) -> Selection:
  """All of some images."""
  if isinstance(images, Selection):
    return images
  return Selection(images, np.arange(len(images)))


def portions(images: Images) -> Iterator[np.ndarray]:
  """The images in their order, as arrays of a few of them each."""
  of_one = max(1, images.nbytes // max(1, len(images)))
  step = max(1, _PORTION // of_one)
  for first in range(0, len(images), step):
    last = min(first + step, len(images))
    yield images[np.arange(first, last)]
