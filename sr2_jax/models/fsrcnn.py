"""FSRCNN: feature extraction, shrinking, mapping, expanding, deconvolution.

Dong et al. 2016 (arXiv 1608.00367) with d = 56, s = 12, m = 4. As in the
authors' code for the paper there is a BatchNorm before every PReLU, and the
deconvolution is a convolution and depth-to-space; `Layers.batch_norm` and
`transposed_convolution` give the original network.
"""

import flax.linen as nn
import jax

from sr2_jax.models import layers as layers_lib

# Pixels around a pixel that its result depends on: 2 by the first convolution,
# 1 by each of the four mappings, 4 by up-sampling.
RADIUS = 2 + 4 * 1 + 4


class Trunk(nn.Module):
  """Feature extraction, which SR2 shares (paper, section 2)."""

  layers: layers_lib.Layers
  shared_layers: int = 1
  expansion: int = 1

  @nn.compact
  def __call__(self, low_res: jax.Array) -> jax.Array:
    """[B, H, W, C] in [0, 1] to features [B, H, W, 56]."""
    if (self.shared_layers, self.expansion) != (1, 1):
      raise ValueError("FSRCNN shares one layer and has no expansion.")
    x = self.layers.conv(56, 5, normalized=True, name="feature")(low_res)
    return self.layers.norm_prelu(x, name="feature")


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
    """[B, H, W, 56] to [B, scale H, scale W, channels], not clipped."""
    layers = self.layers
    x = layers.conv(12, 1, normalized=True, name="shrink")(x)
    x = layers.norm_prelu(x, name="shrink")

    for i in range(4):
      x = layers.conv(12, 3, normalized=True, name=f"map_{i}")(x)
      x = layers.norm_prelu(x, name=f"map_{i}")

    x = layers.conv(56, 1, normalized=True, name="expand")(x)
    x = layers.norm_prelu(x, name="expand")

    if self.transposed_convolution:  # As in the original network.
      return layers.transposed_conv(
        self.channels, 9, stride=self.scale, name="upsample"
      )(x)
    return layers.upsample(
      x,
      self.channels,
      9,
      scale=self.scale,
      name="upsample",
      output_name="output",
    )
