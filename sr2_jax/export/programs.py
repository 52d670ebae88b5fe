"""Trained networks as programs for any device, and how they are compared.

A portable program has XLA's own convolutions. The forms of `models.conv` that
are fast on one kind of device are chosen when a program is traced, so they
would go with it to all the others.
"""

import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr2_jax import errors
from sr2_jax.data import sizes
from sr2_jax.models import sr2
from sr2_jax.training import network as network_lib

INPUT = "low_res"
# In the order of a program's outputs.
OUTPUTS = ("super_res", "logits")
# The sides that every program is tried at. A layer with stride 2 rounds odd
# ones up, and some are smaller than a kernel.
SIZES = (
  (1, 1), (2, 3), (5, 13), (7, 7), (8, 8), (14, 14), (16, 15), (40, 23),
)  # fmt: skip
# The largest difference, as a part of an output's largest value.
TOLERANCE = 1e-5
_TINY = float(np.finfo(np.float32).tiny)

# From low_res [B, h, w, C] to the outputs by name.
Program = Callable[[jax.Array], dict[str, jax.Array]]
# From low_res to the outputs, outside JAX.
Run = Callable[[np.ndarray], Mapping[str, Any]]

# Each program runs once or twice. Optimizing it would take longer.
COMPILED_ONCE = {
  "xla_backend_optimization_level": 0,
  "xla_llvm_disable_expensive_passes": True,
}


def outputs_of(model: sr2.SR2) -> tuple[str, ...]:
  """Names of a model's outputs, in their order."""
  return OUTPUTS if model.wiring != "none" else OUTPUTS[:1]


def variables_of(trained: network_lib.Trained, member: int) -> Any:
  """One member's weights, NumPy arrays."""
  return jax.tree.map(lambda leaf: leaf[member], trained.variables)


def rounded(variables: Any) -> Any:
  """Weights in float16.

  Raises:
    UserError: if a weight is too large for it.
  """
  with np.errstate(over="ignore"):
    narrow = jax.tree.map(lambda leaf: leaf.astype(np.float16), variables)
  if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(narrow)):
    raise errors.UserError(
      "--dtype=float16: a weight is above 65,504, the largest number there.\n"
      "--dtype=float32 has room for it."
    )
  return narrow


def portable(model: sr2.SR2, variables: Any) -> Program:
  """A program with its weights, for images of any size on any device.

  It computes in float32, whatever the type of the weights and the one that the
  network was trained in.
  """
  model = model.clone(convolution="portable", dtype="float32")

  def program(low_res: jax.Array) -> dict[str, jax.Array]:
    wide = jax.tree.map(
      lambda leaf: jnp.asarray(leaf).astype(jnp.float32), variables
    )
    outputs = model.apply(wide, low_res, train=False)
    return typing.cast(dict[str, jax.Array], outputs)

  return program


class Reference:
  """The outputs that every program of a member has to have.

  They are those of the network itself, with the forms of this device. Programs
  of a size are shared by all members.

  Args:
    trained: the network.
  """

  def __init__(self, trained: network_lib.Trained) -> None:
    model = trained.network.model.clone(dtype="float32")
    self._channels = model.channels
    self._names = outputs_of(model)
    self.sizes = tuple(
      dict.fromkeys((*SIZES, trained.network.low_res_shape[:2]))
    )
    self._apply = jax.jit(
      lambda variables, low_res: model.apply(variables, low_res, train=False),
      compiler_options=COMPILED_ONCE,
    )

  def outputs(
    self, variables: Any, low_res: np.ndarray
  ) -> dict[str, np.ndarray]:
    """Those of a member, by name."""
    wide = jax.tree.map(lambda leaf: leaf.astype(np.float32), variables)
    found = self._apply(wide, low_res)
    return {name: np.asarray(found[name]) for name in self._names}

  def cases(
    self, variables: Any
  ) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Three images of each size, and a member's outputs for them."""
    random = np.random.default_rng(0)
    images = [
      random.random((3, height, width, self._channels), np.float32)
      for height, width in self.sizes
    ]
    return [(low_res, self.outputs(variables, low_res)) for low_res in images]


def check(
  name: str,
  run: Run,
  cases: Sequence[tuple[np.ndarray, Mapping[str, np.ndarray]]],
  *,
  compiles: bool = False,
) -> float:
  """The largest difference from JAX, as a part of an output's largest value.

  Args:
    name: of the program, for messages.
    run: the program, which is called with batches of three and one.
    cases: of `Reference.cases`.
    compiles: every new shape takes a second, so each size has only one of the
      two, in turn.

  Raises:
    UserError: if it is above `TOLERANCE`, or an output is missing.
  """
  worst = 0.0
  batches = (3, 1)
  for place, (low_res, expected) in enumerate(cases):
    for batch in batches[place % 2 :][:1] if compiles else batches:
      found = run(low_res[:batch])
      for output, values in expected.items():
        difference = _difference(found.get(output), values[:batch])
        if not difference <= TOLERANCE:
          raise errors.UserError(
            f"{name} is wrong at {sizes.named(low_res.shape[1:3])}: {output} "
            f"differs by {difference:.1e} of its range, and {TOLERANCE:.0e} is "
            "allowed.\n"
            "Nothing was written. This is a bug of ours or of the converter; "
            "please report it."
          )
        worst = max(worst, difference)
  return worst


def _difference(found: Any, expected: np.ndarray) -> float:
  """NaN if the shapes differ, or a value is NaN."""
  if found is None or np.shape(found) != expected.shape:
    return float("nan")
  scale = max(float(np.abs(expected).max()), _TINY)
  return float(np.abs(np.asarray(found) - expected).max()) / scale


def named(error: Exception) -> str:
  """An error of another package in one line."""
  return " ".join(f"{type(error).__name__}: {error}".split())[:200]
