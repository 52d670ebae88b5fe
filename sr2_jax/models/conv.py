"""Two-dimensional convolutions: XLA's own, and others that are fast on the CPU.

`CONVOLUTIONS` has the functions that `nn.Conv(conv_general_dilated=...)` takes.
"portable" is XLA's own on every device. "cpu" is the fastest of five forms,
chosen for each shape by `choose`. The forms agree on finite values (some
multiply by zero what others leave out). The kernel gradient is the transpose of
a form. The input gradient is another convolution or, with strides, the
transpose of a form. `python -m benchmarks.convolutions` times all forms and
marks the choice.

Under `vmap` over members XLA's own becomes a grouped convolution, which may be
slow on a GPU. "unrolled", "mapped" and "patches" avoid it, each in its own way.
No platform takes them yet; `python -m benchmarks.gpu` times them.

First-order reverse-mode differentiation works, under any nesting of `vmap`;
forward-mode and second-order differentiation do not.

Shapes: images [B, H, W, I], kernels [KH, KW, I, O], results [B, H', W', O].
"""

import functools
import itertools
import math
import typing
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

NHWC = ("NHWC", "HWIO", "NHWC")
# Most values that the operator of `by_map` may have; 64 MB.
LARGEST_OPERATOR = 2**24

# (x, kernel, geometry) to the result.
Form = Callable[[jax.Array, jax.Array, "Geometry"], jax.Array]
# (x, the result's cotangent, geometry) to the kernel's.
KernelGradient = Callable[[jax.Array, jax.Array, "Geometry"], jax.Array]
# A function of one member, and its two arguments [M, ...], to all results.
OfMembers = Callable[
  [Callable[[jax.Array, jax.Array], jax.Array], jax.Array, jax.Array], jax.Array
]


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
  # The rows that a result row needs are one contiguous slice.
  batch, channels = x.shape[0], x.shape[3]
  row = width * channels
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


def choose(x_shape: Sequence[int], features: int, geometry: Geometry) -> Form:
  """The fastest form of a forward convolution."""
  if geometry.kernel == (1, 1):
    return by_patches
  if geometry.strides != (1, 1):
    return by_xla
  if geometry.kernel[1] > geometry.size[1]:
    return _for_wide_kernel(x_shape, features, geometry)
  channels = x_shape[3]
  # This copies an image KH * KW times; only small ones have been timed.
  if channels == 1 and geometry.size[1] <= 32:
    return by_patches
  fewest, most = sorted((channels, features))
  # RGB, and FSRCNN's up-sampling to gray at x2.
  if fewest in (3, 4) and _is_wide(geometry):
    return by_bands
  return by_rows if fewest > 4 and most <= 16 else by_xla


def _for_wide_kernel(
  x_shape: Sequence[int], features: int, geometry: Geometry
) -> Form:
  """The fastest form for a kernel wider than the map.

  `by_map` if its operator is small and worth its cost: for a 3x3 kernel always,
  for a larger one with many images.
  """
  rows, columns = geometry.kernel
  fits = map_operator_size(x_shape[3], features, geometry) <= LARGEST_OPERATOR
  pays = max(rows, columns) <= 3 or x_shape[0] >= 512
  return by_map if rows > geometry.size[0] and fits and pays else by_bands


def map_operator_size(channels: int, features: int, geometry: Geometry) -> int:
  """Number of values in the operator of `by_map`."""
  positions = math.prod(geometry.size) * geometry.out(0) * geometry.out(1)
  return positions * channels * features


def _is_wide(geometry: Geometry) -> bool:
  """Whether the kernel is at least half as wide as the map, and not 3x3."""
  return geometry.kernel[1] > 3 and geometry.size[1] <= 2 * geometry.kernel[1]


@functools.cache  # One function per form, so that choices can be compared.
def transposed(form: Form) -> KernelGradient:
  """Kernel gradient as the transpose of a form."""

  def gradient(x: jax.Array, g: jax.Array, geometry: Geometry) -> jax.Array:
    shape = (*geometry.kernel, x.shape[3], g.shape[3])
    transpose = jax.linear_transpose(
      lambda kernel: form(x, kernel, geometry),
      jax.ShapeDtypeStruct(shape, g.dtype),
    )
    return transpose(g)[0]

  return gradient


def choose_for_kernel_gradient(
  x_shape: Sequence[int], features: int, geometry: Geometry
) -> KernelGradient:
  """The fastest kernel gradient."""
  if geometry.kernel == (1, 1):
    return transposed(by_patches)
  if geometry.kernel[1] > geometry.size[1]:
    return transposed(_for_wide_kernel(x_shape, features, geometry))
  if geometry.strides == (1, 1) and features <= 4 and _is_wide(geometry):
    return transposed(by_bands)
  return transposed(by_xla)


