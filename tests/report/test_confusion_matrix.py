"""Counts of classes over seeds, and the picture of them."""

import io

import numpy as np
import pytest
from PIL import Image

from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import confusion_matrix

MEMBERS = tuple(
  rows_lib.Member(seed=seed, l2=0.01, loss_weight=weight)
  for seed in (0, 1)
  for weight in (0.5, 9.0)
)
LABELS = np.array([0, 0, 0, 1])


def per_image(predicted, *, levels=(1e-2, 0.0, 1e-3), labels=LABELS):
  return arrays_lib.PerImage(
    members=MEMBERS,
    steps=(1,) * 4,
    noise_variances=np.array(levels),
    scores={},
    labels=labels,
    predicted=predicted,
  )


def test_seeds_are_counted_together_and_loss_weights_are_not():
  predicted = np.tile(LABELS, (4, 3, 1))
  predicted[2, 1] = [1, 0, 0, 0]  # The second seed of the first loss weight.
  predicted[1] = predicted[3] = 1  # Another loss weight.
  predicted[0, 2, 0] = 1
  clean, medium = confusion_matrix.of(per_image(predicted), ("a", "b"))
  assert (clean.noise_variance, medium.noise_variance) == (0.0, 1e-3)
  np.testing.assert_array_equal(clean.counts, [[5, 1], [1, 1]])
  np.testing.assert_array_equal(medium.counts, [[5, 1], [0, 2]])
  np.testing.assert_array_equal(clean.images, [3, 1])
  np.testing.assert_allclose(clean.recalls, [5 / 6, 1 / 2])
  assert clean.num_seeds == 2


def test_what_is_not_known_is_not_shown():
  predicted = np.tile(LABELS, (4, 3, 1))
  names = ("a", "b")
  assert not confusion_matrix.of(per_image(None), names)
  assert not confusion_matrix.of(per_image(predicted, labels=None), names)
  most = tuple(map(str, range(confusion_matrix.MOST_CLASSES)))
  for many, is_legible in ((most, True), ((*most, "more"), False)):
    clean, _ = confusion_matrix.of(per_image(predicted), many)
    assert clean.is_legible == is_legible
  predicted[:, 1] = -1  # Of an older file.
  (medium,) = confusion_matrix.of(per_image(predicted), names)
  assert medium.noise_variance == 1e-3


@pytest.mark.parametrize("count", [2, 36])
def test_cells_are_as_dark_as_their_share(count):
  """Of the diagonal; the first class is always read as the second."""
  counts = 40 * np.eye(count, dtype=int)
  counts[0, :2] = 0, 40
  names = tuple(f"cl$ss_{x}" for x in range(count))
  png = io.BytesIO()
  rgb = confusion_matrix.draw(
    confusion_matrix.Matrix(0.0, counts, 2, names), png
  )
  np.testing.assert_array_equal(np.asarray(Image.open(png)), rgb)
  blue = np.all(np.abs(rgb.astype(int) - (0, 114, 178)) < 3, axis=-1)
  rows, columns = np.flatnonzero(blue.any(1)), np.flatnonzero(blue.any(0))
  cell = (rows[-1] - rows[0] + 1) / count
  assert cell == pytest.approx(
    (columns[-1] + 1 - columns[0]) / (count - 1), 0.1
  )
  assert cell >= 25
  share = blue.sum() / cell**2 / count
  assert 0.8 < share < 1  # The text is not blue.
