"""Forms of a two-dimensional convolution, and what their transposes give.

They agree on finite values (some multiply by zero what others leave out).

Shapes: images [B, H, W, I], kernels [KH, KW, I, O], results [B, H', W', O].
"""

import functools
import itertools
import math
import typing
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

NHWC = ("NHWC", "HWIO", "NHWC")
# Most values that the operator of `by_map` may have; 64 MB.
LARGEST_OPERATOR = 2**24
# Rows of a result that `by_bands` slices one by one. That is fastest, but the
# instructions for thousands take minutes to compile.
_MOST_SLICES = 64

# (x, kernel, geometry) to the result. The transposes of a form are alike: (x,
# the result's cotangent, geometry) to the kernel's cotangent, and (the result's
# cotangent, kernel, geometry) to that of x.
Form = Callable[[jax.Array, jax.Array, "Geometry"], jax.Array]


class Geometry(typing.NamedTuple):
  """Sizes of a convolution along its two spatial axes, (rows, columns)."""

  size: tuple[int, int]
  kernel: tuple[int, int]
  strides: tuple[int, int]
  padding: tuple[tuple[int, int], tuple[int, int]]

  def out(self, axis: int) -> int:
    """Size of the result along a spatial axis."""
    padded = self.size[axis] + sum(self.padding[axis])
    return (padded - self.kernel[axis]) // self.strides[axis] + 1

  def flipped(self) -> "Geometry":
    """That of the input gradient: the result meets the flipped kernel.

    Only for stride 1.
    """
    (kh, kw), ((top, bottom), (left, right)) = self.kernel, self.padding
    padding = (
      (kh - 1 - top, kh - 1 - bottom),
      (kw - 1 - left, kw - 1 - right),
    )
    size = (self.out(0), self.out(1))
    return Geometry(size, self.kernel, (1, 1), padding)

  def taps(self, x: jax.Array, axis: int, fill: float = 0.0) -> list[jax.Array]:
    """Slices of padded `x`: the one that each kernel row (or column) meets."""
    widths = [(0, 0)] * x.ndim
    widths[axis + 1] = self.padding[axis]
    x = jnp.pad(x, widths, constant_values=fill)
    stride = self.strides[axis]
    span = (self.out(axis) - 1) * stride + 1
    return [
      lax.slice_in_dim(x, i, i + span, stride, axis + 1)
      for i in range(self.kernel[axis])
    ]


def geometry_of(
  x_shape: Sequence[int],
  kernel_shape: Sequence[int],
  strides: Sequence[int],
  padding: str | Sequence[tuple[int, int]],
) -> Geometry | None:
  """The geometry, or None if the forms above do not cover it."""
  (height, width), (rows, columns) = x_shape[1:3], kernel_shape[:2]
  if isinstance(padding, str):
    padding = lax.padtype_to_pads(
      (height, width), (rows, columns), strides, padding
    )
  (top, bottom), (left, right) = padding
  geometry = Geometry(
    (height, width),
    (rows, columns),
    (strides[0], strides[1]),
    ((int(top), int(bottom)), (int(left), int(right))),
  )
  fits = all(
    0 <= low < k and 0 <= high < k and n + low + high >= k
    for n, k, (low, high) in zip(
      geometry.size, geometry.kernel, geometry.padding, strict=True
    )
  )
  covered = fits and x_shape[3] == kernel_shape[2] and 0 not in x_shape
  return geometry if covered and 0 not in kernel_shape else None


