"""Convolutions of members under `vmap`, without a grouped convolution.

XLA makes one grouped convolution of the members' own, which is slow on the CPU
and may be slow on a GPU. A convolution and its two gradients are bilinear: they
are functions of two arrays, either of which members may share.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from sr2_jax.models import conv_forms

# A bilinear function, such as a form of a convolution.
Bilinear = Callable[[jax.Array, jax.Array, conv_forms.Geometry], jax.Array]
# For each of its two arguments: the axis that an extra batch axis can be merged
# into if only that argument has one, and the axis of the result that it is then
# part of.
Merge = tuple[tuple[int, int], tuple[int, int]]
RESULT: Merge = ((0, 0), (3, 3))
INPUT_GRADIENT: Merge = ((0, 0), (2, 3))
KERNEL_GRADIENT: Merge = ((3, 2), (3, 3))
# A function of one member, and its two arguments [M, ...], to all results.
OfMembers = Callable[
  [Callable[[jax.Array, jax.Array], jax.Array], jax.Array, jax.Array], jax.Array
]


@functools.cache
def batchable(
  function: Bilinear,
  geometry: conv_forms.Geometry,
  merge: Merge,
  of_members: OfMembers,
) -> Callable[[jax.Array, jax.Array], jax.Array]:
  """`function` with a vmap rule that never leads to a grouped convolution.

  A batch axis of one argument is merged into an existing axis, by `merge`. If
  both have one (a population: images and kernels of each member), `of_members`
  decides.
  """

  @jax.custom_batching.custom_vmap
  def of_one(a: jax.Array, b: jax.Array) -> jax.Array:
    return function(a, b, geometry)

  @of_one.def_vmap
  def _rule(
    size: int, batched: Sequence[bool], a: jax.Array, b: jax.Array
  ) -> tuple[jax.Array, bool]:
    if all(batched):
      return of_members(of_one, a, b), True
    (a_axis, a_out), (b_axis, b_out) = merge
    if batched[0]:
      return _split(of_one(_merge(a, a_axis), b), size, a_out), True
    return _split(of_one(a, _merge(b, b_axis)), size, b_out), True

  return of_one


def in_turn(
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


def unroll(
  function: Callable[[jax.Array, jax.Array], jax.Array],
  a: jax.Array,
  b: jax.Array,
) -> jax.Array:
  """`function` of each member, without an order: a GPU may overlap them."""
  return jnp.stack([function(x, y) for x, y in zip(a, b, strict=True)])


def in_a_loop(
  function: Callable[[jax.Array, jax.Array], jax.Array],
  a: jax.Array,
  b: jax.Array,
) -> jax.Array:
  """`function` of each member in a loop, compiled once."""
  return lax.map(lambda member: function(*member), (a, b))
