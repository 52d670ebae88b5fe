"""Gaussian blur kernels and how SRMD is told of them.

Zhang et al., CVPR 2018: a network is told the kernel of an image's blur by its
coefficients in a basis, and the standard deviation of its noise. Kernels are
[..., 15, 15] high-resolution pixels and sum to one.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Pixels on a side of a kernel, as released.
SIZE = 15

# Coefficients of a kernel, as released.
NUM_COEFFICIENTS = 15

# The grid of variances and angles whose kernels make a basis.
_NUM_VARIANCES = 24
_NUM_ANGLES = 16

# Stands for no blur at all: the kernel is one pixel.
_SMALLEST_VARIANCE = 1e-6


def gaussian(variances: Any, angles: Any, *, xp: Any = jnp) -> Any:
  """Gaussian kernels.

  Args:
    variances: along the two axes of the ellipse, px², >= 0, [..., 2].
    angles: of its first axis, radians from right to down, [...].
    xp: the array module: jax.numpy, or numpy, in the type of the variances.

  Returns:
    [..., SIZE, SIZE].
  """
  offsets = xp.arange(SIZE, dtype=variances.dtype) - SIZE // 2
  down, right = offsets[:, None], offsets[None, :]
  cosine, sine = (f(angles)[..., None, None] for f in (xp.cos, xp.sin))
  down, right = (
    xp.broadcast_to(x, (*angles.shape, SIZE, SIZE)) for x in (down, right)
  )
  along, across = cosine * right + sine * down, cosine * down - sine * right
  variances = xp.maximum(variances, _SMALLEST_VARIANCE)[..., None, None]
  exponent = along**2 / variances[..., 0, :, :]
  exponent = exponent + across**2 / variances[..., 1, :, :]
  kernels = xp.exp(-exponent / 2)
  return kernels / kernels.sum((-2, -1), keepdims=True)


def isotropic(sigma: float) -> np.ndarray:
  """The round kernel of this standard deviation in px, float32 [SIZE, SIZE]."""
  kernel = gaussian(np.full(2, sigma**2), np.zeros(()), xp=np)
  return kernel.astype(np.float32)


def describe(
  kernels: jax.Array, noise_stds: jax.Array, basis: jax.Array
) -> jax.Array:
  """What SRMD is told of the degradation of each image.

  Args:
    kernels: [B, SIZE, SIZE].
    noise_stds: standard deviations on images in [0, 1], [B].
    basis: [K, SIZE²].

  Returns:
    [B, K + 1]: the coefficients of the kernel, then the noise.
  """
  # Column by column, as MATLAB has them.
  columns = jnp.swapaxes(kernels, -2, -1).reshape(-1, SIZE**2)
  coefficients = jnp.matmul(
    columns, jnp.transpose(basis), precision=jax.lax.Precision.HIGHEST
  )
  return jnp.concatenate([coefficients, noise_stds[:, None]], axis=-1)
