"""The partitioned optimizer of a phase: one Adam for each parameter subtree."""

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax

L2_SCOPES = ("authors", "kernels")


def l2_mask(params: Any, *, scope: str, exempt: frozenset[str]) -> Any:
  """Tree of booleans, True at the kernels that L2 regularization shrinks.

  Args:
    params: parameter tree; a kernel is a leaf named `kernel`.
    scope: "kernels" for every kernel; "authors" for all but the exempt layers,
      which have no `kernel_regularizer` in the authors' released code.
    exempt: names of the layers that "authors" leaves out.

  Raises:
    ValueError: if the scope is unknown.
  """
  if scope not in L2_SCOPES:
    raise ValueError(f"l2 scope must be one of {L2_SCOPES}, not {scope!r}")

  def regularized(path: tuple[Any, ...], _: Any) -> bool:
    names = re.findall(r"\['(.*?)'\]", jax.tree_util.keystr(path))
    return names[-1] == "kernel" and (
      scope == "kernels" or exempt.isdisjoint(names)
    )

  return jax.tree_util.tree_map_with_path(regularized, params)


def _add_l2(
  updates: Any, state: Any, params: Any = None, **by_name: Any
) -> tuple[Any, Any]:
  """Gradients plus that of l2 * sum(w^2), in optax's form of an update."""
  l2 = by_name["l2"]
  return jax.tree.map(lambda g, w: g + 2 * l2 * w, updates, params), state


def moments_tell(
  learning_rates: Mapping[str, float], *, b1: float, eps: float
) -> bool:
  """Whether weights stay finite as long as Adam's second moments do.

  A finite second moment means that the gradient, L2's included, is below 2^64.
  That bounds the first moment, and so an update. As long as this bound is below
  half of the last bit of the largest float, no weight can leave the range.
  """
  return max(learning_rates.values()) * 2.0**64 / (eps * (1 - b1)) < 2.0**102


def start_of(abstract_state: Any) -> Any:
  """The state of `create`'s optimizer before its first update: zeros.

  Its own `init` would be a program that takes as long to compile as the rest.

  Args:
    abstract_state: shapes and types of that state, of any number of members.

  Returns:
    NumPy arrays.
  """
  return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), abstract_state)


def create(
  learning_rates: Mapping[str, float],
  *,
  b1: float,
  b2: float,
  eps: float,
  l2_scope: str,
  l2_exempt: frozenset[str],
) -> optax.GradientTransformationExtraArgs:
  """Adam with a learning rate for each top-level subtree of the parameters.

  L2 is coupled, as in the paper's loss: its gradient 2 * l2 * w is added before
  Adam (AdamW would be another method). It is added here, not in the loss,
  because training needs only its gradient.

  Args:
    learning_rates: one for each subtree; 0 freezes the subtree.
    b1: decay of Adam's first moment.
    b2: decay of Adam's second moment.
    eps: Adam's epsilon.
    l2_scope: see `l2_mask`.
    l2_exempt: see `l2_mask`.

  Returns:
    A transformation whose `update` takes `l2`, the weight of sum(w^2), by name;
    each member of a population may have another. Its `init` raises ValueError
    unless subtrees and learning rates match one to one.
  """

  def labels(params: Mapping[str, Any]) -> dict[str, str]:
    if set(params) != set(learning_rates):
      raise ValueError(
        f"learning rates for {sorted(learning_rates)} do not match "
        f"the parameter subtrees {sorted(params)}"
      )
    return {name: name for name in params}

  def mask(params: Any) -> Any:
    return l2_mask(params, scope=l2_scope, exempt=l2_exempt)

  return optax.chain(
    # Not add_decayed_weights, whose weight is a constant of the program. The
    # state has the same form as there, so that older checkpoints can be read.
    optax.masked(
      optax.GradientTransformationExtraArgs(optax.init_empty_state, _add_l2),
      mask,
    ),
    optax.partition(
      {
        name: optax.adam(rate, b1, b2, eps) if rate else optax.set_to_zero()
        for name, rate in learning_rates.items()
      },
      labels,
    ),
  )
