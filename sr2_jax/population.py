"""Members: seeds x loss weights, as a leading axis of every array.

A solo run is a population of one. Members are ordered seed by seed, and within
a seed in the order of the loss weights.
"""

import dataclasses
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
    loss_weight: float32 [M], lambda of the paper's equation 1; 0 where there
      is no classifier.
  """

  seed: Any
  loss_weight: Any


@dataclasses.dataclass(frozen=True)
class Population:
  """The members of a phase.

  Attributes:
    seeds: of each member, M of them.
    loss_weights: of each member; None where there is no classifier.
  """

  seeds: tuple[int, ...]
  loss_weights: tuple[float | None, ...]

  @property
  def size(self) -> int:
    """Number of members."""
    return len(self.seeds)

  def arrays(self) -> Members:
    """The members as NumPy arrays."""
    return Members(
      seed=np.asarray(self.seeds, np.uint32),
      loss_weight=np.asarray(
        [weight or 0.0 for weight in self.loss_weights], np.float32
      ),
    )

  def fields(self, member: int) -> dict[str, int | float | None]:
    """What identifies a member in rows."""
    return {
      "seed": self.seeds[member],
      "loss_weight": self.loss_weights[member],
    }


def expand(
  seeds: Sequence[int], loss_weights: Sequence[float | None]
) -> Population:
  """Every seed with every loss weight, seed by seed."""
  pairs = [(seed, weight) for seed in seeds for weight in loss_weights]
  return Population(*(tuple(values) for values in zip(*pairs, strict=True)))


def fan_out(tree: Any, copies: int) -> Any:
  """Repeats each member `copies` times, in the order of `expand`."""
  return jax.tree.map(lambda x: np.repeat(np.asarray(x), copies, axis=0), tree)


def take(tree: Any, index: int | Sequence[int]) -> Any:
  """One member (without the leading axis) or several, in `index`'s order."""
  return jax.tree.map(lambda x: np.asarray(x)[np.asarray(index)], tree)


def where(condition: np.ndarray, new: Any, old: Any) -> Any:
  """Member by member, `new` where `condition` [M] holds and `old` elsewhere."""

  def choose(new_leaf: np.ndarray, old_leaf: np.ndarray) -> np.ndarray:
    shape = (-1,) + (1,) * (np.ndim(new_leaf) - 1)
    return np.where(condition.reshape(shape), new_leaf, old_leaf)

  return jax.tree.map(choose, new, old)
