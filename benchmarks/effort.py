"""Two amounts of measurement: full, and quick in about two minutes."""

from typing import NamedTuple


class Effort(NamedTuple):
  """Sizes and counts of the measurements.

  Attributes:
    step_rounds: turns of each side for training steps.
    step_seconds: approximate length of a turn.
    evaluation_rounds: turns of each side for evaluations, one evaluation each.
    evaluation_images: test images for our evaluation.
    peer_images: test images for PyTorch and scikit-image; time is scaled up.
    starts: starts of a process for the time to the first step.
    memory_steps: training steps for the peak memory.
  """

  step_rounds: int
  step_seconds: float
  evaluation_rounds: int
  evaluation_images: int
  peer_images: int
  starts: int
  memory_steps: int


FULL = Effort(
  step_rounds=9,
  step_seconds=2.0,
  evaluation_rounds=2,
  evaluation_images=10_000,
  peer_images=500,
  starts=5,
  memory_steps=50,
)
QUICK = Effort(
  step_rounds=3,
  step_seconds=0.5,
  evaluation_rounds=1,
  evaluation_images=500,
  peer_images=100,
  starts=1,
  memory_steps=5,
)
