"""What training and evaluation get of a data set."""

import numpy as np
import pytest
from PIL import Image

from experiments import default
from sr2_jax import errors
from sr2_jax.config import derived
from sr2_jax.data import dataset
from sr2_jax.training import images


@pytest.fixture
def config(tmp_path, monkeypatch):
  """Ten images of 17 x 14 pixels (height x width) in one class."""
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(tmp_path / "cache"))
  random = np.random.default_rng(0)
  (tmp_path / "photos").mkdir()
  for number in range(10):
    pixels = random.integers(0, 256, (17, 14), np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"photos/{number}.png")

  def config(**changes):
    config = default.get_config()
    config.data.name, config.data.path = "folder", str(tmp_path / "photos")
    config.joint.num_epochs = 0
    config.batch_size = 4
    config.update_from_flattened_dict(
      {name.replace("__", "."): value for name, value in changes.items()}
    )
    return derived.resolve(config)

  return config


def test_sides_that_the_scale_does_not_divide(config):
  with pytest.raises(errors.UserError, match=r"config\.data\.fit=crop cuts"):
    images.load(config())
  found = images.load(config(data__fit="crop"))
  assert found.train.images.shape == (6, 16, 14, 1)
  assert "10 of 10 images: cut to the middle" in found.notes


def test_crops_are_cut_for_evaluation_alone(config):
  whole = dataset.load(config().data)
  found = images.load(config(augmentation__crop=12))
  np.testing.assert_array_equal(found.train.images, whole.train.images)
  for name in ("validation", "test"):
    split = getattr(found, name)
    expected = np.asarray(getattr(whole, name).images)[:, 2:14, 1:13]
    np.testing.assert_array_equal(split.images, expected)
    assert split.images[np.arange(2)].flags.c_contiguous
  assert found.fingerprint == whole.fingerprint


@pytest.mark.parametrize(
  ("crop", "problem"),
  [
    (16, r"config\.augmentation\.crop=16 does not fit into images of 17x14 px"),
    (10, "The crops are 10x10 px; SSIM's window needs at least 11 px"),
    (13, r"does not divide the crop size of 13x13 px.*crop=12 fits"),
  ],
)
def test_crops_that_do_not_fit(config, crop, problem):
  with pytest.raises(errors.UserError, match=problem):
    images.load(config(augmentation__crop=crop))


def test_a_classifier_is_refused_without_classes(config):
  with pytest.raises(errors.UserError, match="the classifier of joint needs"):
    images.load(config(data__fit="crop", joint__num_epochs=1))
  alone = {"joint__num_epochs": 1, "model__wiring": "none"}
  assert images.load(config(data__fit="crop", **alone)).class_names == ()


def test_too_few_images_for_a_batch(config):
  with pytest.raises(
    errors.UserError, match="batch_size is 7, more than the 6"
  ):
    images.load(config(data__fit="crop", batch_size=7))
