"""Blur and downsampling as one precomputed linear operator per axis.

The authors blur with scikit-image's `filters.gaussian(mode="nearest")` and
downsample with `transform.rescale`, which blurs once more against aliasing.
Both are linear and separable, so that `low_res = rows X columns^T` for each
channel; the operators are computed once, in float64, without scikit-image.

Images are float32 [..., height, width, channels].
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

# SciPy and scikit-image cut a Gaussian off at this many standard deviations.
_TRUNCATE = 4.0


def operator(
  size: int, scale: int, *, blur_sigma: float, anti_aliasing: bool
) -> np.ndarray:
  """The degradation of one image axis, as a matrix.

  Args:
    size: Pixels along the axis at high resolution.
    scale: Downsampling factor, >= 1; it has to divide `size`.
    blur_sigma: Standard deviation of the Gaussian blur in high-resolution
      pixels, >= 0; 0 leaves it out. The authors use scale / 2.
    anti_aliasing: Whether to apply the Gaussian of (scale - 1) / 2 pixels that
      scikit-image's `rescale` applies before it samples.

  Returns:
    float32 [size // scale, size], non-negative; every row sums to 1.

  Raises:
    ValueError: `scale` does not divide `size`, or an argument is out of range.
  """
  if size < 1 or scale < 1 or size % scale:
    raise ValueError(f"scale {scale} does not divide the image size {size}")
  if blur_sigma < 0:
    raise ValueError(f"blur_sigma must be >= 0, got {blur_sigma}")
  matrix = _gaussian(size, blur_sigma, _clamp)
  if anti_aliasing:
    matrix = _gaussian(size, (scale - 1) / 2, _mirror) @ matrix
  return (_bilinear(size, scale) @ matrix).astype(np.float32)


def effective_sigma(
  scale: int, *, blur_sigma: float, anti_aliasing: bool
) -> float:
  """Standard deviation of one Gaussian that blurs as `operator` does.

  The variances of its two Gaussians add up (except at the borders and where
  each is cut off). With the authors' blur that is 1.118 px at scale 2 and
  2.5 px at scale 4. The arguments are those of `operator`.
  """
  second = (scale - 1) / 2 if anti_aliasing else 0.0
  return math.hypot(blur_sigma, second)


def degrade(
  high_res: jax.Array, rows: ArrayLike, columns: ArrayLike
) -> jax.Array:
  """Blurs and downsamples images by one operator per axis.

  Args:
    high_res: Images [..., H, W, C].
    rows: Operator [h, H] of the vertical axis, from `operator`.
    columns: Operator [w, W] of the horizontal axis.

  Returns:
    Images [..., h, w, C] in the range of `high_res`, up to rounding.
  """
  return jnp.einsum(
    "ij,...jkc,lk->...ilc",
    rows,
    high_res,
    columns,
    precision=lax.Precision.HIGHEST,
  )


def taps(size: int, scale: int, *, kernel_size: int) -> np.ndarray:
  """The pixels that each tap of a blur kernel is applied to, along one axis.

  Samples as `operator` does, and extends the border like its first Gaussian.

  Args:
    size: Pixels along the axis at high resolution.
    scale: Downsampling factor, >= 1; it has to divide `size`.
    kernel_size: Taps of the kernel along the axis, odd.

  Returns:
    float32 [size // scale, kernel_size, size]; its sum over the taps, weighted
    by a kernel, is an operator that blurs and downsamples.
  """
  shifts = np.zeros((kernel_size, size, size))
  pixels = np.arange(size)
  for tap in range(kernel_size):
    met = _clamp(pixels + tap - kernel_size // 2, size)
    shifts[tap, pixels, met] = 1
  sampled = np.einsum("ip,tpq->itq", _bilinear(size, scale), shifts)
  return sampled.astype(np.float32)


def degrade_by_kernels(
  high_res: jax.Array,
  kernels: jax.Array,
  row_taps: ArrayLike,
  column_taps: ArrayLike,
) -> jax.Array:
  """Blurs each image by its own kernel, and downsamples.

  Args:
    high_res: Images [B, H, W, C].
    kernels: [B, K, L], symmetric about their middle, as Gaussians are, so that
      correlation and convolution are the same.
    row_taps: [h, K, H], from `taps`.
    column_taps: [w, L, W].

  Returns:
    Images [B, h, w, C].
  """
  return jnp.einsum(
    "iuy,byxc,jvx,buv->bijc",
    row_taps,
    high_res,
    column_taps,
    kernels,
    precision=lax.Precision.HIGHEST,
  )


def _gaussian(
  size: int,
  sigma: float,
  extend: Callable[[np.ndarray, int], np.ndarray],
) -> np.ndarray:
  """Matrix [size, size] of a truncated Gaussian filter.

  `extend` maps positions beyond the border to pixels, given the size.
  """
  radius = int(_TRUNCATE * sigma + 0.5)
  if radius == 0:
    return np.eye(size)
  offsets = np.arange(-radius, radius + 1)
  weights = np.exp(-0.5 * (offsets / sigma) ** 2)
  pixels = np.arange(size)[:, None]
  matrix = np.zeros((size, size))
  np.add.at(
    matrix,
    (pixels, extend(pixels + offsets[None], size)),
    weights[None] / weights.sum(),
  )
  return matrix


def _clamp(positions: np.ndarray, size: int) -> np.ndarray:
  """Border rule a a | a b c | c c: SciPy's "nearest"."""
  return np.clip(positions, 0, size - 1)


def _mirror(positions: np.ndarray, size: int) -> np.ndarray:
  """Border rule c b | a b c | b a: SciPy's "mirror"."""
  last = size - 1
  period = max(2 * last, 1)
  return last - np.abs(last - positions % period)


def _bilinear(size: int, scale: int) -> np.ndarray:
  """Matrix [size // scale, size] that samples at (i + 1/2) scale - 1/2.

  That is the middle pixel of each block of `scale` pixels, or the mean of the
  two middle ones if `scale` is even.
  """
  starts = np.arange(0, size, scale)
  matrix = np.zeros((len(starts), size))
  for middle in ((scale - 1) // 2, scale // 2):
    matrix[np.arange(len(starts)), starts + middle] += 0.5
  return matrix
