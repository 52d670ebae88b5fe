"""The fields that a run's memory grows with, part by part.

Each part has its fields and how many times they make it larger. If memory is
too little, a message names those that do most.
"""

from typing import Any

from sr2_jax.config import derived
from sr2_jax.training import room

# Pixels of the images that the networks were made for.
_PIXELS = 32 * 32


class Growth:
  """Fields of a phase.

  Args:
    run: of `training.run`, which imports what imports this module.
    name: of the phase.
  """

  def __init__(self, run: Any, name: str) -> None:
    self._run, self._config, self._name = run, run.config, name

  @property
  def _member(self) -> room.Factors:
    """How large each member is."""
    model = self._config.model
    return {"model.expansion": model.expansion} if model.trunk == "wdsr" else {}

  @property
  def members(self) -> room.Factors:
    """How many members there are, and how large each is."""
    config = self._config
    return {
      **self._member,
      "num_seeds": config.num_seeds,
      "loss.l2": len(config.loss.l2),
      "joint.loss_weight": len(derived.loss_weights(config, self._name)),
    }

  @property
  def images(self) -> room.Factors:
    """How large images are; only own ones can be cropped."""
    height, width, _ = self._run.image_shape
    is_own = self._config.data.name == "folder"
    return {"augmentation.crop": height * width // _PIXELS} if is_own else {}

  @property
  def step(self) -> room.Factors:
    """A training step."""
    batch = {"batch_size": self._config.batch_size}
    return {**batch, **self.members, **self.images}

  def evaluation(self, field: str, conditions: int) -> room.Factors:
    """An evaluation of a batch, of one member after another.

    Args:
      field: what sets the conditions.
      conditions: how many there are.
    """
    of_batch = {
      "eval.batch_size": self._config.eval.batch_size,
      field: conditions,
    }
    return {**of_batch, **self._member, **self.images}
