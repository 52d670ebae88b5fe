"""Equal images in two splits, against a comparison of all pairs."""

import pathlib

import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.data import duplicates


def test_pairs_across_splits_are_found():
  random = np.random.default_rng(0)
  images = random.integers(0, 2, (40, 2, 2, 1), np.uint8)  # 16 kinds
  parts = {
    "train": np.arange(0, 20), "validation": np.arange(20, 30),
    "test": np.arange(30, 38),
  }  # fmt: skip
  split = np.repeat([0, 1, 2], (20, 10, 8))
  found = duplicates.across(map(duplicates.digest, images), parts)
  expected = []
  for index in range(38):
    equal = [
      other for other in range(index)
      if np.array_equal(images[other], images[index])
    ]  # fmt: skip
    if equal and split[equal[0]] != split[index]:
      expected.append((equal[0], index))
  assert expected
  assert found == expected


def test_shape_and_type_tell_images_apart():
  zeros = [
    np.zeros((2, 4, 1), np.uint8), np.zeros((4, 2, 1), np.uint8),
    np.zeros((2, 2, 1), np.uint16),
  ]  # fmt: skip
  assert len({duplicates.digest(image) for image in zeros}) == 3


def test_duplicates_are_named_and_counted():
  images = np.zeros((3, 2, 2, 1), np.uint8)
  images[1] = 1
  files = [pathlib.Path(f"{name}.png") for name in "abc"]
  parts = {"train": np.array([0, 1]), "test": np.array([2])}
  digests = np.stack(
    [np.frombuffer(duplicates.digest(image), np.uint8) for image in images]
  )
  with pytest.raises(errors.UserError) as caught:
    duplicates.check(digests, files, parts)
  assert str(caught.value).startswith(
    "1 image is in two splits: a.png = c.png.\n"
  )
  assert "config.data.duplicates=allow" in str(caught.value)
  duplicates.check(digests, files, {"train": np.array([0, 1, 2])})
