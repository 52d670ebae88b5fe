"""WDSR as the paper modifies it (section 2): identity mappings and BatchNorm.

It has 16 identity mappings of 32 channels, including the shared ones, instead
of wide-activated blocks with weight normalization; `expansion` brings the wide
activation back. Two details are from the authors' code, because the text leaves
them open: the second head convolution, and a skip branch that starts there
instead of at the image.
"""

import flax.linen as nn
import jax

from sr2_jax.models import layers as layers_lib

# Identity mappings on the way from image to image (paper, section 2).
NUM_MAPPINGS = 16

# Pixels around a pixel that its result depends on: 1 by each of the two heads
# and by up-sampling, 2 by each identity mapping.
RADIUS = 1 + 1 + 2 * NUM_MAPPINGS + 1

_WIDTH = 32


class Trunk(nn.Module):
  """First convolution and `shared_layers` identity mappings."""

  layers: layers_lib.Layers
  shared_layers: int = 1
  expansion: int = 1

  @nn.compact
  def __call__(self, low_res: jax.Array) -> jax.Array:
    """[B, H, W, C] in [0, 1] to features [B, H, W, 32]."""
    if not 1 <= self.shared_layers <= NUM_MAPPINGS:
      raise ValueError(f"WDSR shares 1 to {NUM_MAPPINGS} identity mappings.")
    x = self.layers.conv(_WIDTH, 3, name="head")(low_res)
    for i in range(self.shared_layers):
      x = layers_lib.IdentityMapping(
        self.layers, self.expansion, name=f"mapping_{i}"
      )(x)
    return x


class Head(nn.Module):
  """The remaining identity mappings, up-sampling, and the skip branch."""

  layers: layers_lib.Layers
  scale: int
  channels: int
  shared_layers: int = 1
  expansion: int = 1
  transposed_convolution: bool = False

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, H, W, 32] to [B, scale H, scale W, channels], not clipped."""
    if self.transposed_convolution or not self.layers.batch_norm:
      raise ValueError("WDSR has BatchNorm and no transposed convolution.")
    x = self.layers.conv(_WIDTH, 3, name="head")(x)

    main = x
    for i in range(self.shared_layers, NUM_MAPPINGS):
      main = layers_lib.IdentityMapping(
        self.layers, self.expansion, name=f"mapping_{i}"
      )(main)
    main = self._upsample(main, 3, prefix="")

    skip = self._upsample(x, 5, prefix="skip_")
    return main + skip

  def _upsample(self, x: jax.Array, size: int, *, prefix: str) -> jax.Array:
    # Always three output channels; one more convolution makes them gray.
    name = f"{prefix}upsample"
    x = self.layers.conv(3 * self.scale**2, size, normalized=True, name=name)(x)
    x = self.layers.norm_prelu(x, name=name)
    x = layers_lib.depth_to_space(x, self.scale)
    if self.channels != 3:
      x = self.layers.conv(self.channels, 1, name=f"{prefix}output")(x)
    return x
