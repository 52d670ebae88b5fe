"""What weights in float16 cost, against numbers worked out by hand."""

import numpy as np
import pytest

from sr2_jax.data import mnist5k
from sr2_jax.export import rounding
from tests import random_network


def softmax(logits):
  powers = np.exp(np.float64(logits))
  return powers / powers.sum(axis=-1, keepdims=True)


def test_cost():
  exact = {
    "super_res": np.float32([-0.5, 10.4 / 255, 20 / 255, 2]).reshape(2, 2),
    "logits": np.float32([[1, 0], [0.5, 0]]),
  }
  narrow = {
    "super_res": np.float32([0, 10.6 / 255, 17 / 255, 1.5]).reshape(2, 2),
    "logits": np.float32([[1, 0], [0, 0.25]]),
  }
  found = rounding.cost(exact, narrow)
  assert (found.num_images, found.pixels, found.levels) == (2, 0.5, 3)
  assert found.labels == 1
  change = softmax(exact["logits"]) - softmax(narrow["logits"])
  assert found.probability == pytest.approx(np.abs(change).max(), abs=1e-6)
  assert str(found) == (
    "on 2 MNIST digits, 50.0% of the 8-bit values change, by 3 at most; 1 "
    f"of 2 labels change, probabilities by {found.probability:.4f} at most"
  )


def test_cost_without_a_classifier():
  images = {"super_res": np.zeros((2, 3, 3, 1), np.float32)}
  found = rounding.cost(images, images)
  assert found == rounding.Cost(2, 0.0, 0)
  assert str(found).endswith("0.0% of the 8-bit values change, by 0 at most")


def test_digits_are_degraded_as_in_the_run():
  images = rounding.digits(random_network.make(scale=4, channels=3))
  assert images.shape == (rounding.NUM_DIGITS, 7, 7, 3)
  np.testing.assert_array_equal(images[..., 0], images[..., 2])
  assert 0 <= images.min() < 0.1
  assert 0.5 < images.max() <= 1
  # Blur and shrinking keep the mean brightness of MNIST, about 0.13.
  assert images.mean() == pytest.approx(0.13, abs=0.02)
  # 28 is no multiple of 3.
  odd = rounding.digits(random_network.make(scale=3))
  assert odd.shape == (rounding.NUM_DIGITS, 9, 9, 1)


def test_digits_for_pairs_have_no_blur_that_the_network_has_never_seen():
  of_pairs = random_network.make(scale=3, low_res_path="small")
  images = rounding.digits(of_pairs)
  assert images.shape == (rounding.NUM_DIGITS, 9, 9, 1)
  digits, _ = mnist5k.digits()
  first = digits[0, :27, :27] / 255
  for row, column in ((4, 4), (5, 3), (8, 8)):
    block = first[3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
    assert images[0, row, column, 0] == pytest.approx(block.mean(), abs=1e-6)
