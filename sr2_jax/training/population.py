"""Members: seeds x L2 x loss weights, as a leading axis of every array.

A solo run is a population of one. Members are ordered seed by seed, within a
seed by L2, and within that in the order of the loss weights.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import flax.struct
import jax
import numpy as np

from sr2_jax.records import rows as rows_lib


@flax.struct.dataclass
class Members:
  """Seed, L2 and loss weight of each member, as arguments of a program.

  Attributes:
    seed: uint32 [M].
    l2: float32 [M], strength of L2 regularization.
    loss_weight: float32 [M], lambda of the paper's equation 1; 0 without a
      classifier.
  """

  seed: Any
  l2: Any
  loss_weight: Any


@dataclasses.dataclass(frozen=True)
class Population:
  """The members of a phase.

  Attributes:
    seeds: seed of each of the M members.
    l2s: strength of L2 regularization of each member.
    loss_weights: lambda of each member; None in `pretrain`; 0 in `joint`
      without a classifier.
  """

  seeds: tuple[int, ...]
  l2s: tuple[float, ...]
  loss_weights: tuple[float | None, ...]

  @property
  def size(self) -> int:
    """Number of members."""
    return len(self.seeds)

  def arrays(self) -> Members:
    """The members as NumPy arrays."""
    return Members(
      seed=np.asarray(self.seeds, np.uint32),
      l2=np.asarray(self.l2s, np.float32),
      loss_weight=np.asarray(
        [weight or 0.0 for weight in self.loss_weights], np.float32
      ),
    )

  @property
  def members(self) -> tuple[rows_lib.Member, ...]:
    """Seed, L2 and loss weight of each member, as in rows."""
    return tuple(
      rows_lib.Member(seed=seed, l2=l2, loss_weight=loss_weight)
      for seed, l2, loss_weight in zip(
        self.seeds, self.l2s, self.loss_weights, strict=True
      )
    )

  @property
  def folder_names(self) -> tuple[str, ...]:
    """Name of each member: its seed, and L2 and lambda if they vary."""
    varying = {
      "l2": len(set(self.l2s)) > 1,
      "lambda": len(set(self.loss_weights)) > 1,
    }
    found = []
    for member in self.members:
      name = f"seed_{member.seed}"
      for word, value in (("l2", member.l2), ("lambda", member.loss_weight)):
        if varying[word]:
          name += f"_{word}_{value!r}"
      found.append(name)
    return tuple(found)

  def origins(self, pretrained: "Population") -> list[int]:
    """Index in `pretrained` of the member that each member starts from.

    It has the same seed. It has the same L2 as well, unless `pretrained` has
    only one L2.

    Raises:
      ValueError: if a member has no such origin.
    """
    theirs = list(zip(pretrained.seeds, pretrained.l2s, strict=True))
    only = pretrained.l2s[0] if len(set(pretrained.l2s)) == 1 else None
    return [
      theirs.index((seed, l2 if only is None else only))
      for seed, l2 in zip(self.seeds, self.l2s, strict=True)
    ]


def expand(
  seeds: Sequence[int],
  l2s: Sequence[float],
  loss_weights: Sequence[float | None],
) -> Population:
  """Population of every seed with every L2 and every loss weight."""
  members = itertools.product(seeds, l2s, loss_weights)
  return Population(*(tuple(values) for values in zip(*members, strict=True)))


def over_members(
  function: Callable[..., Any], in_axes: Sequence[int | None]
) -> Callable[..., Any]:
  """`jax.vmap` over members, whose arrays have a leading axis.

  Compilers find faster programs for arrays without an axis of size 1, so a
  population of one is not batched.

  Args:
    function: of one member, without this axis.
    in_axes: for each argument 0, or None if members share it. The first one has
      the axis.
  """

  def call(*arguments: Any) -> Any:
    if jax.tree.leaves(arguments[0])[0].shape[0] != 1:
      return jax.vmap(function, in_axes=tuple(in_axes))(*arguments)
    one = [
      x if axis is None else jax.tree.map(lambda leaf: leaf[0], x)
      for x, axis in zip(arguments, in_axes, strict=True)
    ]
    return jax.tree.map(lambda leaf: leaf[None], function(*one))

  return call


def take(tree: Any, index: int | Sequence[int]) -> Any:
  """Arrays of one member (no leading axis) or several, in `index`'s order."""
  return jax.tree.map(lambda x: np.asarray(x)[np.asarray(index)], tree)


def are_finite(tree: Any) -> np.ndarray:
  """Whether all numbers of a member are finite, bool [M]."""
  of_leaves = [
    np.isfinite(leaf).reshape(len(leaf), -1).all(axis=1)
    for leaf in map(np.asarray, jax.tree.leaves(tree))
  ]
  return np.all(of_leaves, axis=0)


def fingerprint(tree: Any) -> str:
  """The sha256 of all numbers, in hexadecimal."""
  digest = hashlib.sha256()
  for leaf in jax.tree.leaves(tree):
    digest.update(np.asarray(leaf).tobytes())
  return digest.hexdigest()


def where(condition: np.ndarray, new: Any, old: Any) -> Any:
  """Tree with `new` for members whose `condition` [M] holds, else `old`."""

  def choose(new_leaf: np.ndarray, old_leaf: np.ndarray) -> np.ndarray:
    shape = (-1,) + (1,) * (np.ndim(new_leaf) - 1)
    return np.where(condition.reshape(shape), new_leaf, old_leaf)

  return jax.tree.map(choose, new, old)
