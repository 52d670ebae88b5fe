"""Losses and metrics of images, one number per example.

Images are float32 [batch, height, width, channels] with a nominal range of
1; values outside [0, 1] are allowed, because predictions are not clipped.
Reduction over the batch is up to the caller.

Both SSIMs filter by banded matrices, a matrix product per axis: on a CPU that
is 5 (color) to 25 times (gray) as fast as `dm_pix.ssim`. Under `vmap`, an
argument that is not mapped is filtered only once.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

# Mean squared error below which `psnr_db` stays at its cap.
_SMALLEST_ERROR = 1e-10


def ssim(a: jax.Array, b: jax.Array) -> jax.Array:
  """Structural similarity of Wang et al. (2004), range 1.

  Gaussian window of 11x11 px and sigma 1.5, population covariance, only where
  the window fits into the image; the mean over positions and channels. Equals
  `dm_pix.ssim`, `tf.image.ssim(max_val=1)` and scikit-image's with Wang's
  settings.

  Args:
    a: Images [B, H, W, C].
    b: Images of the same shape.

  Returns:
    float32 [B], at most 1.

  Raises:
    ValueError: The shapes differ, or an image is smaller than the window.
  """
  window = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
  window /= window.sum()
  return _ssim(a, b, window=window, value_range=1.0, covariance_factor=1.0)


def ssim_uniform7(
  a: jax.Array, b: jax.Array, *, value_range: float
) -> jax.Array:
  """Structural similarity by scikit-image's defaults, as the authors use it.

  Uniform window of 7x7 px and sample covariance. The authors' version of
  scikit-image took the range of floats to be 2.

  Args:
    a: Images [B, H, W, C].
    b: Images of the same shape.
    value_range: scikit-image's `data_range`, 1 or 2.

  Returns:
    float32 [B], at most 1.

  Raises:
    ValueError: The shapes differ, or an image is smaller than the window.
  """
  num_pixels = 7 * 7
  return _ssim(
    a,
    b,
    window=np.full(7, 1 / 7),
    value_range=value_range,
    covariance_factor=num_pixels / (num_pixels - 1),
  )


def psnr_db(a: jax.Array, b: jax.Array) -> jax.Array:
  """Peak signal-to-noise ratio in dB, range 1; at most 100 dB.

  The cap keeps equal images finite: mean squared errors below 1e-10 count as
  1e-10.

  Args:
    a: Images [B, H, W, C].
    b: Images of the same shape.

  Returns:
    float32 [B].

  Raises:
    ValueError: The shapes differ.
  """
  error = jnp.maximum(mean_squared_error(a, b), _SMALLEST_ERROR)
  return -10.0 * jnp.log10(error)


def mean_squared_error(a: jax.Array, b: jax.Array) -> jax.Array:
  """Mean squared difference [B] of images [B, H, W, C]."""
  _check_same_shape(a, b)
  return jnp.mean(jnp.square(a - b), axis=(1, 2, 3))


def mean_absolute_error(a: jax.Array, b: jax.Array) -> jax.Array:
  """Mean absolute difference [B] of images [B, H, W, C]."""
  _check_same_shape(a, b)
  return jnp.mean(jnp.abs(a - b), axis=(1, 2, 3))


def cross_entropy(
  logits: jax.Array,
  labels: jax.Array,
  class_weights: Sequence[float] | None = None,
) -> jax.Array:
  """Softmax cross-entropy in nats [B] of logits [B, K], int labels [B].

  With weights of the K classes it is that of each image times the weight of its
  class. Nothing is divided by the weights of a batch: each image counts the
  same in every batch, and on every device.
  """
  values = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  if class_weights is None:
    return values
  return values * jnp.asarray(class_weights, values.dtype)[labels]


def _ssim(
  a: jax.Array,
  b: jax.Array,
  *,
  window: np.ndarray,
  value_range: float,
  covariance_factor: float,
) -> jax.Array:
  """Structural similarity [B] with a separable window, given along one axis."""
  _check_same_shape(a, b)
  batch, height, width, channels = a.shape
  if min(height, width) < len(window):
    raise ValueError(
      f"images of {height}x{width} px are smaller than the SSIM window of "
      f"{len(window)}x{len(window)} px"
    )
  rows, columns = _banded(height, window), _banded(width, window)

  def planes(images: jax.Array) -> jax.Array:
    moved = jnp.moveaxis(images, 3, 1)
    return moved.reshape(batch * channels, height, width)

  def smooth(images: jax.Array) -> jax.Array:
    return jnp.einsum(
      "ij,njk,lk->nil",
      rows,
      images,
      columns,
      precision=lax.Precision.HIGHEST,
    )

  def moments(
    images: jax.Array,
  ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    # E[x^2] - E[x]^2 loses digits where the mean is large compared with the
    # variance, so subtract the mean of the image first.
    offset = jnp.mean(images, axis=(1, 2), keepdims=True)
    centred = images - offset
    mean = smooth(centred)
    variance = jnp.maximum(smooth(jnp.square(centred)) - jnp.square(mean), 0.0)
    return centred, mean, mean + offset, variance * covariance_factor

  centred_a, mean_a, level_a, variance_a = moments(planes(a))
  centred_b, mean_b, level_b, variance_b = moments(planes(b))
  covariance = smooth(centred_a * centred_b) - mean_a * mean_b
  covariance = covariance * covariance_factor
  c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
  similarity = (
    (2 * level_a * level_b + c1)
    * (2 * covariance + c2)
    / (jnp.square(level_a) + jnp.square(level_b) + c1)
    / (variance_a + variance_b + c2)
  )
  return jnp.mean(similarity.reshape(batch, -1), axis=1)


def _banded(size: int, window: np.ndarray) -> jax.Array:
  """Matrix [size - len(window) + 1, size], the window at each position."""
  places = np.arange(size - len(window) + 1)[:, None]
  matrix = np.zeros((len(places), size), np.float32)
  matrix[places, places + np.arange(len(window))[None]] = window[None]
  return jnp.asarray(matrix)


def _check_same_shape(a: jax.Array, b: jax.Array) -> None:
  if a.shape != b.shape:
    raise ValueError(f"images differ in shape: {a.shape} and {b.shape}")


# Super-resolution losses by name: arrays [B, H, W, C] to [B].
SR_LOSSES = {
  "mse": mean_squared_error,
  "l1": mean_absolute_error,
}

# Metrics of super-resolved images by name: arrays [B, H, W, C] to [B].
IMAGE_METRICS = {
  "ssim": ssim,
  "ssim_uniform7": lambda a, b: ssim_uniform7(a, b, value_range=1.0),
  "ssim_uniform7_range2": lambda a, b: ssim_uniform7(a, b, value_range=2.0),
  "psnr_db": psnr_db,
}
