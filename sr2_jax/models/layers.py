"""The layers that every network is built of, made in one place.

Feature maps are float [B, H, W, C]; parameters and BatchNorm's statistics are
float32. "Authors" is the released code of Schirrmacher et al., ICIP 2020.
"""

import dataclasses
import math

import dm_pix
import flax.linen as nn
import jax
import jax.numpy as jnp

from sr2_jax.models import conv


def _he_normal(
  key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32
) -> jax.Array:
  # He et al. 2015 (paper, "Training"): truncated normal, variance 2 / fan_in.
  # The same numbers as nn.initializers.he_normal(), but drawn flat: XLA takes
  # five times as long to compile random numbers in four dimensions.
  *inputs, _ = shape
  deviation = math.sqrt(2 / math.prod(inputs))
  deviation /= 0.87962566103423978  # that of the normal cut at -2 and 2
  flat = jax.random.truncated_normal(key, -2, 2, (math.prod(shape),), dtype)
  return deviation * flat.reshape(shape)


class PReLU(nn.Module):
  """`x` where it is positive and `negative_slope * x` elsewhere.

  One slope per channel from 0.25 (He et al. 2015). The authors have one per
  position as well, which ties their networks to one image size.
  """

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Any [..., C] to the same shape."""
    start = nn.initializers.constant(0.25)
    slope = self.param("negative_slope", start, (x.shape[-1],))
    slope = slope.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
    return jnp.where(x > 0, x, slope * x)


@dataclasses.dataclass(frozen=True)
class Layers:
  """Makes the layers of one subtree, in training or in inference mode.

  Attributes:
    train: BatchNorm takes the batch's statistics and updates the running ones.
    batch_norm: whether `norm_prelu` has a BatchNorm.
    axis_name: mapped axis that BatchNorm averages its statistics over.
    dtype: what the layers compute in and return; None: what they are given.
  """

  train: bool
  batch_norm: bool = True
  axis_name: str | None = None
  dtype: str | None = None

  def conv(
    self, features: int, size: int, *, stride: int = 1, name: str
  ) -> nn.Conv:
    """[B, H, W, C] to [B, ceil(H / stride), ceil(W / stride), features]."""
    return nn.Conv(
      features,
      (size, size),
      strides=stride,
      padding="SAME",
      dtype=self.dtype,
      kernel_init=_he_normal,
      conv_general_dilated=conv.conv_general_dilated,
      name=name,
    )

  def transposed_conv(
    self, features: int, size: int, *, stride: int, name: str
  ) -> nn.Conv:
    """[B, H, W, C] to [B, stride * H, stride * W, features], for odd `size`.

    Equals PyTorch's ConvTranspose2d with padding `size // 2` and output
    padding `stride - 1`, its kernel flipped along height and width.
    """
    half = size // 2
    return nn.Conv(
      features,
      (size, size),
      input_dilation=stride,
      padding=[(half, half + stride - 1)] * 2,
      dtype=self.dtype,
      kernel_init=_he_normal,
      conv_general_dilated=conv.conv_general_dilated,
      name=name,
    )

  def dense(self, features: int, *, name: str) -> nn.Dense:
    """[B, C] to [B, features]."""
    return nn.Dense(
      features, dtype=self.dtype, kernel_init=_he_normal, name=name
    )

  def norm(self, *, name: str) -> nn.BatchNorm:
    """BatchNorm with the constants of the authors, which are Keras'.

    The variance takes a second pass over x: as mean(x²) - mean(x)² it loses
    so many digits that gradients are off by 3e-4, and not by 3e-5.
    """
    return nn.BatchNorm(
      use_running_average=not self.train,
      momentum=0.99,
      epsilon=1e-3,
      use_fast_variance=False,
      dtype=self.dtype,
      axis_name=self.axis_name,
      name=name,
    )

  def norm_prelu(self, x: jax.Array, *, name: str) -> jax.Array:
    """BatchNorm and PReLU, named after the convolution that they belong to."""
    if self.batch_norm:
      x = self.norm(name=f"{name}_norm")(x)
    return PReLU(name=f"{name}_prelu")(x)


class IdentityMapping(nn.Module):
  """Pre-activation residual block (He et al. 2016) with PReLU.

  `expansion` is the hidden width over the outer width; above 1 it is the wide
  activation of WDSR-A, which the paper leaves out.
  """

  layers: Layers
  expansion: int = 1

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, H, W, C] to the same shape."""
    layers, width = self.layers, x.shape[-1]
    y = layers.norm_prelu(x, name="conv_0")
    y = layers.conv(self.expansion * width, 3, name="conv_0")(y)
    y = layers.norm_prelu(y, name="conv_1")
    y = layers.conv(width, 3, name="conv_1")(y)
    return x + y


def depth_to_space(x: jax.Array, scale: int) -> jax.Array:
  """[B, H, W, scale² C] to [B, scale H, scale W, C], in TensorFlow's order."""
  return jnp.asarray(dm_pix.depth_to_space(x, scale))
