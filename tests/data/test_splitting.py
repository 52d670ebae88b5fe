"""Shares of each class, against a count by hand."""

import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.data import splitting


def test_each_class_gives_its_share_and_each_image_is_used_once():
  labels = np.repeat(np.arange(3), (20, 10, 1)).astype(np.int32)
  parts = splitting.stratified(
    labels, seed=3, validation_fraction=0.2, test_fraction=0.1
  )
  counts = [np.bincount(labels[part], minlength=3).tolist() for part in parts]
  assert counts == [[14, 7, 1], [4, 2, 0], [2, 1, 0]]
  assert sorted(np.concatenate(parts)) == list(range(31))
  again = splitting.stratified(
    labels, seed=4, validation_fraction=0.2, test_fraction=0.1
  )
  assert not np.array_equal(parts[0], again[0])


def test_images_fill_a_batch():
  splitting.check_fills_a_batch(7, 7, name="folder")
  with pytest.raises(
    errors.UserError, match="batch_size is 8, more than the 7 training images"
  ):
    splitting.check_fills_a_batch(7, 8, name="folder")
