"""Layers that all networks are built from.

Feature maps are float [B, H, W, C]; parameters and BatchNorm's statistics are
float32. "Authors" refers to the released code of Schirrmacher et al., ICIP
2020.
"""

import dataclasses
import functools
import math
import typing
from collections.abc import Callable, Sequence
from typing import Any

import dm_pix
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen import dtypes
from jax import lax

from sr2_jax.models import conv
from sr2_jax.models import placement as placement_lib

# BatchNorm's epsilon (authors: Keras' default).
_EPSILON = 1e-3


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


def prelu(x: jax.Array, slope: jax.Array) -> jax.Array:
  """`x` [..., C] where it is positive and `slope * x` elsewhere, slope [C]."""
  return jnp.where(x > 0, x, _channels(slope.astype(x.dtype), x) * x)


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


def _channels(per_channel: jax.Array, x: jax.Array) -> jax.Array:
  """Reshapes [C] to [1, ..., 1, C], with the rank of x."""
  return per_channel.reshape((1,) * (x.ndim - 1) + (-1,))


def _widened(x: jax.Array) -> jax.Array:
  """Converts to float32, or leaves a wider type."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _statistics(x: jax.Array, axis_name: str | None) -> jax.Array:
  """Mean and (biased) variance [2, C] over all axes but the last, and devices.

  The variance takes a second pass over x: mean(x²) - mean(x)² loses so many
  digits that gradients are off by 3e-4 instead of 3e-5. Between devices that
  difference is harmless, because their means are almost equal.
  """
  axes = tuple(range(x.ndim - 1))
  mean = jnp.mean(x, axes)
  variance = jnp.mean(jnp.square(x - _channels(mean, x)), axes)
  if axis_name is None:
    return jnp.stack([mean, variance])
  mean, variance, square = lax.pmean(
    jnp.stack([mean, variance, jnp.square(mean)]), axis_name
  )
  return jnp.stack([mean, variance + square - jnp.square(mean)])


# For the gradient of _norm_prelu: x, mean, 1 / deviation, scale, bias, slope.
_Residuals = tuple[jax.Array, ...]


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _norm_prelu(
  x: jax.Array,
  scale: jax.Array,
  bias: jax.Array,
  slope: jax.Array,
  axis_name: str | None,
) -> tuple[jax.Array, jax.Array]:
  """BatchNorm with the batch's statistics and PReLU, as one function.

  It computes in float32 or a wider type and returns the type of x. Its custom
  gradient passes over x twice and communicates once; with the one that JAX
  derives, a training step of WDSR is a third slower.

  Args:
    x: [..., C].
    scale: BatchNorm's scale, [C].
    bias: BatchNorm's bias, [C].
    slope: PReLU's slope, [C].
    axis_name: mapped axis to average statistics over, or None.

  Returns:
    The result, of the shape of x, and the statistics [2, C], which have no
    gradient.
  """
  return _norm_prelu_fwd(x, scale, bias, slope, axis_name)[0]


def _norm_prelu_fwd(
  x: jax.Array,
  scale: jax.Array,
  bias: jax.Array,
  slope: jax.Array,
  axis_name: str | None,
) -> tuple[tuple[jax.Array, jax.Array], _Residuals]:
  wide = _widened(x)
  statistics = _statistics(wide, axis_name)
  mean, variance = statistics
  inverse = lax.rsqrt(variance + _EPSILON)
  y = prelu(_affine(wide, scale * inverse, mean, bias), slope).astype(x.dtype)
  return (y, statistics), (x, mean, inverse, scale, bias, slope)


def _norm_prelu_bwd(
  axis_name: str | None,
  residuals: _Residuals,
  cotangents: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, ...]:
  narrow, mean, inverse, scale, bias, slope = residuals
  x, g = _widened(narrow), _widened(cotangents[0])
  axes = tuple(range(x.ndim - 1))
  y = _affine(x, scale * inverse, mean, bias)
  slope_gradient = jnp.sum(jnp.where(y > 0, 0, y * g), axes)
  g = jnp.where(y > 0, g, _channels(slope, x) * g)
  normalized = (x - _channels(mean, x)) * _channels(inverse, x)
  bias_gradient = jnp.sum(g, axes)
  scale_gradient = jnp.sum(g * normalized, axes)
  means = jnp.stack([bias_gradient, scale_gradient]) * (x.shape[-1] / x.size)
  if axis_name is not None:
    means = lax.pmean(means, axis_name)
  x_gradient = _channels(scale * inverse, x) * (
    g - _channels(means[0], x) - normalized * _channels(means[1], x)
  )
  return (
    x_gradient.astype(narrow.dtype),
    scale_gradient,
    bias_gradient,
    slope_gradient,
  )


_norm_prelu.defvjp(_norm_prelu_fwd, _norm_prelu_bwd)


def _affine(
  x: jax.Array, factor: jax.Array, mean: jax.Array, bias: jax.Array
) -> jax.Array:
  """factor * (x - mean) + bias for each channel."""
  return (x - _channels(mean, x)) * _channels(factor, x) + _channels(bias, x)


def _statistics_around(
  x: jax.Array, guess: jax.Array, axis_name: str | None
) -> tuple[jax.Array, jax.Array]:
  """Mean and variance as `_statistics`, in one pass over x.

  Around a guess of the mean, such as the running one, little cancels.
  """
  axes = tuple(range(x.ndim - 1))
  offset = jnp.mean(x, axes) - guess
  square = jnp.mean(jnp.square(x - _channels(guess, x)), axes)
  if axis_name is not None:
    offset, square = lax.pmean(jnp.stack([offset, square]), axis_name)
  return guess + offset, jnp.maximum(0, square - jnp.square(offset))


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def _norm_prelu_around(
  x: jax.Array,
  scale: jax.Array,
  bias: jax.Array,
  slope: jax.Array,
  guess: jax.Array,
  axis_name: str | None,
  joins_sums: bool,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  """`_norm_prelu` in fewer operations, for accelerators.

  Args:
    x: [..., C].
    scale: BatchNorm's scale, [C].
    bias: BatchNorm's bias, [C].
    slope: PReLU's slope, [C].
    guess: of the mean, [C]; it has no gradient.
    axis_name: mapped axis to average statistics over, or None.
    joins_sums: compute the three sums of the gradient in one reduction, which
      a GPU would start one by one.

  Returns:
    The result, of the shape of x, and mean and variance [C], which have no
    gradient.
  """
  arguments = (x, scale, bias, slope, guess, axis_name, joins_sums)
  return _norm_prelu_around_fwd(*arguments)[0]


def _norm_prelu_around_fwd(
  x: jax.Array,
  scale: jax.Array,
  bias: jax.Array,
  slope: jax.Array,
  guess: jax.Array,
  axis_name: str | None,
  joins_sums: bool,
) -> tuple[tuple[jax.Array, tuple[jax.Array, jax.Array]], _Residuals]:
  del joins_sums
  wide = _widened(x)
  mean, variance = _statistics_around(wide, guess, axis_name)
  inverse = lax.rsqrt(variance + _EPSILON)
  y = prelu(_affine(wide, scale * inverse, mean, bias), slope).astype(x.dtype)
  return (y, (mean, variance)), (x, mean, inverse, scale, bias, slope)


def _norm_prelu_around_bwd(
  axis_name: str | None,
  joins_sums: bool,
  residuals: _Residuals,
  cotangents: tuple[jax.Array, Any],
) -> tuple[jax.Array, ...]:
  narrow, mean, inverse, scale, bias, slope = residuals
  x, g = _widened(narrow), _widened(cotangents[0])
  normalized = (x - _channels(mean, x)) * _channels(inverse, x)
  y = normalized * _channels(scale, x) + _channels(bias, x)
  of_slope = jnp.where(y > 0, 0, y * g)
  g = jnp.where(y > 0, g, _channels(slope, x) * g)
  slope_gradient, bias_gradient, scale_gradient = _sums(
    (of_slope, g, g * normalized), joined=joins_sums
  )
  sums: Sequence[jax.Array] = (bias_gradient, scale_gradient)
  if axis_name is not None:
    sums = lax.pmean(jnp.stack(sums), axis_name)
  # Divided here, not before: small vectors cost an accelerator as much as maps.
  mean_gradient = (
    _channels(sums[0], x) + normalized * _channels(sums[1], x)
  ) * (x.shape[-1] / x.size)
  x_gradient = _channels(scale * inverse, x) * (g - mean_gradient)
  return (
    x_gradient.astype(narrow.dtype),
    scale_gradient,
    bias_gradient,
    slope_gradient,
    jnp.zeros_like(mean),
  )


def _sums(
  maps: tuple[jax.Array, ...], *, joined: bool
) -> tuple[jax.Array, ...]:
  """Sum of each map [..., C] over all axes but the last."""
  axes = tuple(range(maps[0].ndim - 1))
  if not joined:
    return tuple(jnp.sum(x, axes) for x in maps)

  def add(a: Any, b: Any) -> Any:
    return tuple(x + y for x, y in zip(a, b, strict=True))

  zero = jnp.zeros((), maps[0].dtype)
  return tuple(lax.reduce(maps, (zero,) * len(maps), add, axes))


_norm_prelu_around.defvjp(_norm_prelu_around_fwd, _norm_prelu_around_bwd)


class BatchNorm(nn.Module):
  """BatchNorm and, if it gets slopes, the PReLU after it.

  Attributes:
    train: use the batch's statistics and update the running ones.
    momentum: momentum of the running statistics.
    axis_name: mapped axis to average the batch's statistics over, or None.
    convolution: as in `Layers`.
  """

  train: bool
  momentum: float
  axis_name: str | None = None
  convolution: str = "portable"

  @nn.compact
  def __call__(self, x: jax.Array, slope: jax.Array | None = None) -> jax.Array:
    """[..., C] to the same shape; `slope` is PReLU's, [C]."""
    shape = (x.shape[-1],)
    mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
    variance = self.variable("batch_stats", "var", jnp.ones, shape)
    scale = self.param("scale", nn.initializers.ones, shape)
    bias = self.param("bias", nn.initializers.zeros, shape)
    slope = jnp.ones(shape) if slope is None else slope
    if not self.train:
      factor = scale * lax.rsqrt(variance.value + _EPSILON)
      y = _affine(_widened(x), factor, mean.value, bias)
      return prelu(y, slope).astype(x.dtype)
    # Parameters may be initialized outside the mapped axis.
    axis_name = None if self.is_initializing() else self.axis_name
    # All other keys are for GPUs.
    on_accelerator = self.convolution not in ("portable", "cpu")
    joins_sums = self.convolution != "tpu"
    keep = self.momentum
    if on_accelerator:
      y, statistics = typing.cast(
        tuple[jax.Array, tuple[jax.Array, jax.Array]],
        _norm_prelu_around(
          x, scale, bias, slope, mean.value, axis_name, joins_sums
        ),
      )
    else:
      y, statistics = typing.cast(
        tuple[jax.Array, jax.Array],
        _norm_prelu(x, scale, bias, slope, axis_name),
      )
    if self.is_initializing():
      return y
    if on_accelerator and not keep:  # 0 times a number is still an operation.
      mean.value, variance.value = statistics
    else:
      mean.value = keep * mean.value + (1 - keep) * statistics[0]
      variance.value = keep * variance.value + (1 - keep) * statistics[1]
    return y


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
    placement: where the images are in their maps; None: everywhere.
  """

  train: bool
  batch_norm: bool = True
  momentum: float = 0.99
  axis_name: str | None = None
  dtype: str | None = None
  convolution: str = "portable"
  placement: placement_lib.Placement | None = None

  @property
  def _convolve(self) -> Callable[..., jax.Array]:
    """The convolution; it sees zeros outside the images, as at a border."""
    convolve = conv.CONVOLUTIONS[self.convolution]
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
      conv_general_dilated=self._convolve,
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
    x = self._convolve(x, kernel, (1, 1), "SAME", dimension_numbers=conv.NHWC)
    return depth_to_space(x + _channels(bias, x), scale)

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

  def dense(self, features: int, *, name: str) -> nn.Dense:
    """[B, C] to [B, features]."""
    return nn.Dense(
      features, dtype=self.dtype, kernel_init=_he_normal, name=name
    )

  def norm(self, *, name: str) -> BatchNorm:
    """BatchNorm without PReLU."""
    return BatchNorm(
      self.train, self.momentum, self.axis_name, self.convolution, name=name
    )

  def norm_prelu(self, x: jax.Array, *, name: str) -> jax.Array:
    """BatchNorm (if used) and PReLU, named after their convolution."""
    slope = Slope(name=f"{name}_prelu")(x.shape[-1])
    if not self.batch_norm:
      return prelu(x, slope)
    return self.norm(name=f"{name}_norm")(x, slope)


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
    y = layers.norm_prelu(x, name="conv_0")
    y = layers.conv(self.expansion * width, 3, name="conv_0")(y)
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
  windows = conv.Geometry((height, width), (size, size), (1, 1), (same, same))
  # Within each row and then between rows: the first of all, row by row.
  for axis in (1, 0):
    x = functools.reduce(_first_of_largest, windows.taps(x, axis, -jnp.inf))
  return x


def _first_of_largest(a: jax.Array, b: jax.Array) -> jax.Array:
  return jnp.where((a >= b) | jnp.isnan(a), a, b)


def depth_to_space(x: jax.Array, scale: int) -> jax.Array:
  """[B, H, W, scale² C] to [B, scale H, scale W, C], in TensorFlow's order."""
  return jnp.asarray(dm_pix.depth_to_space(x, scale))
