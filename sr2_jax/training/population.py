"""Members: seeds x L2 x loss weights, as a leading axis of every array.

A solo run is a population of one. Members are ordered seed by seed, within a
seed by L2, and within that in the order of the loss weights.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import numpy as np


@flax.struct.dataclass
class Members:
  """What tells members apart, as programs take it.

  Attributes:
    seed: uint32 [M].
    l2: float32 [M], weight of L2 regularization.
    loss_weight: float32 [M], lambda of the paper's equation 1; 0 where there
      is no classifier.
  """

  seed: Any
  l2: Any
  loss_weight: Any


@dataclasses.dataclass(frozen=True)
class Population:
  """The members of a phase.

  Attributes:
    seeds: of each member, M of them.
    l2s: of each member, the weight of L2 regularization.
    loss_weights: of each member; None where there is no classifier.
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

  def fields(self, member: int) -> dict[str, int | float | None]:
    """What identifies a member in rows."""
    return {
      "seed": self.seeds[member],
      "l2": self.l2s[member],
      "loss_weight": self.loss_weights[member],
    }

  def origins(self, pretrained: "Population") -> list[int]:
    """The member of another population that each member starts from.

    It has the same seed, and the same L2 unless all of the others have one L2.

    Raises:
      ValueError: where there is none.
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
  """Every seed with every L2 and every loss weight."""
  members = itertools.product(seeds, l2s, loss_weights)
  return Population(*(tuple(values) for values in zip(*members, strict=True)))


def take(tree: Any, index: int | Sequence[int]) -> Any:
  """One member (without the leading axis) or several, in `index`'s order."""
  return jax.tree.map(lambda x: np.asarray(x)[np.asarray(index)], tree)


def where(condition: np.ndarray, new: Any, old: Any) -> Any:
  """Member by member, `new` where `condition` [M] holds and `old` elsewhere."""

  def choose(new_leaf: np.ndarray, old_leaf: np.ndarray) -> np.ndarray:
    shape = (-1,) + (1,) * (np.ndim(new_leaf) - 1)
    return np.where(condition.reshape(shape), new_leaf, old_leaf)

  return jax.tree.map(choose, new, old)
