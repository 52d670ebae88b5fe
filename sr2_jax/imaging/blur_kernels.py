"""Gaussian blur kernels, and their descriptions as inputs of SRMD.

SRMD (Zhang et al., CVPR 2018) takes a description of each image's degradation:
the coefficients of the blur kernel in a basis, and the standard deviation of
the noise. Kernels are [..., 15, 15] high-resolution pixels and sum to one.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

# Side of a kernel in pixels, as in the released networks.
SIZE = 15

# Coefficients of a kernel, as in the released networks.
NUM_COEFFICIENTS = 15

# Grid of variances and angles for the kernels that a basis is computed from.
_NUM_VARIANCES = 24
_NUM_ANGLES = 16

# Smaller variances are raised to this one: the kernel is one pixel, no blur.
_SMALLEST_VARIANCE = 1e-6


def gaussian(variances: Any, angles: Any, *, xp: Any = jnp) -> Any:
  """Gaussian kernels.

  Args:
    variances: along the two axes of the ellipse, px², >= 0, [..., 2].
    angles: of its first axis, radians from right to down, [...].
    xp: the array module, jax.numpy or numpy; the dtype is that of `variances`.

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
  """Round kernel with a standard deviation in px, float32 [SIZE, SIZE]."""
  kernel = gaussian(np.full(2, sigma**2), np.zeros(()), xp=np)
  return kernel.astype(np.float32)


def draw(
  keys: jax.Array,
  *,
  min_variance: float,
  max_variance: float,
  isotropic: bool,
) -> jax.Array:
  """A random kernel for each image, float32 [B, SIZE, SIZE].

  As in SRMD's training (cszn/KAIR): the larger variance is uniform in
  [min_variance, max_variance], px², the smaller one in [min_variance, the
  larger], and the angle in [0, pi). Isotropic kernels have equal variances.

  Args:
    keys: Typed PRNG keys [B].
    min_variance: > 0.
    max_variance: >= min_variance.
    isotropic: only round kernels.
  """
  uniform = jax.vmap(lambda key: jax.random.uniform(key, (3,)))(keys)
  larger = min_variance + uniform[:, 0] * (max_variance - min_variance)
  smaller = min_variance + uniform[:, 1] * (larger - min_variance)
  if isotropic:
    smaller = larger
  return gaussian(jnp.stack([larger, smaller], -1), jnp.pi * uniform[:, 2])


def draw_noise_std(
  keys: jax.Array, *, max_std: float, clean_fraction: float
) -> jax.Array:
  """A random noise level for each image, float32 [B].

  0 with probability `clean_fraction`, else uniform in [0, max_std); as in
  SRMD's training (cszn/KAIR).
  """
  uniform = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(keys)
  return jnp.where(uniform[:, 0] < clean_fraction, 0, max_std * uniform[:, 1])


def basis_of(min_variance: float, max_variance: float) -> np.ndarray:
  """Basis for kernels with variances in a range, px².

  The first principal components, without centring, of kernels on a grid over
  the distribution of `draw`; SRMD's are those of random kernels. The basis
  depends only on the range: it is computed in float64 and each component has a
  fixed sign, so that a network can be resumed on another machine.

  Returns:
    float32 [NUM_COEFFICIENTS, SIZE²] with orthonormal rows, each over the
    pixels of a kernel, column by column.
  """
  larger = np.linspace(min_variance, max_variance, _NUM_VARIANCES)
  smaller = np.linspace(min_variance, larger, _NUM_VARIANCES)
  angles = np.arange(_NUM_ANGLES) * np.pi / _NUM_ANGLES
  larger, smaller, angles = np.broadcast_arrays(
    larger[:, None], smaller[..., None], angles
  )
  kernels = gaussian(np.stack([larger, smaller], -1), angles, xp=np)
  rows = np.swapaxes(kernels, -2, -1).reshape(-1, SIZE**2)
  _, vectors = np.linalg.eigh(rows.T @ rows)
  basis = vectors[:, ::-1][:, :NUM_COEFFICIENTS].T
  # Components have mirrored pairs of entries, so that neither a single entry
  # nor the sum determines the sign reliably. Networks were trained with these
  # signs; a test fails if NumPy ever draws another probe.
  probe = np.random.default_rng(0).normal(size=SIZE**2)
  return (basis * np.sign(basis @ probe)[:, None]).astype(np.float32)


def describe(
  kernels: jax.Array, noise_stds: jax.Array, basis: ArrayLike
) -> jax.Array:
  """SRMD's description of the degradation of each image.

  Args:
    kernels: [B, SIZE, SIZE].
    noise_stds: standard deviations on images in [0, 1], [B].
    basis: [K, SIZE²].

  Returns:
    [B, K + 1]: the coefficients of the kernel, then the noise.
  """
  # Column by column, as in MATLAB.
  columns = jnp.swapaxes(kernels, -2, -1).reshape(-1, SIZE**2)
  coefficients = jnp.matmul(
    columns, jnp.transpose(basis), precision=jax.lax.Precision.HIGHEST
  )
  return jnp.concatenate([coefficients, noise_stds[:, None]], axis=-1)
