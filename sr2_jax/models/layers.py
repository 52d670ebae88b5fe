"""Layers that all networks are built from.

Feature maps are float [B, H, W, C]; parameters and BatchNorm's statistics are
float32. "Authors" refers to the released code of Schirrmacher et al., ICIP
2020.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import dm_pix
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen import dtypes
from jax import lax

from sr2_jax.models import batch_norm as batch_norm_lib
from sr2_jax.models import conv, conv_choice, conv_forms
from sr2_jax.models import placement as placement_lib


def _he_normal(
  key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32
) -> jax.Array:
  # He et al. 2015 (paper, "Training"): truncated normal, variance 2 / fan_in.
  # The same numbers as nn.initializers.he_normal(), but drawn flat: XLA takes
  # five times as long to compile random numbers in four dimensions.
  *inputs, _ = shape
  deviation = math.sqrt(2 / math.prod(inputs))
  # The standard deviation of a standard normal cut off at -2 and 2.
  deviation /= 0.87962566103423978
  flat = jax.random.truncated_normal(key, -2, 2, (math.prod(shape),), dtype)
  return deviation * flat.reshape(shape)


class Slope(nn.Module):
  """The parameter of a PReLU.

  One slope per channel, initially 0.25 (He et al. 2015). The authors have one
  for each position as well, which ties their networks to one image size.
  """

  @nn.compact
  def __call__(self, features: int) -> jax.Array:
    """Slopes [features]."""
    start = nn.initializers.constant(0.25)
    return self.param("negative_slope", start, (features,))


@dataclasses.dataclass(frozen=True)
class Layers:
  """Makes the layers of one subtree, in training or in inference mode.

  Attributes:
    train: BatchNorm uses the batch's statistics and updates the running ones.
    batch_norm: whether `norm_prelu` has a BatchNorm.
    momentum: momentum of BatchNorm's running statistics.
    axis_name: mapped axis that BatchNorm averages its statistics over.
    dtype: type that the layers compute in and return; None: that of their
      inputs.
    convolution: key of `conv.CONVOLUTIONS`; with "tpu" and "gpu", the other
      layers as well take the forms that are fast there, equal within rounding.
    choice: forms of convolutions, with "cpu".
    placement: where the images are in their maps; None: everywhere.
  """

  train: bool
  batch_norm: bool = True
  momentum: float = 0.99
  axis_name: str | None = None
  dtype: str | None = None
  convolution: str = "portable"
  choice: conv_choice.Choice = conv_choice.RULES
  placement: placement_lib.Placement | None = None

  @property
  def _convolve(self) -> Callable[..., jax.Array]:
    """The convolution; it sees zeros outside the images, as at a border."""
    convolve = conv.by_name(self.convolution, self.choice)
    placement = self.placement
    if placement is None:
      return convolve

    def convolve_inside(
      x: jax.Array, kernel: jax.Array, *arguments: Any, **options: Any
    ) -> jax.Array:
      sees_neighbors = kernel.shape[:2] != (1, 1)
      x = placement.fill(x, 0) if sees_neighbors else x
      return convolve(x, kernel, *arguments, **options)

    return convolve_inside

  def conv(
    self,
    features: int,
    size: int,
    *,
    stride: int = 1,
    normalized: bool = False,
    name: str,
  ) -> nn.Conv:
    """[B, H, W, C] to [B, ceil(H / stride), ceil(W / stride), features].

    Args:
      features: channels of the result.
      size: side of the kernel.
      stride: of the kernel.
      normalized: only a BatchNorm sees the result; see `_promote`.
      name: of the layer.
    """
    return nn.Conv(
      features,
      (size, size),
      strides=stride,
      padding="SAME",
      dtype=self.dtype,
      kernel_init=_he_normal,
      promote_dtype=self._promote(normalized),
      conv_general_dilated=self._convolve,
      name=name,
    )

  def _promote(self, normalized: bool) -> Callable[..., Any]:
    """What converts a layer's arguments to one type.

    BatchNorm subtracts the mean of the batch, which cancels any bias before it.
    Apart from rounding, the gradient of such a bias is zero. It is left out.
    """
    if normalized and self.batch_norm and self.train:
      return _with_fixed_bias
    return dtypes.promote_dtype

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
      conv_general_dilated=self._convolve,
      name=name,
    )

  def upsample(
    self,
    x: jax.Array,
    channels: int,
    size: int,
    *,
    scale: int,
    name: str,
    output_name: str,
  ) -> jax.Array:
    """[B, H, W, C] to [B, scale H, scale W, channels], a linear map.

    The convolution `name` makes RGB at every sub-pixel. Unless `channels` is 3,
    the convolution `output_name` then mixes the colors (authors). Nothing is
    between them, so the second is multiplied into the first one's kernel, which
    reduces the work for gray images to a third.
    """
    colors, sub_pixels = 3, scale**2
    kernel, bias = ConvParameters(colors * sub_pixels, size, name=name)(
      x.shape[-1]
    )
    if channels != colors:
      mix, offset = ConvParameters(channels, 1, name=output_name)(colors)

      def mixed(x: jax.Array) -> jax.Array:
        if self.convolution == "tpu":  # It would multiply 3 values at a time.
          each = jnp.kron(jnp.eye(sub_pixels), mix[0, 0])
          return jnp.matmul(x, each, precision=lax.Precision.HIGHEST)
        x = x.reshape(*x.shape[:-1], sub_pixels, colors)
        x = jnp.matmul(x, mix[0, 0], precision=lax.Precision.HIGHEST)
        return x.reshape(*x.shape[:-2], -1)

      kernel, bias = mixed(kernel), mixed(bias) + jnp.tile(offset, sub_pixels)
    x, kernel, bias = dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
    x = self._convolve(
      x, kernel, (1, 1), "SAME", dimension_numbers=conv_forms.NHWC
    )
    return depth_to_space(x + batch_norm_lib.per_channel(bias, x), scale)

  def max_pool(self, x: jax.Array, size: int) -> jax.Array:
    """`max_pool` of the images."""
    if self.placement is not None:
      x = self.placement.fill(x, -jnp.inf)
    return max_pool(x, size)

  def mean(self, x: jax.Array) -> jax.Array:
    """Mean of each image, [B, H, W, C] to [B, C]."""
    if self.placement is not None:
      return self.placement.mean(x)
    return x.mean(axis=(1, 2))

  def dense(
    self, features: int, *, normalized: bool = False, name: str
  ) -> nn.Dense:
    """[B, C] to [B, features]; `normalized` is as in `conv`."""
    return nn.Dense(
      features,
      dtype=self.dtype,
      kernel_init=_he_normal,
      promote_dtype=self._promote(normalized),
      name=name,
    )

  def norm(self, *, name: str) -> batch_norm_lib.BatchNorm:
    """BatchNorm without PReLU."""
    return batch_norm_lib.BatchNorm(
      self.train, self.momentum, self.axis_name, self.convolution, name=name
    )

  def norm_prelu(self, x: jax.Array, *, name: str) -> jax.Array:
    """BatchNorm (if used) and PReLU, named after their convolution."""
    slope = Slope(name=f"{name}_prelu")(x.shape[-1])
    if not self.batch_norm:
      return batch_norm_lib.prelu(x, slope)
    return self.norm(name=f"{name}_norm")(x, slope)


def _with_fixed_bias(
  x: jax.Array, kernel: jax.Array, bias: jax.Array, **options: Any
) -> Any:
  """`dtypes.promote_dtype`, without a gradient of the bias."""
  return dtypes.promote_dtype(x, kernel, lax.stop_gradient(bias), **options)


class ConvParameters(nn.Module):
  """Kernel and bias as in `Layers.conv`, without applying them.

  Attributes:
    features: output channels.
    size: side of the kernel in pixels.
  """

  features: int
  size: int

  @nn.compact
  def __call__(self, channels: int) -> tuple[jax.Array, jax.Array]:
    """Kernel [size, size, channels, features] and bias [features]."""
    shape = (self.size, self.size, channels, self.features)
    kernel = self.param("kernel", _he_normal, shape)
    bias = self.param("bias", nn.initializers.zeros, (self.features,))
    return kernel, bias


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
    hidden = self.expansion * width
    y = layers.norm_prelu(x, name="conv_0")
    y = layers.conv(hidden, 3, normalized=True, name="conv_0")(y)
    y = layers.norm_prelu(y, name="conv_1")
    y = layers.conv(width, 3, name="conv_1")(y)
    return x + y


def max_pool(x: jax.Array, size: int) -> jax.Array:
  """Largest values of `size` x `size` windows, [B, H, W, C] to the same shape.

  Stride 1 and "SAME" padding. As in `nn.max_pool` and PyTorch, the gradient
  goes to the first of equal values, row by row. On the CPU the gradient of
  `nn.max_pool` takes ten times as long in float32.
  """
  _, height, width, _ = x.shape
  same = ((size - 1) // 2, size // 2)
  windows = conv_forms.Geometry(
    (height, width), (size, size), (1, 1), (same, same)
  )
  # Within each row and then between rows: the first of all, row by row.
  for axis in (1, 0):
    x = functools.reduce(_first_of_largest, windows.taps(x, axis, -jnp.inf))
  return x


def _first_of_largest(a: jax.Array, b: jax.Array) -> jax.Array:
  return jnp.where((a >= b) | jnp.isnan(a), a, b)


def depth_to_space(x: jax.Array, scale: int) -> jax.Array:
  """[B, H, W, scale² C] to [B, scale H, scale W, C], in TensorFlow's order."""
  return jnp.asarray(dm_pix.depth_to_space(x, scale))
