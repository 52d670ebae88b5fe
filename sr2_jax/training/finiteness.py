"""Keeps each member of a population at its last finite state; pure."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax


@jax.named_scope("finiteness")
def keep_finite(
  alive: jax.Array,
  old: Any,
  new: Any,
  means: dict[str, jax.Array],
  *,
  by_moments: bool = False,
  branches: bool = True,
) -> tuple[jax.Array, Any, dict[str, jax.Array]]:
  """Who is alive after a step, the population's state, and the step's metrics.

  Gradients that are not finite make Adam's moments so. Devices that share a
  batch hold the same numbers here, so they decide alike without communicating.

  Args:
    alive: before the step, bool [M].
    old: state before the step, leaves [M, ...].
    new: state after the step.
    means: metrics of the step, {name: [M]}.
    by_moments: look at metrics, statistics and Adam's second moments only. They
      have to tell of everything else; see `optimizer.moments_tell`.
    branches: choose between the states only if a member has diverged. The step
      then compiles to the same code as without this, and gives the same bits.
      If not, the compiler may choose in the pass that computes a state.
  """
  if branches:
    new, means = lax.optimization_barrier((new, means))
  seen: Any = (new, means)
  if by_moments:
    found = optax.tree_utils.tree_get_all_with_path(new.opt_state, "nu")
    seen = ([moment for _, moment in found], new.batch_stats, means)

  def chosen(new: Any, old: Any) -> Any:
    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
      return jnp.where(alive.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(choose, new, old)

  alive = alive & _are_finite(seen, by_sum=not branches)
  if not branches:
    return alive, chosen(new, old), means
  state = lax.cond(alive.all(), lambda new, old: new, chosen, new, old)
  return alive, state, means


def _are_finite(tree: Any, *, by_sum: bool) -> jax.Array:
  """Whether all numbers of a member are finite, bool [M].

  Args:
    tree: leaves [M, ...].
    by_sum: look at the sum of each leaf instead. A number that is not finite
      makes the sum so as well; finite ones do if their sum passes 3e38. To look
      at each number, a TPU would write a map of booleans and read it again.
  """

  def is_finite(leaf: jax.Array) -> jax.Array:
    axes = tuple(range(1, leaf.ndim))
    if by_sum:
      return jnp.isfinite(jnp.sum(leaf, axes))
    # Not the largest: on the CPU a maximum may pass over NaN.
    return jnp.isfinite(leaf).all(axes)

  of_leaves = [
    is_finite(leaf)
    for leaf in jax.tree.leaves(tree)
    if jnp.issubdtype(leaf.dtype, jnp.floating)
  ]
  # One by one: joined in one vector, all numbers would be copied first.
  return jnp.stack(of_leaves).all(axis=0)
