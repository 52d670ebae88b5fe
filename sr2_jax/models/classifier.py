"""ResNet-18, reduced to fit images of 16 px and less (paper, section 2).

It lacks the last two identity mappings (512 channels) and has only two stride-2
blocks. As in the authors' code, those blocks have a 3x3 shortcut with its own
BatchNorm and PReLU, and a hidden layer of 1000 precedes the logits. Larger
images may have other strides.
"""

import flax.linen as nn
import jax

from sr2_jax.models import batch_norm
from sr2_jax.models import layers as layers_lib

# The strides of the stem and of both down mappings in the paper.
STRIDES = (1, 2, 2)


class DownMapping(nn.Module):
  """Pre-activation residual block that halves the map ("↓ 2" in Fig. 2)."""

  layers: layers_lib.Layers
  features: int
  stride: int = 2

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, H, W, C] to [B, ceil(H / stride), ceil(W / stride), features]."""
    layers, width, stride = self.layers, self.features, self.stride
    main = layers.norm_prelu(x, name="conv_0")
    conv_0 = layers.conv(
      width, 3, stride=stride, normalized=True, name="conv_0"
    )
    main = conv_0(main)
    main = layers.norm_prelu(main, name="conv_1")
    main = layers.conv(width, 3, name="conv_1")(main)

    shortcut = layers.norm_prelu(x, name="shortcut")
    shortcut = layers.conv(width, 3, stride=stride, name="shortcut")(shortcut)
    return main + shortcut


class ResNet(nn.Module):
  """Features, or an image, to logits.

  Attributes:
    layers: makes its layers.
    num_classes: length of the logits.
    strides: of the stem and of both down mappings, each 1 or 2.
  """

  layers: layers_lib.Layers
  num_classes: int
  strides: tuple[int, ...] = STRIDES

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, H, W, C] to [B, num_classes], before the softmax."""
    layers, (first, second, third) = self.layers, self.strides
    x = layers.norm(name="pool_norm")(x)
    x = layers.max_pool(x, 3)
    x = batch_norm.prelu(x, layers_lib.Slope(name="pool_prelu")(x.shape[-1]))
    x = layers.conv(64, 3, stride=first, normalized=True, name="stem")(x)
    x = layers.norm_prelu(x, name="stem")

    x = layers_lib.IdentityMapping(layers, name="mapping_0")(x)
    x = layers_lib.IdentityMapping(layers, name="mapping_1")(x)
    x = DownMapping(layers, 128, second, name="mapping_2")(x)
    x = layers_lib.IdentityMapping(layers, name="mapping_3")(x)
    x = DownMapping(layers, 256, third, name="mapping_4")(x)
    x = layers_lib.IdentityMapping(layers, name="mapping_5")(x)

    x = layers.mean(x)
    x = layers.dense(1000, normalized=True, name="dense")(x)
    x = layers.norm_prelu(x, name="dense")
    return layers.dense(self.num_classes, name="logits")(x)
