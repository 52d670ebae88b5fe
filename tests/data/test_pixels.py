"""Arrays of pixels, against plain formulas in float64."""

import colorsys

import numpy as np
import pytest

from sr2_jax.data import pixels

COLORS = np.random.default_rng(0).random((4, 5, 3))


@pytest.mark.parametrize(
  "shape", [(4, 5), (4, 5, 1), (4, 5, 3), (2, 4, 5, 1), (2, 4, 5, 3)]
)
def test_arrays_become_batches(shape):
  given = np.zeros(shape, np.uint8)
  found = pixels.checked(given)
  assert found.ndim == 4
  assert found.size == given.size
  assert found.shape[1:3] == (4, 5)


@pytest.mark.parametrize(
  ("images", "problem"),
  [
    (np.zeros((9, 7, 7), np.uint8), r"images\[\.\.\., None\]"),
    (np.zeros((7, 7, 4), np.uint8), "1 or 3 channels"),
    (np.zeros(7), "give"),
    (np.zeros((7, 0)), "give"),
    (np.zeros((7, 7), np.int64), "type int64"),
    (np.full((7, 7), 255.0), "from 255 to 255"),
    (np.full((7, 7), -0.1), "from -0.1"),
    (np.full((7, 7), np.nan), "from nan"),
  ],
)
def test_other_arrays_are_refused(images, problem):
  with pytest.raises(ValueError, match=problem):
    pixels.checked(images)


def test_integers_are_divided_by_their_highest():
  every = np.arange(256, dtype=np.uint8)
  found = pixels.to_float(every)
  assert found.dtype == np.float32
  np.testing.assert_array_equal(found, (every / 255).astype(np.float32))
  np.testing.assert_allclose(
    pixels.to_float(np.uint16([0, 257, 65535])), [0, 1 / 255, 1], rtol=1e-7
  )


def test_brightness_is_the_mean_of_the_fractions():
  for values in (np.uint8([[0, 51]]), np.uint16([0, 13107]), [0.0, 0.2]):
    assert abs(pixels.brightness(np.asarray(values)) - 0.1) < 1e-6


def test_inverting_twice_gives_the_same():
  for values in (np.arange(256, dtype=np.uint8), np.uint16([0, 9, 65535])):
    np.testing.assert_array_equal(
      pixels.inverted(pixels.inverted(values)), values
    )
    assert pixels.inverted(values)[0] == np.iinfo(values.dtype).max
  assert pixels.inverted(np.float32(0.25)) == 0.75


def test_luma_and_color_differences_are_those_of_yiq():
  """The standard library's YIQ has the same luma, rounded to two digits."""
  luma = pixels.with_channels(COLORS.astype(np.float32), 1)
  for color, y in zip(COLORS.reshape(-1, 3), luma.ravel(), strict=True):
    assert abs(colorsys.rgb_to_yiq(*color)[0] - y) < 5e-3
    assert abs(np.dot(color, [0.299, 0.587, 0.114]) - y) < 1e-6
  differences = pixels.color_differences(COLORS.astype(np.float32))
  # ITU-R BT.601, as JPEG has it.
  expected = COLORS @ np.array(
    [[-0.168736, 0.5], [-0.331264, -0.418688], [0.5, -0.081312]]
  )
  np.testing.assert_allclose(differences, expected, atol=1e-5)
  back = pixels.colored(luma, differences)
  np.testing.assert_allclose(back, COLORS, atol=1e-6)


def test_gray_is_repeated_and_found():
  gray = np.random.default_rng(1).random((3, 4, 1), np.float32)
  repeated = pixels.with_channels(gray, 3)
  assert repeated.shape == (3, 4, 3)
  assert pixels.is_gray(repeated)
  assert pixels.is_gray(gray)
  assert not pixels.is_gray(COLORS)


def test_halves_are_rounded_to_even_and_ends_are_clipped():
  values = np.array([-1, 0.5 / 255, 1.5 / 255, 2.5 / 255, 1, 2])
  found = pixels.quantized(values, 8)
  np.testing.assert_array_equal(found, [0, 0, 2, 2, 255, 255])
  assert found.dtype == np.uint8
  assert pixels.quantized(np.ones(1), 16) == 65535
