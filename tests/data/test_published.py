"""The published sizes against what the paper and the package say."""

import pytest

from sr2_jax.data import mnist5k, published


def test_paper_trains_on_200000_svhn_images():
  count = published.num_train_images("svhn_cropped", validation_fraction=0)
  assert count == 200_000


@pytest.mark.parametrize(
  ("name", "expected"),
  [
    ("mnist5k", 4_000),  # its parts are fixed
    ("mnist", 48_000),
    ("svhn_cropped", 58_606 + 126_743),
  ],
)
def test_training_images_without_a_fifth(name, expected):
  assert published.num_train_images(name, validation_fraction=0.2) == expected


def test_mnist5k_is_as_large_as_published():
  images, _ = mnist5k.digits()
  sizes = published.PUBLISHED["mnist5k"]
  assert images.shape == (sizes.num_images["train"], *sizes.image_shape)
