"""BatchNorm with the PReLU after it, in the forms that are fast on each device.

Feature maps are float [..., C]; parameters and statistics are float32.
"""

import functools
import typing
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

# BatchNorm's epsilon (authors: Keras' default).
EPSILON = 1e-3


def prelu(x: jax.Array, slope: jax.Array) -> jax.Array:
  """`x` [..., C] where it is positive and `slope * x` elsewhere, slope [C]."""
  return jnp.where(x > 0, x, per_channel(slope.astype(x.dtype), x) * x)


def per_channel(values: jax.Array, x: jax.Array) -> jax.Array:
  """Reshapes [C] to [1, ..., 1, C], with the rank of x."""
  return values.reshape((1,) * (x.ndim - 1) + (-1,))


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
  variance = jnp.mean(jnp.square(x - per_channel(mean, x)), axes)
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
  inverse = lax.rsqrt(variance + EPSILON)
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
  g = jnp.where(y > 0, g, per_channel(slope, x) * g)
  normalized = (x - per_channel(mean, x)) * per_channel(inverse, x)
  bias_gradient = jnp.sum(g, axes)
  scale_gradient = jnp.sum(g * normalized, axes)
  means = jnp.stack([bias_gradient, scale_gradient]) * (x.shape[-1] / x.size)
  if axis_name is not None:
    means = lax.pmean(means, axis_name)
  x_gradient = per_channel(scale * inverse, x) * (
    g - per_channel(means[0], x) - normalized * per_channel(means[1], x)
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
  return (x - per_channel(mean, x)) * per_channel(factor, x) + per_channel(
    bias, x
  )


def _statistics_around(
  x: jax.Array, guess: jax.Array, axis_name: str | None
) -> tuple[jax.Array, jax.Array]:
  """Mean and variance as `_statistics`, in one pass over x.

  Around a guess of the mean, such as the running one, little cancels.
  """
  axes = tuple(range(x.ndim - 1))
  offset = jnp.mean(x, axes) - guess
  square = jnp.mean(jnp.square(x - per_channel(guess, x)), axes)
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
  inverse = lax.rsqrt(variance + EPSILON)
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
  normalized = (x - per_channel(mean, x)) * per_channel(inverse, x)
  y = normalized * per_channel(scale, x) + per_channel(bias, x)
  of_slope = jnp.where(y > 0, 0, y * g)
  g = jnp.where(y > 0, g, per_channel(slope, x) * g)
  slope_gradient, bias_gradient, scale_gradient = _sums(
    (of_slope, g, g * normalized), joined=joins_sums
  )
  sums: Sequence[jax.Array] = (bias_gradient, scale_gradient)
  if axis_name is not None:
    sums = lax.pmean(jnp.stack(sums), axis_name)
  # Divided here, not before: small vectors cost an accelerator as much as maps.
  mean_gradient = (
    per_channel(sums[0], x) + normalized * per_channel(sums[1], x)
  ) * (x.shape[-1] / x.size)
  x_gradient = per_channel(scale * inverse, x) * (g - mean_gradient)
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
    convolution: as in `layers.Layers`.
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
      factor = scale * lax.rsqrt(variance.value + EPSILON)
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