def _forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  form = choose(x.shape, kernel.shape[3], geometry)
  return form(x, kernel, geometry)


def _input_gradient(
  g: jax.Array, kernel: jax.Array, geometry: Geometry
) -> jax.Array:
  """[B, H, W, I] from the result's cotangent [B, H', W', O]."""
  if geometry.strides == (1, 1):
    flipped = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    (kh, kw), ((top, bottom), (left, right)) = geometry.kernel, geometry.padding
    padding = (
      (kh - 1 - top, kh - 1 - bottom),
      (kw - 1 - left, kw - 1 - right),
    )
    back = Geometry(
      (geometry.out(0), geometry.out(1)), geometry.kernel, (1, 1), padding
    )
    return _forward(g, flipped, back)
  shape = (g.shape[0], *geometry.size, kernel.shape[2])
  transpose = jax.linear_transpose(
    lambda x: by_patches(x, kernel, geometry),
    jax.ShapeDtypeStruct(shape, g.dtype),
  )
  return transpose(g)[0]


def _kernel_gradient(
  x: jax.Array, g: jax.Array, geometry: Geometry
) -> jax.Array:
  """[KH, KW, I, O] from the image and the result's cotangent."""
  choice = choose_for_kernel_gradient(x.shape, g.shape[3], geometry)
  return choice(x, g, geometry)


def _xla_input_gradient(
  g: jax.Array, kernel: jax.Array, geometry: Geometry
) -> jax.Array:
  """The transpose of XLA's own convolution, [B, H, W, I]."""
  shape = (g.shape[0], *geometry.size, kernel.shape[2])
  transpose = jax.linear_transpose(
    lambda x: by_xla(x, kernel, geometry),
    jax.ShapeDtypeStruct(shape, g.dtype),
  )
  return transpose(g)[0]


# For each of a bilinear function's two arguments: the axis that an extra batch
# axis can be merged into if only that argument has one, and the axis of the
# result that it is then part of.
_MERGE = {
  _forward: ((0, 0), (3, 3)),
  _input_gradient: ((0, 0), (2, 3)),
  _kernel_gradient: ((3, 2), (3, 3)),
  by_xla: ((0, 0), (3, 3)),
  _xla_input_gradient: ((0, 0), (2, 3)),
  transposed(by_xla): ((3, 2), (3, 3)),
}


@functools.cache
def _batchable(
  function: Callable[..., jax.Array],
  geometry: Geometry,
  of_members: OfMembers | None = None,
) -> Callable[[jax.Array, jax.Array], jax.Array]:
  """`function` with a vmap rule that never leads to a grouped convolution.

  A batch axis of one argument is merged into an existing axis. If both have one
  (a population: images and kernels of each member), `of_members` decides; None:
  the members are unrolled.
  """

  @jax.custom_batching.custom_vmap
  def batchable(a: jax.Array, b: jax.Array) -> jax.Array:
    return function(a, b, geometry)

  @batchable.def_vmap
  def _rule(
    size: int, batched: Sequence[bool], a: jax.Array, b: jax.Array
  ) -> tuple[jax.Array, bool]:
    if all(batched):
      return (of_members or _in_turn)(batchable, a, b), True
    (a_axis, a_out), (b_axis, b_out) = _MERGE[function]
    if batched[0]:
      return _split(batchable(_merge(a, a_axis), b), size, a_out), True
    return _split(batchable(a, _merge(b, b_axis)), size, b_out), True

  return batchable


def _in_turn(
  function: Callable[[jax.Array, jax.Array], jax.Array],
  a: jax.Array,
  b: jax.Array,
) -> jax.Array:
  """`function` of each member, one after another.

  Each uses all threads, so that several at once would slow each other down.
  """
  results: list[jax.Array] = []
  for of_a, of_b in zip(a, b, strict=True):
    if results:
      of_a, of_b, results[-1] = lax.optimization_barrier(
        (of_a, of_b, results[-1])
      )
    results.append(function(of_a, of_b))
  return jnp.stack(results)


def _merge(x: jax.Array, axis: int) -> jax.Array:
  """Merges the leading axis, as the slower part, into `axis` of the others."""
  x = jnp.moveaxis(x, 0, axis)
  return x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :])


