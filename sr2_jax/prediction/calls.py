"""Which parts of images go together into one call of a program; no JAX.

A program is compiled for one size, which takes seconds. So images of many sizes
share programs: each image lies in the corner of a larger map, and the network
is told where (`models.placement`).
"""

import collections
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from sr2_jax.prediction import windows

# Most pixels and images of a call, for all members together.
_MOST_PIXELS, _MOST_IMAGES = 2**18, 512
# A size that so many images have gets a program of its own.
_OWN_PROGRAM = 64
# A batch is filled up to so many times its images before another is compiled.
_FILL = 8

Images = Sequence[np.ndarray] | np.ndarray


@dataclasses.dataclass(frozen=True)
class Kind:
  """What a compiled program works on, but for the number of images.

  Attributes:
    shape: (h, w) of its maps.
    is_placed: whether images are smaller than the maps.
    classify: whether it classifies.
    averaged: whether it averages the channels of the result.
  """

  shape: tuple[int, int]
  is_placed: bool
  classify: bool
  averaged: bool


@dataclasses.dataclass(frozen=True)
class Part:
  """A window of an image.

  Attributes:
    image: index of the image.
    window: the window.
    start: row and column of the map where it begins.
    is_last: whether it is the image's last one.
  """

  image: int
  window: windows.Window
  start: tuple[int, int]
  is_last: bool

  def kept(self, scale: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """What is kept of its result: in the image's result, and in the map's."""
    inner, outer = [], []
    spans = (self.window.rows, self.window.columns)
    for span, start in zip(spans, self.start, strict=True):
      first, end = span.keep
      shift = start - span.first
      outer.append(slice(scale * first, scale * end))
      inner.append(slice(scale * (first + shift), scale * (end + shift)))
    return tuple(outer), tuple(inner)


@dataclasses.dataclass(frozen=True)
class Call:
  """One call of a program, with `size` images; what is missing is filled up."""

  kind: Kind
  parts: Sequence[Part]
  size: int


class Planner:
  """Divides images into calls, and remembers what has been compiled.

  Args:
    radius: pixels around a pixel that its result depends on.
    channels: of the network.
    members: of the population, which share the memory.
  """

  def __init__(self, *, radius: int, channels: int, members: int) -> None:
    self._radius, self._channels, self._members = radius, channels, members
    self._compiled: dict[Kind, list[int]] = collections.defaultdict(list)

  @property
  def num_programs(self) -> int:
    """Number of programs that the calls so far needed."""
    return sum(len(sizes) for sizes in self._compiled.values())

  def calls(
    self,
    images: Images,
    *,
    classify: Sequence[bool],
    tiles: Sequence[int],
    batch: int | None = None,
  ) -> Iterator[Call]:
    """Calls for all parts of all images.

    Args:
      images: each [h, w, C].
      classify: of each image, whether it is to be classified.
      tiles: of each image, the side of its tiles; 0: it is not cut.
      batch: most images of a call; None: as many as fit into memory.
    """
    for kind, parts in self._by_kind(images, classify, tiles).items():
      fit = _MOST_PIXELS // (kind.shape[0] * kind.shape[1] * self._members)
      most = batch or max(1, min(_MOST_IMAGES, fit))
      for first in range(0, len(parts), most):
        chosen = parts[first : first + most]
        yield Call(kind, chosen, self._size(kind, len(chosen), most))

  def _by_kind(
    self, images: Images, classify: Sequence[bool], tiles: Sequence[int]
  ) -> dict[Kind, list[Part]]:
    sizes = collections.Counter(image.shape[:2] for image in images)
    kinds: dict[Kind, list[Part]] = {}
    for index, (image, tile) in enumerate(zip(images, tiles, strict=True)):
      height, width, channels = image.shape
      parts = windows.cover(height, width, tile=tile, radius=self._radius)
      if tile:
        is_exact = tile <= min(height, width)
      else:
        is_exact = len(sizes) == 1 or sizes[height, width] >= _OWN_PROGRAM
      for number, window in enumerate(parts, 1):
        own = window.shape
        shape = own if is_exact else windows.shared_shape(*own)
        kind = Kind(
          shape, not is_exact, classify[index], channels < self._channels
        )
        start = (shape[0] - own[0], shape[1] - own[1])
        part = Part(index, window, start, number == len(parts))
        kinds.setdefault(kind, []).append(part)
    return kinds

  def _size(self, kind: Kind, number: int, most: int) -> int:
    """Size of a batch for so many images: a compiled one, or a power of 2."""
    compiled = self._compiled[kind]
    close = [n for n in compiled if number <= n <= min(most, _FILL * number)]
    if not close:
      close = [min(most, 1 << (number - 1).bit_length())]
      compiled += close
    return min(close)
