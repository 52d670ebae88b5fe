"""Which images of a set are for training, validation and the test."""

import numpy as np

from sr2_jax import errors


def stratified(
  labels: np.ndarray,
  *,
  seed: int,
  validation_fraction: float,
  test_fraction: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Shuffled indices of the training, validation and test images.

  Each class gives its fraction, rounded; the rest is for training. The order is
  the same with every NumPy version: NEP 19 promises that the raw stream of a
  bit generator stays the same, but not `shuffle`.
  """
  draws = np.random.PCG64(seed).random_raw(labels.size)
  order = np.argsort(draws, kind="stable")
  part = np.zeros(labels.size, np.int64)
  for label in np.unique(labels):
    members = np.flatnonzero(labels[order] == label)
    num_validation = round(members.size * validation_fraction)
    num_test = round(members.size * test_fraction)
    part[members[:num_validation]] = 1
    part[members[num_validation : num_validation + num_test]] = 2
  return order[part == 0], order[part == 1], order[part == 2]


def check_fills_a_batch(num_images: int, batch_size: int, *, name: str) -> None:
  """Refuses a training split that is smaller than a batch.

  Args:
    num_images: in the split.
    batch_size: of the config.
    name: of the data set.

  Raises:
    UserError: says both numbers.
  """
  if num_images < batch_size:
    raise errors.UserError(
      f"config.batch_size is {batch_size}, more than the {num_images} training "
      f"images of {name}."
    )
