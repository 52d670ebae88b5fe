"""SRMD: super-resolution with a description of the degradation as input.

Zhang et al., CVPR 2018 (arXiv 1712.06116), in the form of the released weights,
which have no BatchNorm left: twelve 3x3 convolutions of 128 channels on the
image and on constant maps of the description, then depth-to-space. The networks
are for color: gray images are repeated, and the three outputs averaged, as in
the authors' demonstrations.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from sr2_jax.models import layers as layers_lib

# Convolutions from image to image, and channels between them.
NUM_CONVS = 12
WIDTH = 128

# Pixels around a pixel that its result depends on: 1 by each convolution.
RADIUS = NUM_CONVS

# Length of a description: 15 coefficients of the blur kernel in a basis, and
# the standard deviation of the noise on images in [0, 1].
DESCRIPTION_SIZE = 16

_COLORS = 3


class Trunk(nn.Module):
  """The first convolution."""

  layers: layers_lib.Layers
  shared_layers: int = 1
  expansion: int = 1

  @nn.compact
  def __call__(self, low_res: jax.Array, description: jax.Array) -> jax.Array:
    """Image and description to features.

    Args:
      low_res: [B, H, W, 1 or 3] in [0, 1].
      description: of each image's degradation, [B, DESCRIPTION_SIZE], from
        `imaging.blur_kernels.describe`.

    Returns:
      [B, H, W, WIDTH].
    """
    if (self.shared_layers, self.expansion) != (1, 1):
      raise ValueError("SRMD shares one layer and has no expansion.")
    batch, height, width, channels = low_res.shape
    image = jnp.repeat(low_res, _COLORS // channels, axis=-1)
    maps = jnp.broadcast_to(
      description[:, None, None].astype(image.dtype),
      (batch, height, width, description.shape[-1]),
    )
    x = jnp.concatenate([image, maps], axis=-1)
    return nn.relu(self.layers.conv(WIDTH, 3, name="conv_0")(x))


class Head(nn.Module):
  """Features to the super-resolved image."""

  layers: layers_lib.Layers
  scale: int
  channels: int
  shared_layers: int = 1
  expansion: int = 1
  transposed_convolution: bool = False

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, H, W, WIDTH] to [B, scale H, scale W, channels], not clipped."""
    if self.transposed_convolution:
      raise ValueError("SRMD has no transposed convolution.")
    for i in range(1, NUM_CONVS - 1):
      x = nn.relu(self.layers.conv(WIDTH, 3, name=f"conv_{i}")(x))
    x = self.layers.conv(_COLORS * self.scale**2, 3, name="upsample")(x)
    x = layers_lib.depth_to_space(x, self.scale)
    return x if self.channels == _COLORS else x.mean(axis=-1, keepdims=True)
