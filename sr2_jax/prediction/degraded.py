"""Low-resolution images made as the evaluation of the network's run does it."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from sr2_jax import errors, rng
from sr2_jax.data import pixels as pixels_lib
from sr2_jax.imaging import noise
from sr2_jax.records import weights as weights_lib
from sr2_jax.training import inputs

# The operator of an axis is a dense matrix.
_LONGEST_SIDE = 4096


class Degradation:
  """Blur, downsampling and noise of a run.

  Args:
    origin: of the network's weights, with the run's config.
    channels: of the network.
    noise_variance: of the noise on images in [0, 1].
  """

  def __init__(
    self, origin: weights_lib.Origin, *, channels: int, noise_variance: float
  ) -> None:
    self._config = ConfigDict(dict(origin.config))
    self._channels = channels
    self._noise_variance = noise_variance
    # Many images have few sizes.
    self._for_size = functools.lru_cache(32)(self._compiled)

  def __call__(
    self, pixels: np.ndarray, position: int
  ) -> tuple[np.ndarray, bool]:
    """The low-resolution image, and whether it was cropped to be divisible.

    Args:
      pixels: high-resolution, [H, W, C].
      position: the place of the image, which chooses its noise.

    Raises:
      UserError: if the image is too small or too large.
    """
    scale = self._config.degradation.scale
    height, width = (side // scale * scale for side in pixels.shape[:2])
    if not 0 < min(height, width) <= max(height, width) <= _LONGEST_SIDE:
      raise errors.UserError(
        f"--degrade takes sides from {scale} to {_LONGEST_SIDE:,} pixels"
      )
    cropped = pixels_lib.with_channels(
      pixels_lib.to_float(pixels[:height, :width]), self._channels
    )
    low_res = self._for_size(height, width)(cropped, np.int32(position))
    return np.asarray(low_res), cropped.shape[:2] != pixels.shape[:2]

  def _compiled(
    self, height: int, width: int
  ) -> Callable[[Any, Any], jax.Array]:
    config = self._config
    degrade = inputs.degradation_of(config, height, width)

    def apply(high_res: jax.Array, position: jax.Array) -> jax.Array:
      clean = degrade(high_res[None])
      stream = rng.stream(config.eval.noise_seed, "noise")
      draw = noise.draw(rng.per_image(stream, position[None]), clean.shape[1:])
      variance = jnp.float32(self._noise_variance)
      return noise.apply(clean, draw, variance)[0]

    return jax.jit(apply)
