"""Convolutions of networks, as `nn.Conv(conv_general_dilated=...)` takes them.

`CONVOLUTIONS` has one for each platform. "portable" is XLA's own on every
device. "cpu" takes the fastest form for each shape, as `conv_choice` has it.

Under `vmap` over members XLA's own becomes a grouped convolution, which may be
slow on a GPU. "unrolled", "mapped" and "patches" avoid it, each in its own way.
No platform takes them yet; `python -m benchmarks.gpu` times them.

First-order reverse-mode differentiation works, under any nesting of `vmap`;
forward-mode and second-order differentiation do not.
"""

import functools
import typing
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from sr2_jax.models import conv_choice, conv_forms, conv_members


class _Functions(typing.NamedTuple):
  """What computes a convolution and its gradients, and how for members."""

  result: conv_forms.Form
  input_gradient: conv_forms.Form
  kernel_gradient: conv_forms.Form
  of_members: conv_members.OfMembers


@functools.cache  # JAX knows a program by its functions.
def _chosen_by(choice: conv_choice.Choice) -> _Functions:
  """The functions that take the form of a choice for each shape."""

  def result(
    x: jax.Array, kernel: jax.Array, geometry: conv_forms.Geometry
  ) -> jax.Array:
    case = conv_choice.Case(
      "result", x.shape[0], x.shape[3], kernel.shape[3], geometry
    )
    return choice.function(case)(x, kernel, geometry)

  def input_gradient(
    g: jax.Array, kernel: jax.Array, geometry: conv_forms.Geometry
  ) -> jax.Array:
    images, (channels, features) = g.shape[0], kernel.shape[2:]
    if geometry.strides == (1, 1):
      back = geometry.flipped()
      both = (
        conv_choice.Case("result", images, channels, features, geometry),
        conv_choice.Case("result", images, features, channels, back),
      )
      if all(choice.form(case) == "map" for case in both):
        # The result has the operator already. To make another of the flipped
        # kernel takes longer than the product.
        by_map = conv_forms.input_gradient_by(conv_forms.by_map)
        return by_map(g, kernel, geometry)
      flipped = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
      return result(g, flipped, back)
    case = conv_choice.Case(
      "input gradient", images, channels, features, geometry
    )
    return choice.function(case)(g, kernel, geometry)

  def kernel_gradient(
    x: jax.Array, g: jax.Array, geometry: conv_forms.Geometry
  ) -> jax.Array:
    case = conv_choice.Case(
      "kernel gradient", x.shape[0], x.shape[3], g.shape[3], geometry
    )
    return choice.function(case)(x, g, geometry)

  return _Functions(
    result, input_gradient, kernel_gradient, conv_members.in_turn
  )


def _xla_of(members: conv_members.OfMembers) -> _Functions:
  """XLA's own convolution, of members in some way."""
  by_xla = conv_forms.by_xla
  return _Functions(
    by_xla,
    conv_forms.input_gradient_by(by_xla),
    conv_forms.kernel_gradient_by(by_xla),
    members,
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(
  x: jax.Array,
  kernel: jax.Array,
  geometry: conv_forms.Geometry,
  functions: _Functions,
) -> jax.Array:
  batchable = conv_members.batchable(
    functions.result, geometry, conv_members.RESULT, functions.of_members
  )
  return batchable(x, kernel)


def _convolve_fwd(
  x: jax.Array,
  kernel: jax.Array,
  geometry: conv_forms.Geometry,
  functions: _Functions,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return _convolve(x, kernel, geometry, functions), (x, kernel)


def _convolve_bwd(
  geometry: conv_forms.Geometry,
  functions: _Functions,
  residuals: tuple[jax.Array, jax.Array],
  g: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  x, kernel = residuals
  input_gradient = conv_members.batchable(
    functions.input_gradient,
    geometry,
    conv_members.INPUT_GRADIENT,
    functions.of_members,
  )
  kernel_gradient = conv_members.batchable(
    functions.kernel_gradient,
    geometry,
    conv_members.KERNEL_GRADIENT,
    functions.of_members,
  )
  return input_gradient(g, kernel), kernel_gradient(x, g)


_convolve.defvjp(_convolve_fwd, _convolve_bwd)


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
    == lax.conv_dimension_numbers(lhs.shape, rhs.shape, conv_forms.NHWC)
  )


def _in_place_of_xla(
  form: conv_forms.Form, *, only: typing.Any = None
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
      geometry = conv_forms.geometry_of(
        lhs.shape, rhs.shape, window_strides, padding
      )
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


def _by(
  functions: _Functions, *, only: typing.Any = None
) -> Callable[..., jax.Array]:
  return _in_place_of_xla(
    lambda x, kernel, geometry: _convolve(x, kernel, geometry, functions),
    only=only,
  )


CONVOLUTIONS: dict[str, Callable[..., jax.Array]] = {
  "portable": lax.conv_general_dilated,
  "cpu": _by(_chosen_by(conv_choice.RULES), only=jnp.float32),
  "tpu": lax.conv_general_dilated,
  "gpu": lax.conv_general_dilated,
  # One convolution for each member.
  "unrolled": _by(_xla_of(conv_members.unroll)),
  "mapped": _by(_xla_of(conv_members.in_a_loop)),
  # One batched product for all members. A 9x9 kernel copies an image 81 times.
  "patches": _in_place_of_xla(conv_forms.by_patches),
}


def by_name(
  name: str, choice: conv_choice.Choice = conv_choice.RULES
) -> Callable[..., jax.Array]:
  """The convolution of a key of CONVOLUTIONS; "cpu" takes a choice of forms.

  Within 1e-5 of the result's scale, whatever is chosen.
  """
  if name != "cpu" or choice == conv_choice.RULES:
    return CONVOLUTIONS[name]
  return _by(_chosen_by(choice), only=jnp.float32)


def for_platform(platform: str) -> str:
  """The key of CONVOLUTIONS for devices of a platform, such as "cpu"."""
  return platform if platform in CONVOLUTIONS else "portable"