def _split(x: jax.Array, size: int, axis: int) -> jax.Array:
  """Undoes `_merge`."""
  x = x.reshape(*x.shape[:axis], size, -1, *x.shape[axis + 1 :])
  return jnp.moveaxis(x, axis, 0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
  return _batchable(_forward, geometry)(x, kernel)


def _convolve_fwd(
  x: jax.Array, kernel: jax.Array, geometry: Geometry
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return _convolve(x, kernel, geometry), (x, kernel)


def _convolve_bwd(
  geometry: Geometry, residuals: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array, jax.Array]:
  x, kernel = residuals
  return (
    _batchable(_input_gradient, geometry)(g, kernel),
    _batchable(_kernel_gradient, geometry)(x, g),
  )


_convolve.defvjp(_convolve_fwd, _convolve_bwd)


def _unroll(
  function: Callable[[jax.Array, jax.Array], jax.Array],
  a: jax.Array,
  b: jax.Array,
) -> jax.Array:
  """`function` of each member, without an order: a GPU may overlap them."""
  return jnp.stack([function(x, y) for x, y in zip(a, b, strict=True)])


def _map(
  function: Callable[[jax.Array, jax.Array], jax.Array],
  a: jax.Array,
  b: jax.Array,
) -> jax.Array:
  """`function` of each member in a loop, compiled once."""
  return lax.map(lambda member: function(*member), (a, b))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve_members(
  x: jax.Array, kernel: jax.Array, geometry: Geometry, of_members: OfMembers
) -> jax.Array:
  """XLA's own convolution, of members as `of_members` has them."""
  return _batchable(by_xla, geometry, of_members)(x, kernel)


def _convolve_members_fwd(
  x: jax.Array, kernel: jax.Array, geometry: Geometry, of_members: OfMembers
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return _convolve_members(x, kernel, geometry, of_members), (x, kernel)


def _convolve_members_bwd(
  geometry: Geometry,
  of_members: OfMembers,
  residuals: tuple[jax.Array, jax.Array],
  g: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  x, kernel = residuals
  kernel_gradient = transposed(by_xla)
  return (
    _batchable(_xla_input_gradient, geometry, of_members)(g, kernel),
    _batchable(kernel_gradient, geometry, of_members)(x, g),
  )


_convolve_members.defvjp(_convolve_members_fwd, _convolve_members_bwd)


def _is_plain(
  lhs: jax.Array,
  rhs: jax.Array,
  dimension_numbers: typing.Any,
  preferred_element_type: typing.Any,
) -> bool:
  """Whether images are NHWC, and everything has one type."""
  return (
    lhs.ndim == 4
    and lhs.dtype == rhs.dtype
    and preferred_element_type in (None, lhs.dtype)
    and lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    == lax.conv_dimension_numbers(lhs.shape, rhs.shape, NHWC)
  )


def _in_place_of_xla(
  form: Form, *, only: typing.Any = None
) -> Callable[..., jax.Array]:
  """A form with the arguments of `lax.conv_general_dilated`.

  Only NHWC images have the form, without groups, dilation or padding beyond the
  kernel. Anything else goes to XLA's own convolution.

  Args:
    form: takes images, a kernel and their geometry.
    only: the type of images that it takes; None: any.
  """

  def convolve(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *,
    dimension_numbers: typing.Any = None,
    preferred_element_type: typing.Any = None,
    **options: typing.Any,
  ) -> jax.Array:
    geometry = None
    # Dilations and groups of 1 are none.
    is_special = any(
      value is not None and set(np.ravel(value).tolist()) != {1}
      for name, value in options.items()
      if name != "precision"
    )
    if (
      not is_special
      and only in (None, lhs.dtype)
      and _is_plain(lhs, rhs, dimension_numbers, preferred_element_type)
    ):
      geometry = geometry_of(lhs.shape, rhs.shape, window_strides, padding)
    if geometry is not None:
      return form(lhs, rhs, geometry)
    return lax.conv_general_dilated(
      lhs,
      rhs,
      window_strides,
      padding,
      dimension_numbers=dimension_numbers,
      preferred_element_type=preferred_element_type,
      **options,
    )

  return convolve


# Within 1e-5 of the result's scale.
fast_on_cpu = _in_place_of_xla(
  lambda x, kernel, geometry: _convolve(x, kernel, geometry), only=jnp.float32
)
CONVOLUTIONS: dict[str, Callable[..., jax.Array]] = {
  "portable": lax.conv_general_dilated,
  "cpu": fast_on_cpu,
  "tpu": lax.conv_general_dilated,
  "gpu": lax.conv_general_dilated,
  # One convolution for each member.
  "unrolled": _in_place_of_xla(
    lambda x, kernel, geometry: _convolve_members(x, kernel, geometry, _unroll)
  ),
  "mapped": _in_place_of_xla(
    lambda x, kernel, geometry: _convolve_members(x, kernel, geometry, _map)
  ),
  # One batched product for all members. A 9x9 kernel copies an image 81 times.
  "patches": _in_place_of_xla(by_patches),
}


def for_platform(platform: str) -> str:
  """The key of CONVOLUTIONS for devices of a platform, such as "cpu"."""
  return platform if platform in CONVOLUTIONS else "portable"


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
