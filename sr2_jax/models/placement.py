"""Images of several sizes in maps of one size, computed as if each were alone.

Padding an image with zeros is not enough: in a network every layer pads its own
input, and a layer turns the zeros outside the image into something else. So
each layer that sees neighbors is told where the images are.
"""

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Placement:
  """Where each image lies in its map: in the bottom right corner.

  Attributes:
    start: int [B, 2], first row and column of each image.
    size: (H, W) of the maps, multiples of `alignment`.
    alignment: product of the strides that the maps go through. An image that
      ends at a multiple of it is halved in the same places as when it is alone.
  """

  start: jax.Array
  size: tuple[int, int]
  alignment: int

  def __post_init__(self) -> None:
    if any(side % self.alignment for side in self.size):
      raise ValueError(
        f"maps of {self.size} are no multiple of {self.alignment}."
      )

  def fill(self, x: jax.Array, value: float) -> jax.Array:
    """`x` [B, h, w, C] with `value` outside the images."""
    return jnp.where(self._inside(x), x, jnp.asarray(value, x.dtype))

  def mean(self, x: jax.Array) -> jax.Array:
    """Mean of each image [B, h, w, C] over its own pixels, [B, C]."""
    inside = self._inside(x)
    total = jnp.sum(jnp.where(inside, x, 0), axis=(1, 2))
    return total / jnp.sum(inside, axis=(1, 2), dtype=x.dtype)

  def _inside(self, x: jax.Array) -> jax.Array:
    """Whether a pixel of a map belongs to its image, bool [B, h, w, 1].

    The map may have another resolution than `size`. "SAME" convolutions with
    stride 2 make ceil(n / 2) pixels of n, so the start is rounded down.
    """
    height, width = x.shape[1:3]
    first_row = self.start[:, 0] * height // self.size[0]
    first_column = self.start[:, 1] * width // self.size[1]
    rows = jnp.arange(height)[None] >= first_row[:, None]
    columns = jnp.arange(width)[None] >= first_column[:, None]
    return (rows[:, :, None] & columns[:, None])[..., None]


def of(
  start: jax.Array | None, low_res: jax.Array, strides: Sequence[int]
) -> Placement | None:
  """The placement in maps `low_res` [B, H, W, C]; None: they are the images.

  Args:
    start: as in `Placement`.
    low_res: the maps.
    strides: that they go through, each 1 or 2.
  """
  if start is None:
    return None
  height, width = low_res.shape[1:3]
  return Placement(start, (height, width), math.prod(strides))
