"""Bicubic up-sampling, the baseline that needs no training."""

import jax


def upsample(low_res: jax.Array, scale: int) -> jax.Array:
  """Images up-sampled by cubic convolution with Keys' kernel, a = -0.5.

  Pixel centers align as in image libraries (half-pixel). At the border, weights
  outside the image are dropped and the others rescaled to sum to one. The
  result may leave [0, 1].

  Args:
    low_res: [B, H, W, C].
    scale: whole factor, 1 or more.

  Returns:
    [B, scale H, scale W, C].
  """
  batch, height, width, channels = low_res.shape
  shape = (batch, scale * height, scale * width, channels)
  return jax.image.resize(low_res, shape, method="cubic", antialias=False)
