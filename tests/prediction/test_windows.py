"""Windows of an image: what is kept of them is the image, far from edges."""

import numpy as np
import pytest

from sr2_jax.prediction import windows


@pytest.mark.parametrize("radius", [0, 3])
@pytest.mark.parametrize("size", [(1, 1), (16, 40), (17, 16), (23, 61)])
def test_kept_parts_are_the_image_once(size, radius):
  height, width = size
  times = np.zeros(size, int)
  for window in windows.cover(height, width, tile=16, radius=radius):
    rows, columns = window.rows, window.columns
    times[slice(*rows.keep), slice(*columns.keep)] += 1
    assert window.shape == (min(16, height), min(16, width))
    for span, length in ((rows, height), (columns, width)):
      # A window lies in the image, and an inner edge is far from what is kept.
      assert 0 <= span.first <= span.first + span.size <= length
      first, end = span.keep
      assert span.first == 0 or first >= span.first + radius
      last = span.first + span.size
      assert last == length or end <= last - radius
  assert (times == 1).all()


def test_the_least_tile_keeps_a_pixel():
  least = windows.least_tile(10)
  parts = windows.cover(1, 50, tile=least, radius=10)
  assert [part.columns.keep for part in parts[1:-1]] == [
    (i, i + 1) for i in range(11, 11 + len(parts) - 2)
  ]


def test_an_image_that_is_not_cut_is_one_window():
  [window] = windows.cover(7, 300, tile=0, radius=10)
  assert window.shape == (7, 300)


def test_small_images_share_maps_and_large_ones_waste_little():
  small = {
    windows.shared_shape(h, w) for h in range(1, 17) for w in range(1, 17)
  }
  assert small == {(16, 16)}
  assert windows.shared_shape(17, 3) == (32, 32)
  assert windows.shared_shape(7, 4000) == (16, 4096)
