"""Degradations of a config, compared with SciPy and scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import skimage.filters
import skimage.transform

from experiments import default
from sr2_jax.config import derived
from sr2_jax.data import pairs
from sr2_jax.imaging import augmentation, blur_kernels
from sr2_jax.training import inputs

SIZE = 12
SRMD = {
  "model__trunk": "srmd",
  "model__wiring": "none",
  "joint__num_epochs": 0,
  "batch_size": 2,
}


def make_config(**changes):
  config = default.get_config()
  config.data.name = "mnist5k"
  config.degradation.scale = 2
  config.update_from_flattened_dict(
    {name.replace("__", "."): value for name, value in changes.items()}
  )
  return derived.resolve(config)


@pytest.mark.parametrize("blur", [None, 0.0, 1.75])
@pytest.mark.parametrize(
  ("sigma_per_scale", "anti_aliasing"), [(0.5, True), (0.25, False)]
)
def test_degradation_of_images_that_are_not_square(
  sigma_per_scale, anti_aliasing, blur
):
  """Each axis has its own operator; compared with scikit-image."""
  height, width, scale = 12, 20, 2
  changes = {
    "degradation__scale": scale,
    "degradation__blur_sigma_per_scale": sigma_per_scale,
    "degradation__anti_aliasing": anti_aliasing,
  }
  image = np.random.default_rng(0).random((height, width))
  blurred = skimage.filters.gaussian(
    image,
    sigma_per_scale * scale * (1 if blur is None else blur),
    mode="nearest",
  )
  expected = skimage.transform.rescale(
    blurred, 1 / scale, anti_aliasing=anti_aliasing
  )
  options = {} if blur is None else {"blur": blur}
  degrade = inputs.degradation_of(
    make_config(**changes), height, width, **options
  )
  degraded = degrade(jnp.asarray(image[None, ..., None], jnp.float32))
  assert degraded.shape[1:] == (6, 10, 1)
  np.testing.assert_allclose(degraded[0, ..., 0], expected, atol=1e-6)


def test_other_networks_get_no_description():
  config = make_config()
  images = np.random.default_rng(0).random((2, SIZE, SIZE, 1), np.float32)
  keys = jax.random.split(jax.random.key(0), 2)
  degrade = inputs.degradation_for_training(config, SIZE, SIZE)
  low_res, description = degrade(keys, images)
  expected = inputs.degradation_of(config, SIZE, SIZE)(images)
  np.testing.assert_array_equal(low_res, expected)
  assert description is None


def test_descriptions_have_the_blur_in_use_and_the_noise():
  """The blur combines that of scale / 2 px and that against aliasing."""
  config = make_config(**SRMD, degradation__scale=4)
  describe = inputs.description_of(config, basis=inputs.blur_basis(config))
  described = describe(jnp.asarray([0.0, 1e-4]))
  expected = blur_kernels.describe(
    np.stack([blur_kernels.isotropic(2.5)] * 2),
    np.float32([0, 0.01]),
    blur_kernels.basis_of(0.1, 10.0),
  )
  np.testing.assert_allclose(described, expected, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("isotropic", [False, True])
def test_training_images_of_srmd_have_the_blur_of_their_description(
  scale, isotropic
):
  """SciPy applies the kernels that the descriptions encode."""
  config = make_config(
    **SRMD,
    degradation__scale=scale,
    srmd__isotropic=isotropic,
    srmd__max_noise_std=0.0,
    srmd__min_blur_variance=0.5,
    srmd__max_blur_variance=8.0,
  )
  images = np.random.default_rng(0).random((5, SIZE, SIZE, 1), np.float32)
  keys = jax.random.split(jax.random.key(1), 5)
  degrade = inputs.degradation_for_training(config, SIZE, SIZE)
  low_res, descriptions = degrade(keys, images)
  assert low_res.shape == (5, SIZE // scale, SIZE // scale, 1)
  basis = blur_kernels.basis_of(0.5, 8.0)
  middle = slice(scale // 2 - 1, None, scale), slice(scale // 2, None, scale)
  for image, description, actual in zip(
    images, np.asarray(descriptions), low_res, strict=True
  ):
    assert description[-1] == 0
    kernel = (basis.T @ description[:-1]).reshape(15, 15, order="F")
    kernel /= kernel.sum()
    if isotropic:
      np.testing.assert_allclose(kernel, kernel.T, atol=0.01)
    blurred = scipy.ndimage.convolve(image[..., 0], kernel, mode="nearest")
    expected = np.mean([blurred[i, j] for i in middle for j in middle], axis=0)
    np.testing.assert_allclose(actual[..., 0], expected, atol=0.02)
  # Each image has its own blur.
  assert len(np.unique(descriptions, axis=0)) == 5


def test_training_images_of_srmd_have_the_noise_of_their_description():
  degrade = inputs.degradation_for_training(make_config(**SRMD), 40, 40)
  images = np.full((30, 40, 40, 1), 0.5, np.float32)
  keys = jax.random.split(jax.random.key(0), 30)
  low_res, descriptions = degrade(keys, images)
  told = np.asarray(descriptions)[:, -1]
  assert 0.2 < told.max() < 75 / 255
  # An image has 400 pixels, and clipping to [0, 1] weakens the strongest noise.
  np.testing.assert_allclose(
    np.std(low_res, (1, 2, 3)), told, rtol=0.15, atol=1e-6
  )
  assert np.min(low_res) >= 0
  assert np.max(low_res) <= 1


def test_pairs_in_memory_are_unpacked_and_shifted(tmp_path):
  config = make_config(
    data__name="folder",
    data__low_res_path=str(tmp_path),
    augmentation__fill="edge",
  )
  random = np.random.default_rng(0)
  high_res = random.random((3, 8, 8, 1), np.float32)
  low_res = random.random((3, 4, 4, 1), np.float32)
  images = jnp.asarray(pairs.packed(high_res, low_res))
  keys = jax.random.split(jax.random.key(0), 3)
  # A pixel at high resolution is none at low resolution.
  still = inputs.pairs_for_training(config, max_shift=1)
  for found, expected in zip(
    still(keys, images), (high_res, low_res), strict=True
  ):
    np.testing.assert_array_equal(found, expected)
  moves = inputs.pairs_for_training(config, max_shift=3)
  expected = augmentation.shift_pairs(
    keys, jnp.asarray(high_res), jnp.asarray(low_res), max_shift=1, fill="edge"
  )
  for found, wanted in zip(moves(keys, images), expected, strict=True):
    np.testing.assert_array_equal(found, wanted)
  assert inputs.pairs_for_training(make_config(), max_shift=3) is None