def by_xla(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """XLA's own convolution: fastest where it calls Eigen and channels are many.

  It does not call Eigen if the kernel is wider than the map, nor for the input
  gradient of some strided convolutions, and is up to 50 times slower there.
  """
  return lax.conv_general_dilated(
    x, kernel, geometry.strides, geometry.padding, dimension_numbers=NHWC
  )


def by_patches(
  x: jax.Array, kernel: jax.Array, geometry: Geometry
) -> jax.Array:
  """One matmul over KH * KW * I values per result pixel.

  Copies the input KH * KW / stride**2 times. Fastest for 1x1 kernels (no copy),
  on gray images (a small copy) and, transposed, as the input gradient of
  strided convolutions.
  """
  rows = geometry.taps(x, 0)
  patches = jnp.concatenate(
    [tap for row in rows for tap in geometry.taps(row, 1)], axis=-1
  )
  return jnp.matmul(patches, kernel.reshape(-1, kernel.shape[-1]))


def by_rows(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Patches of KH rows, one matmul for all KW columns, and shifted sums.

  Copies KH inputs and KW outputs where `by_patches` copies KH * KW inputs.
  Fastest with a dozen channels. Only for stride 1.
  """
  _, kw, _, features = kernel.shape
  patches = jnp.concatenate(geometry.taps(x, 0), axis=-1)
  matrix = kernel.transpose(0, 2, 1, 3).reshape(-1, kw * features)
  z = jnp.matmul(patches, matrix)
  columns = [
    geometry.taps(z[..., j * features : (j + 1) * features], 1)[j]
    for j in range(kw)
  ]
  return functools.reduce(jnp.add, columns)


def by_bands(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """Patches of KH rows, then one dense operator from whole rows to whole rows.

  The operator is the banded matrix [KH * W * I, W' * O] of the kernel. Fastest
  if the kernel is wider than the map, so that little of the band is zero, or at
  least half as wide with three or four channels on one side.
  """
  (_, width), (kh, _) = geometry.size, geometry.kernel
  windows = _windows(kernel.transpose(0, 2, 1, 3), geometry, (1,))
  band = jnp.stack(windows, axis=1)
  batch, channels = x.shape[0], x.shape[3]
  row = width * channels
  if geometry.out(0) > _MOST_SLICES:
    taps = geometry.taps(x, 0)
    patches = jnp.concatenate([x.reshape(batch, -1, row) for x in taps], -1)
  else:
    # The rows that a result row needs are one contiguous slice.
    x = lax.optimization_barrier(
      jnp.pad(x, ((0, 0), geometry.padding[0], (0, 0), (0, 0)))
    ).reshape(batch, -1)
    starts = [i * geometry.strides[0] * row for i in range(geometry.out(0))]
    patches = jnp.stack([x[:, i : i + kh * row] for i in starts], axis=1)
  matrix = band.reshape(kh * width * kernel.shape[2], -1)
  y = jnp.matmul(patches, matrix)
  return y.reshape(*y.shape[:2], geometry.out(1), kernel.shape[3])


def by_map(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  """One dense operator [H * W * I, H' * W' * O] from the map to the result.

  Copies no image, but the kernel H * W times. Fastest if the kernel is wider
  and taller than the map, and is 3x3 or has many images to work on.
  """
  windows = _windows(kernel.transpose(2, 0, 1, 3), geometry, (0, 1))
  batch, features = x.shape[0], kernel.shape[3]
  flat = x.reshape(batch, -1)
  operator = jnp.stack(windows).reshape(flat.shape[1], -1)
  y = jnp.matmul(flat, operator)
  return y.reshape(batch, geometry.out(0), geometry.out(1), features)


def _windows(
  kernel: jax.Array, geometry: Geometry, axes: tuple[int, ...]
) -> list[jax.Array]:
  """The kernel values that each image position is multiplied by.

  These are the rows of banded matrices.

  Args:
    kernel: [..., K, O], or [..., KH, KW, O] for both axes.
    geometry: shapes, strides and padding of the convolution.
    axes: the spatial axes of the kernel's K (or KH and KW), in order.

  Returns:
    For each image position along `axes`, an array [..., N, O] over the N
    positions of the result; zero where the kernel does not reach.
  """
  first_axis = kernel.ndim - 1 - len(axes)
  array_axes = tuple(range(first_axis, kernel.ndim - 1))
  widths = [(0, 0)] * kernel.ndim
  slices: list[list[slice]] = []
  for axis, array_axis in zip(axes, array_axes, strict=True):
    size, low = geometry.size[axis], geometry.padding[axis][0]
    stride, out = geometry.strides[axis], geometry.out(axis)
    last = geometry.kernel[axis] - 1
    # Image position n contributes to result position j by the kernel's value at
    # n - j * stride + low. In the flipped kernel this index grows with j, so
    # that all values for n are one slice, long and contiguous.
    before = max(0, size - 1 + low - last)
    widths[array_axis] = (before, max(0, (out - 1) * stride - low))
    first, span = before + last - low, (out - 1) * stride + 1
    slices.append(
      [slice(first - n, first - n + span, stride) for n in range(size)]
    )
  # Without the barrier XLA computes the padding again for every slice.
  flipped = lax.optimization_barrier(
    jnp.pad(jnp.flip(kernel, array_axes), widths)
  )
  # Both axes at once. One after the other takes fewer slices, but makes the
  # kernel gradient, which adds them up, a third slower.
  return [
    flipped[(..., *position, slice(None))]
    for position in itertools.product(*slices)
  ]


def map_operator_size(channels: int, features: int, geometry: Geometry) -> int:
  """Number of values in the operator of `by_map`."""
  positions = math.prod(geometry.size) * geometry.out(0) * geometry.out(1)
  return positions * channels * features


# One function per form, so that the transposes can be compared.
@functools.cache
def kernel_gradient_by(form: Form) -> Form:
  """The kernel gradient, as the transpose of a form."""

  def gradient(x: jax.Array, g: jax.Array, geometry: Geometry) -> jax.Array:
    shape = (*geometry.kernel, x.shape[3], g.shape[3])
    transpose = jax.linear_transpose(
      lambda kernel: form(x, kernel, geometry),
      jax.ShapeDtypeStruct(shape, g.dtype),
    )
    return transpose(g)[0]

  return gradient


@functools.cache
def input_gradient_by(form: Form) -> Form:
  """The input gradient [B, H, W, I], as the transpose of a form."""

  def gradient(
    g: jax.Array, kernel: jax.Array, geometry: Geometry
  ) -> jax.Array:
    shape = (g.shape[0], *geometry.size, kernel.shape[2])
    transpose = jax.linear_transpose(
      lambda x: form(x, kernel, geometry),
      jax.ShapeDtypeStruct(shape, g.dtype),
    )
    return transpose(g)[0]

  return gradient


# The forms by name, as config.json and the benchmark have them.
FORMS: dict[str, Form] = {
  "xla": by_xla,
  "patches": by_patches,
  "rows": by_rows,
  "bands": by_bands,
  "map": by_map,
}
