"""Arrays of a training state joined in a few vectors while steps run; pure.

An accelerator takes about a microsecond to start on an array, and a state has
hundreds of small ones: biases, slopes, statistics of BatchNorm, and Adam's two
moments of each. Joined, the optimizer passes over all of them at once. Numbers
and files know nothing of it: what `pack` gives, `unpack` undoes.
"""

import dataclasses
import functools
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

# Values that lie together in memory; each array starts at a multiple.
_ALIGNED = 128
# Longest vector that is joined by sums.
_LARGEST_SUM = 50_000
# Names of the vectors. `optimizer.l2_mask` finds kernels by theirs.
_REGULARIZED, _OTHERS = "kernel", "others"

_Path = tuple[str, ...]
# Path and shape of each array of a subtree, and its vector's name; None: it is
# apart.
_Places = tuple[tuple[_Path, tuple[int, ...], str | None], ...]


@dataclasses.dataclass(frozen=True)
class Packing:
  """What is joined.

  Attributes:
    largest: most values of an array that is joined; 0: none are.
    mask: parameters to booleans, True at the kernels that L2 shrinks.
    outputs_first: join kernels of convolutions [H, W, I, O] as [O, H, W, I].
  """

  largest: int
  mask: Callable[[Any], Any]
  outputs_first: bool = False

  def pack(self, state: Any) -> Any:
    """A state of one member, or what holds such, its small arrays joined.

    Args:
      state: with `params` and `batch_stats`. Their subtrees are joined each by
        itself, wherever one of their structure occurs.
    """
    if not self.largest:
      return state
    shrinks = self.mask(state.params)
    masks = {
      jax.tree.structure(subtree): shrinks[name]
      for name, subtree in state.params.items()
    }
    for subtree in state.batch_stats.values():
      none = jax.tree.map(lambda _: False, subtree)
      masks.setdefault(jax.tree.structure(subtree), none)

    def is_subtree(x: Any) -> bool:
      return isinstance(x, Mapping) and jax.tree.structure(x) in masks

    def join(x: Any) -> Any:
      if not is_subtree(x):
        return x
      return self._join(x, masks[jax.tree.structure(x)])

    return jax.tree.map(join, state, is_leaf=is_subtree)

  def _join(self, subtree: Any, mask: Any) -> "Packed":
    shrinks = traverse_util.flatten_dict(mask)

    def vector_of(path: _Path, size: int) -> str | None:
      if size > self.largest:
        return None
      return _REGULARIZED if shrinks[path] else _OTHERS

    flat = traverse_util.flatten_dict(subtree)
    places = tuple(
      (path, leaf.shape, vector_of(path, leaf.size))
      for path, leaf in sorted(flat.items(), key=lambda item: item[0])
    )
    return _packed(subtree, places, self.outputs_first)


@flax.struct.dataclass
class Packed:
  """A subtree, its small arrays joined.

  Attributes:
    joined: vectors by name.
    apart: the arrays that are not in them, as in the subtree.
    places: where each array is.
    outputs_first: as in `Packing`.
  """

  joined: dict[str, jax.Array]
  apart: Any
  places: _Places = flax.struct.field(pytree_node=False)
  outputs_first: bool = flax.struct.field(pytree_node=False)

  def split(self) -> Any:
    """The subtree."""
    apart = traverse_util.flatten_dict(self.apart)
    found, starts = {}, dict.fromkeys(self.joined, 0)
    for path, shape, name in self.places:
      if name is None:
        found[path] = apart[path]
        continue
      start, size = starts[name], math.prod(shape)
      vector = self.joined[name][start : start + size]
      found[path] = _unraveled(vector, shape, self.outputs_first)
      starts[name] += _aligned(size)
    return traverse_util.unflatten_dict(found)


def unpack(packed: Any) -> Any:
  """What was packed."""

  def split(x: Any) -> Any:
    return x.split() if isinstance(x, Packed) else x

  return jax.tree.map(split, packed, is_leaf=lambda x: isinstance(x, Packed))


def unpack_members(packed: Any) -> Any:
  """What was packed for each member, with a leading axis."""
  return jax.vmap(unpack)(packed)


def pack_like(tree: Any, packed: Any) -> Any:
  """A tree such as `unpack(packed)`, joined as that is."""

  def pack(like: Any, x: Any) -> Any:
    if not isinstance(like, Packed):
      return x
    return _packed(x, like.places, like.outputs_first)

  return jax.tree.map(
    pack, packed, tree, is_leaf=lambda x: isinstance(x, Packed)
  )


def _packed(subtree: Any, places: _Places, outputs_first: bool) -> Packed:
  flat: dict[Any, Any] = dict(traverse_util.flatten_dict(subtree))
  joined: dict[str, list[jax.Array]] = {}
  apart = {}
  for path, _, name in places:
    if name is None:
      apart[path] = flat[path]
    else:
      vector = _raveled(flat[path], outputs_first)
      joined.setdefault(name, []).append(_padded(vector))
  return Packed(
    {name: _concatenated(parts) for name, parts in joined.items()},
    traverse_util.unflatten_dict(apart),
    places,
    outputs_first,
  )


def _aligned(size: int) -> int:
  return -(-size // _ALIGNED) * _ALIGNED


def _raveled(x: jax.Array, outputs_first: bool) -> jax.Array:
  if outputs_first and x.ndim == 4:
    x = jnp.moveaxis(x, -1, 0)
  return x.ravel()


def _unraveled(
  vector: jax.Array, shape: tuple[int, ...], outputs_first: bool
) -> jax.Array:
  if outputs_first and len(shape) == 4:
    return jnp.moveaxis(vector.reshape(shape[-1], *shape[:-1]), 0, -1)
  return vector.reshape(shape)


def _padded(vector: jax.Array) -> jax.Array:
  return jnp.pad(vector, (0, _aligned(vector.size) - vector.size))


def _concatenated(parts: list[jax.Array]) -> jax.Array:
  """One vector.

  A TPU concatenates by one update for each part, and starts each of them. Sums
  of short vectors that are mostly zeros are one operation.
  """
  size = sum(part.size for part in parts)
  if size > _LARGEST_SUM:
    return jnp.concatenate(parts)
  starts = np.cumsum([0, *(part.size for part in parts)])
  return functools.reduce(
    jnp.add,
    [
      jnp.pad(part, (start, size - start - part.size))
      for start, part in zip(starts[:-1].tolist(), parts, strict=True)
    ],
  )


def largest_on(platform: str) -> int:
  """`Packing.largest` for devices of a platform, such as "cpu".

  A GPU joins all arrays, because kernels cost more than copies. A TPU would
  copy kernels of convolutions into another layout and back.
  """
  return {"gpu": sys.maxsize, "tpu": 1024}.get(platform, 0)


def has_outputs_first(platform: str, num_members: int) -> bool:
  """`Packing.outputs_first` for devices of a platform, such as "gpu".

  cuDNN takes kernels and gives gradients in this order. With several members it
  uses another.

  Args:
    platform: of the devices.
    num_members: members on each device.
  """
  return platform == "gpu" and num_members == 1
