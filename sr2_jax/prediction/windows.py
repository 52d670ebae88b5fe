"""The parts of an image that programs of a few sizes work on; no JAX.

A large image is cut into windows of one size. Windows at the border are shifted
inwards instead of padded: a network pads every layer, so padding the picture
would make another one. Of each window only what is far enough from its inner
edges is kept, so that the parts fit together without a seam.
"""

import dataclasses

# Images of at most this many pixels are not cut by default (512 x 512).
LARGEST_WHOLE = 2**18
# Up to this side, images of many sizes share one square program.
_LARGEST_SQUARE = 64
_SMALLEST_SIDE = 16


@dataclasses.dataclass(frozen=True)
class Span:
  """A window along one axis, in pixels of the image.

  Attributes:
    first: where the window begins.
    size: how many pixels it has.
    keep: first pixel whose result is kept, and the first after those.
  """

  first: int
  size: int
  keep: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Window:
  """A part of an image, as spans of its rows and columns."""

  rows: Span
  columns: Span

  @property
  def shape(self) -> tuple[int, int]:
    """(rows, columns) of the part."""
    return self.rows.size, self.columns.size


def least_tile(radius: int) -> int:
  """The least side of a tile that keeps a pixel."""
  return 2 * radius + 1


def default_tile(radius: int) -> int:
  """The side of a tile that computes little twice and fits into memory."""
  return 256 if radius <= 16 else 512


def cover(height: int, width: int, *, tile: int, radius: int) -> list[Window]:
  """The windows of an image, row by row.

  Args:
    height: of the image.
    width: of the image.
    tile: side of a window; 0: the image is one window.
    radius: pixels around a pixel that its result depends on.

  Returns:
    Windows whose kept parts are the image, without overlap.
  """
  return [
    Window(rows, columns)
    for rows in _spans(height, tile or height, radius)
    for columns in _spans(width, tile or width, radius)
  ]


def _spans(length: int, side: int, radius: int) -> list[Span]:
  if length <= side:
    return [Span(0, length, (0, length))]
  step, last = side - 2 * radius, length - side
  firsts = [*range(0, last, step), last]
  ends = [first + side - radius for first in firsts[:-1]] + [length]
  starts = [0, *ends[:-1]]
  return [
    Span(first, side, keep)
    for first, keep in zip(firsts, zip(starts, ends, strict=True), strict=True)
  ]


def shared_shape(height: int, width: int) -> tuple[int, int]:
  """Shape of the maps that parts of this and similar sizes share.

  Powers of two: each is a multiple of what the classifier needs. Small ones are
  square, so that one program serves every size up to 16 x 16.
  """
  longest = _power(max(height, width))
  if longest <= _LARGEST_SQUARE:
    return longest, longest
  return _power(height), _power(width)


def _power(length: int) -> int:
  return max(_SMALLEST_SIDE, 1 << (length - 1).bit_length())
