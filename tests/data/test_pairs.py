"""Packed pairs against a loop over pixels."""

import jax.numpy as jnp
import numpy as np
import pytest

from sr2_jax.data import fitting, pairs


def make(scale, *, height=3, width=4, channels=2, dtype=np.uint8):
  random = np.random.default_rng(scale)
  shape = (5, height, width, channels)
  low_res = random.integers(0, 256, shape).astype(dtype)
  shape = (5, scale * height, scale * width, channels)
  return random.integers(0, 256, shape).astype(dtype), low_res


@pytest.mark.parametrize("scale", [2, 3])
def test_a_pixel_has_its_block_and_its_own_value(scale):
  high_res, low_res = make(scale)
  images = pairs.packed(high_res, low_res)
  assert images.shape == (5, 3, 4, (scale**2 + 1) * 2)
  for row in range(3):
    for column in range(4):
      values = [
        high_res[:, scale * row + down, scale * column + right]
        for down in range(scale)
        for right in range(scale)
      ]
      values.append(low_res[:, row, column])
      np.testing.assert_array_equal(
        images[:, row, column], np.concatenate(values, axis=-1)
      )


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_both_images_come_out_again(array):
  high_res, low_res = make(4, channels=3, dtype=np.uint16)
  images = array(pairs.packed(high_res, low_res))
  for found, expected in zip(
    pairs.unpacked(images, 4), (high_res, low_res), strict=True
  ):
    np.testing.assert_array_equal(found, expected)
  assert pairs.shape_of(images.shape[1:], 4) == high_res.shape[1:]


def test_a_middle_is_one_of_both():
  high_res, low_res = make(2, height=5, width=8)
  middle = fitting.cropped(pairs.packed(high_res, low_res), (2, 3))
  high, low = pairs.unpacked(middle, 2)
  np.testing.assert_array_equal(low, low_res[:, 1:3, 2:5])
  np.testing.assert_array_equal(high, high_res[:, 2:6, 4:10])


def test_what_is_no_pair_fails():
  high_res, low_res = make(2)
  with pytest.raises(AssertionError):
    pairs.packed(high_res[:, :-1], low_res)
  with pytest.raises(AssertionError):
    pairs.packed(high_res.astype(np.uint16), low_res)
  with pytest.raises(AssertionError):
    pairs.shape_of((3, 4, 11), 2)
