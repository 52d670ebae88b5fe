"""Corruptions that evaluation applies in place of Gaussian noise.

No network trains on them.

Images are float32 [batch, height, width, channels] in [0, 1], before and after.
Random corruptions take a key for each image, and the draw does not depend on
the level: under `jax.vmap(..., in_axes=(None, None, 0))` over the levels it is
made once (with poisson, levels share only the keys). Levels are scalars,
possibly traced.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_BLOCK = 8  # Pixels along a side of JPEG's blocks.

# Quantization tables of Annex K of the JPEG standard, which libjpeg scales by
# the quality.
_LUMINANCE = (
  (16, 11, 10, 16, 24, 40, 51, 61),
  (12, 12, 14, 19, 26, 58, 60, 55),
  (14, 13, 16, 24, 40, 57, 69, 56),
  (14, 17, 22, 29, 51, 87, 80, 62),
  (18, 22, 37, 56, 68, 109, 103, 77),
  (24, 35, 55, 64, 81, 104, 113, 92),
  (49, 64, 78, 87, 103, 121, 120, 101),
  (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = (
  (17, 18, 24, 47, 99, 99, 99, 99),
  (18, 21, 26, 66, 99, 99, 99, 99),
  (24, 26, 56, 99, 99, 99, 99, 99),
  (47, 66, 99, 99, 99, 99, 99, 99),
  (99, 99, 99, 99, 99, 99, 99, 99),
  (99, 99, 99, 99, 99, 99, 99, 99),
  (99, 99, 99, 99, 99, 99, 99, 99),
  (99, 99, 99, 99, 99, 99, 99, 99),
)
# JFIF's color transforms in units of 2^-16: RGB to Y, Cb and Cr, and back. Cb
# and Cr are centerd on 0.
_TO_YCBCR = (
  (19595, 38470, 7471),
  (-11059, -21709, 32768),
  (32768, -27439, -5329),
)
_TO_RGB = ((65536, 0, 91881), (65536, -22554, -46802), (65536, 116130, 0))
# libjpeg's integer cosine transform, [frequency, position], times 2^13 sqrt(8).
# Only the left half: the right half mirrors it, with the opposite sign for odd
# frequencies. Small asymmetries come from libjpeg's rounding.
_COSINES = (
  (8192, 8192, 8192, 8192),
  (11363, 9633, 6437, 2260),
  (10703, 4433, -4433, -10703),
  (9633, -2259, -11362, -6436),
  (8192, -8192, -8192, 8192),
  (6437, -11362, 2261, 9633),
  (4433, -10704, 10704, -4433),
  (2260, -6436, 9633, -11363),
)


def speckle(
  keys: jax.Array, images: jax.Array, variance: jax.Array | float
) -> jax.Array:
  """Multiplicative noise: x + x n with n from N(0, variance), clipped.

  As scikit-image's `random_noise(mode="speckle")`.

  Args:
    keys: Typed PRNG keys [B], one per image.
    images: Images [B, h, w, C].
    variance: >= 0.

  Returns:
    Images of the same shape.
  """
  shape = images.shape[1:]
  draw = jax.vmap(lambda key: jax.random.normal(key, shape))(keys)
  return jnp.clip(images + images * (jnp.sqrt(variance) * draw), 0, 1)


def salt_and_pepper(
  keys: jax.Array, images: jax.Array, fraction: jax.Array | float
) -> jax.Array:
  """Turns pixels black or white, all channels of a pixel together.

  Pixels are independent, and black and white equally likely. A pixel that turns
  at one level turns the same color at all higher levels.

  Args:
    keys: Typed PRNG keys [B], one per image.
    images: Images [B, h, w, C].
    fraction: fraction of the pixels, in [0, 1].

  Returns:
    Images of the same shape.
  """
  shape = (*images.shape[1:3], 1)
  draw = jax.vmap(lambda key: jax.random.uniform(key, shape))(keys)
  half = jnp.asarray(fraction, images.dtype) / 2
  salted = jnp.where(draw >= 1 - half, 1.0, jnp.clip(images, 0, 1))
  return jnp.where(draw < half, 0.0, salted)


def poisson(
  keys: jax.Array, images: jax.Array, peak: jax.Array | float
) -> jax.Array:
  """Photon noise: a Poisson count with mean `peak` x, over `peak`, clipped.

  Args:
    keys: Typed PRNG keys [B], one per image.
    images: Images [B, h, w, C].
    peak: photons at full white, > 0.

  Returns:
    Images of the same shape.
  """
  means = peak * jnp.clip(images, 0, 1)
  counts = jax.vmap(jax.random.poisson)(keys, means)
  return jnp.clip(counts.astype(images.dtype) / peak, 0, 1)


def jpeg(images: jax.Array, quality: jax.Array | float) -> jax.Array:
  """JPEG compression of 8-bit images, in libjpeg's integers, without a file.

  Color goes through YCbCr without subsampling. Sides that 8 does not divide
  are padded with the outermost pixel.

  Args:
    images: Images [B, h, w, C] of 1 or 3 channels.
    quality: libjpeg's, a whole number from 1 to 100.

  Returns:
    Images of the same shape, multiples of 1/255.

  Raises:
    ValueError: There are neither 1 nor 3 channels.
  """
  channels = images.shape[-1]
  if channels not in (1, 3):
    raise ValueError(f"JPEG takes 1 or 3 channels, not {channels}")
  levels = jnp.round(255 * jnp.clip(images, 0, 1)).astype(jnp.int32)
  # The cosine transform takes values centerd on 0.
  middle = np.array([128, 0, 0], np.int32)[:channels].reshape(1, 1, 1, -1)
  if channels == 3:
    # libjpeg rounds the halves of Cb and Cr down.
    half = np.array([0, -1, -1], np.int32).reshape(middle.shape)
    levels = _rounded_shift(_times(levels, _TO_YCBCR, axis=3) + half, 16)
  tables = np.stack([_LUMINANCE] + [_CHROMINANCE] * (channels - 1))
  levels = _quantize(levels - middle, _scaled(tables, quality))
  levels = jnp.clip(levels, -128, 127) + middle
  if channels == 3:
    levels = _rounded_shift(_times(levels, _TO_RGB, axis=3), 16)
  return jnp.clip(levels, 0, 255).astype(images.dtype) / 255


# Random corruptions, by their keys in `names.CORRUPTIONS`.
RANDOM: dict[str, Callable[[jax.Array, jax.Array, jax.Array], jax.Array]] = {
  "speckle": speckle,
  "salt_and_pepper": salt_and_pepper,
  "poisson": poisson,
}


def _scaled(tables: np.ndarray, quality: jax.Array | float) -> jax.Array:
  """Quantization tables int32 [C, 8, 8] at a quality, as in libjpeg."""
  quality = jnp.asarray(quality, jnp.int32)
  percent = jnp.where(quality < 50, 5000 // quality, 200 - 2 * quality)
  scaled = (jnp.asarray(tables, jnp.int32) * percent + 50) // 100
  return jnp.clip(scaled, 1, 255)


def _quantize(planes: jax.Array, tables: jax.Array) -> jax.Array:
  """Quantizes the cosine transform of each 8x8 block of planes [B, h, w, C]."""
  batch, height, width, channels = planes.shape
  padding = [(0, 0), (0, -height % _BLOCK), (0, -width % _BLOCK), (0, 0)]
  padded = jnp.pad(planes, padding, mode="edge")
  rows, columns = (size // _BLOCK for size in padded.shape[1:3])
  blocks = padded.reshape(batch, rows, _BLOCK, columns, _BLOCK, channels)
  left = np.array(_COSINES)
  signs = np.where(np.arange(_BLOCK) % 2, -1, 1)
  cosines = np.hstack([left, left[:, ::-1] * signs[:, None]])
  # Fixed point: two fractional bits between the passes, three at the end.
  for axis, bits in ((4, 11), (2, 15)):
    blocks = _rounded_shift(_times(blocks, cosines, axis=axis), bits)
  steps = jnp.transpose(tables, (1, 2, 0)).reshape(
    1, 1, _BLOCK, 1, _BLOCK, channels
  )
  # Halves are rounded away from zero.
  sizes = (jnp.abs(blocks) + 4 * steps) // (8 * steps)
  blocks = jnp.sign(blocks) * sizes * steps
  for axis, bits in ((2, 11), (4, 18)):
    blocks = _rounded_shift(_times(blocks, cosines.T, axis=axis), bits)
  return blocks.reshape(padded.shape)[:, :height, :width]


def _times(array: jax.Array, matrix: Any, *, axis: int) -> jax.Array:
  """int32 array times a matrix of whole numbers, along an axis.

  As sums, because not every accelerator has a matrix product of integers.
  """
  moved = jnp.moveaxis(array, axis, -1)[..., None, :]
  weights = jnp.asarray(matrix, jnp.int32)
  weights = weights.reshape((1,) * (moved.ndim - 2) + weights.shape)
  return jnp.moveaxis(jnp.sum(moved * weights, axis=-1), -1, axis)


def _rounded_shift(array: jax.Array, bits: int) -> jax.Array:
  """int32 over 2^bits to the nearest whole number, halves up."""
  return (array + (1 << (bits - 1))) >> bits
