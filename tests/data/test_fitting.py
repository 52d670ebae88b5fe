"""Sizes: cut, padded and resized, against NumPy in float64."""

import numpy as np
import pytest

from sr2_jax.data import fitting

RANDOM = np.random.default_rng(0)


def pixels(height, width, channels=1, dtype=np.uint8):
  highest = np.iinfo(dtype).max
  shape = (height, width, channels)
  return RANDOM.integers(0, highest, shape, dtype, endpoint=True)


@pytest.mark.parametrize("how", ["refuse", "crop", "pad", "resize"])
def test_an_image_of_the_size_stays_as_it_is(how):
  image = pixels(8, 6)
  found, words = fitting.fitted(image, (8, 6), how=how)
  assert found is image
  assert words == ()


def test_the_middle_is_kept():
  image = pixels(9, 8, 3)
  found, words = fitting.fitted(image, (6, 6), how="crop")
  np.testing.assert_array_equal(found, image[1:7, 1:7])
  assert words == ("cut to the middle",)
  np.testing.assert_array_equal(fitting.cropped(image[None], (6, 6))[0], found)


def test_what_is_cut_as_one_stays_together():
  """An odd rest of two low-resolution pixels: one fewer at the top."""
  image = pixels(24, 16)
  found, _ = fitting.fitted(image, (12, 8), how="crop", step=4)
  np.testing.assert_array_equal(found, image[4:16, 4:12])


def test_the_outermost_pixels_are_repeated():
  image = pixels(3, 4)
  found, words = fitting.fitted(image, (4, 7), how="pad")
  rows, columns = [0, 1, 2, 2], [0, 0, 1, 2, 3, 3, 3]
  np.testing.assert_array_equal(found, image[np.ix_(rows, columns)])
  assert words == ("padded",)


def cubic(x):
  """Keys' kernel with a = -1/2."""
  x = np.abs(x)
  near = 1.5 * x**3 - 2.5 * x**2 + 1
  far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
  return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def weights(old, new):
  """Of each old pixel in each new one; wider where it shrinks."""
  stretch = max(1.0, old / new)
  centers = (np.arange(new) + 0.5) * old / new
  away = (np.arange(old) + 0.5 - centers[:, None]) / stretch
  kernel = cubic(away)
  return kernel / kernel.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
  ("old", "inner", "words"),
  [
    ((24, 30), (12, 15), "made smaller"),
    ((31, 23), (20, 15), "made smaller"),
    ((7, 5), (20, 14), "enlarged, which adds no detail"),
  ],
)
def test_resized_images_against_float64(dtype, old, inner, words):
  image = pixels(*old, 3, dtype)
  found, said = fitting.fitted(image, (20, 15), how="resize")
  assert said == (words, *("padded",) * (inner != (20, 15)))
  assert found.dtype == dtype
  expected = np.einsum(
    "ah,hwc,bw->abc",
    weights(old[0], inner[0]),
    image.astype(np.float64),
    weights(old[1], inner[1]),
  )
  expected = np.clip(expected, 0, np.iinfo(dtype).max)
  top, left = (20 - inner[0]) // 2, (15 - inner[1]) // 2
  own = found[top : top + inner[0], left : left + inner[1]]
  # A rounding, and float32 of 16 bits.
  assert np.abs(own - expected).max() <= 0.51
  margins = [(top, 20 - inner[0] - top), (left, 15 - inner[1] - left), (0, 0)]
  np.testing.assert_array_equal(found, np.pad(own, margins, mode="edge"))


def test_a_stripe_never_vanishes():
  found, _ = fitting.fitted(pixels(2, 4000), (12, 16), how="resize")
  assert found.shape == (12, 16, 1)
