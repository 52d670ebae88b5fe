"""Each member's weights at its lowest validation loss."""

import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from sr2_jax import parallel
from sr2_jax.training import checkpoint, population


class Best:
  """Each member's best weights, kept on disk.

  They may be ahead of a resumed run. That does no harm: the run reaches the
  same losses again, and of equal losses the earlier one stays. They must never
  be behind: a resumed run does not repeat a validation that its checkpoint is
  past. So callers `wait` before they save that checkpoint.
  """

  def __init__(self, folder: pathlib.Path, variables: Any) -> None:
    """Opens the folder.

    Args:
      folder: where these checkpoints are.
      variables: a tree like those that `update` gets; its arrays may be
        abstract.
    """
    self._checkpoints = checkpoint.Checkpoints(folder, keep=1)
    had_any = bool(self._checkpoints.steps)
    newest = self._checkpoints.restore_latest(
      abstract_state(variables), required=False
    )
    self._best = None if newest is None else newest[1]
    if had_any and newest is None and parallel.is_main_process():
      print(
        f"the best weights in {folder} are lost; the best of the validations "
        "from here on replaces them",
        file=sys.stderr,
      )

  def update(
    self, step: int, loss: np.ndarray, fetch_variables: Callable[[], Any]
  ) -> None:
    """Stores the weights of members whose loss [M] is a new minimum."""
    loss = np.where(np.isnan(loss), np.inf, loss)
    is_better = (
      np.full(loss.shape, True)
      if self._best is None
      else loss < self._best["loss"]
    )
    if not is_better.any():
      return
    new = {
      "variables": fetch_variables(),
      "loss": np.asarray(loss, np.float64),
      "step": np.full(loss.shape, step, np.int32),
    }
    if self._best is not None:
      new = population.where(is_better, new, self._best)
    self._best = new
    self._checkpoints.save(step, new)

  def wait(self) -> None:
    """Returns when the best so far is on disk; raises as `close` does."""
    self._checkpoints.wait()

  def close(self) -> None:
    """Waits until the best is on disk; raises UserError if that fails."""
    self._checkpoints.close()


def abstract_state(variables: Any) -> dict[str, Any]:
  """Shapes and types of what `Best` keeps, for variables of a population."""
  size = jax.tree.leaves(variables)[0].shape[0]
  return {
    "variables": variables,
    "loss": jax.ShapeDtypeStruct((size,), np.float64),
    "step": jax.ShapeDtypeStruct((size,), np.int32),
  }
