"""Corruptions against scikit-image, SciPy, Pillow and their definitions."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import stats
from skimage.util import random_noise

from sr2_jax import names
from sr2_jax.config import fields
from sr2_jax.imaging import corruptions

RANDOM = {name: jax.jit(f) for name, f in corruptions.RANDOM.items()}
LEVELS = {
  "speckle": (0.0, 0.01, 0.2),
  "salt_and_pepper": (0.0, 0.1, 1.0),
  "poisson": (5.0, 30.0, 500.0),
}
_jpeg = jax.jit(corruptions.jpeg)


def _images(*shape, seed=1) -> jax.Array:
  return jnp.asarray(np.random.default_rng(seed).random(shape, np.float32))


def _smooth(count, height, width, channels) -> np.ndarray:
  """Gradients with edges and a little noise, uint8."""
  random = np.random.default_rng(0)
  y, x = np.mgrid[:height, :width]
  phase = random.uniform(0, 6, (count, 1, 1, channels))
  slopes = random.uniform(-0.5, 0.5, (2, count, 1, 1, channels))
  waves = np.sin(
    phase + slopes[0] * y[None, ..., None] + slopes[1] * x[None, ..., None]
  )
  waves = np.where(waves > 0.7, -waves, waves)
  waves = 127 + 127 * waves + random.normal(0, 4, waves.shape)
  return np.clip(waves.round(), 0, 255).astype(np.uint8)


def _keys(count=4) -> jax.Array:
  return jax.random.split(jax.random.key(0), count)


def test_names_agree():
  """Keys in the vocabulary, fields of the config, and functions."""
  of_config = {
    field.rpartition(".")[2]
    for field in fields.CHECKS
    if field.startswith("eval.corruptions.")
  }
  assert of_config == names.CORRUPTIONS.keys()
  assert {*corruptions.RANDOM, "jpeg", "blur"} == of_config


@pytest.mark.parametrize("variance", [0.01, 0.2])
def test_speckle_equals_its_definition(variance):
  images = _images(4, 7, 7, 3)
  actual = RANDOM["speckle"](_keys(), images, variance)
  for key, image, speckled in zip(_keys(), images, actual, strict=True):
    drawn = np.asarray(jax.random.normal(key, image.shape))
    image = np.asarray(image)
    expected = np.clip(image + image * np.sqrt(variance) * drawn, 0, 1)
    np.testing.assert_allclose(speckled, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("gray", [0.1, 0.5, 0.95])
@pytest.mark.parametrize(
  ("name", "mode", "level", "options"),
  [
    ("speckle", "speckle", 0.04, {"var": 0.04}),
    ("salt_and_pepper", "s&p", 0.3, {"amount": 0.3, "salt_vs_pepper": 0.5}),
    ("poisson", "poisson", 40.0, None),
  ],
)
def test_statistics_equal_scikit_image(name, mode, level, options, gray):
  """Mean, variance and shape of two samples from the same distribution."""
  image = jnp.full((64, 14, 14, 1), gray)
  actual = np.asarray(RANDOM[name](_keys(64), image, level), np.float64).ravel()
  random = np.random.default_rng(0)
  source = np.full(actual.size, gray)
  if options is None:
    # scikit-image's function has no peak to set; it derives one from the image.
    expected = np.clip(random.poisson(source * level) / level, 0, 1)
  else:
    expected = random_noise(source, mode=mode, rng=random, **options)
  spread = np.sqrt(2 * expected.var() / actual.size)
  assert abs(actual.mean() - expected.mean()) < 5 * spread
  fourth = np.mean((expected - expected.mean()) ** 4) - expected.var() ** 2
  tolerance = 5 * np.sqrt(2 * fourth / actual.size)
  assert abs(actual.var() - expected.var()) < tolerance + 1e-7
  # So that multiples of a step are equal in float32 and float64.
  rounded = [np.round(values, 5) for values in (actual, expected)]
  assert stats.ks_2samp(*rounded).pvalue > 1e-4


@pytest.mark.parametrize("mean", [0.3, 4.0, 60.0])
def test_photon_counts_are_poisson(mean):
  """Frequency of each count, below and above where JAX switches algorithms."""
  peak = 100.0
  images = jnp.full((64, 14, 14, 1), mean / peak)
  counts = np.asarray(RANDOM["poisson"](_keys(64), images, peak)) * peak
  np.testing.assert_allclose(counts, counts.round(), atol=1e-4)
  counts = counts.round().astype(int).ravel()
  expected = stats.poisson.pmf(np.arange(200), mean) * counts.size
  common = expected > 20
  found = np.bincount(counts, minlength=200)[common]
  spread = np.sqrt(expected[common])
  assert np.abs((found - expected[common]) / spread).max() < 5


def test_salt_and_pepper_turns_whole_pixels_with_equal_shares():
  images = jnp.full((64, 14, 14, 3), 0.5)
  noisy = np.asarray(RANDOM["salt_and_pepper"](_keys(64), images, 0.2))
  assert set(np.unique(noisy)) == {0, 0.5, 1}
  np.testing.assert_array_equal(noisy, noisy[..., :1].repeat(3, axis=-1))
  for value in (0, 1):
    share, count = (noisy[..., 0] == value).mean(), noisy[..., 0].size
    assert abs(share - 0.1) < 5 * np.sqrt(0.1 * 0.9 / count)


def test_salt_and_pepper_grows_with_its_level():
  images = jnp.full((4, 14, 14, 1), 0.5)
  low, high = (
    np.asarray(RANDOM["salt_and_pepper"](_keys(), images, level))
    for level in (0.1, 0.6)
  )
  np.testing.assert_array_equal(low[low != 0.5], high[low != 0.5])
  assert (high != 0.5).sum() > 3 * (low != 0.5).sum()


@pytest.mark.parametrize("name", ["speckle", "salt_and_pepper"])
def test_level_zero_is_the_identity(name):
  images = _images(4, 7, 7, 3).at[0, 0, 0].set(0).at[0, 0, 1].set(1)
  np.testing.assert_array_equal(RANDOM[name](_keys(), images, 0.0), images)


def test_all_pixels_turn_at_level_one():
  noisy = RANDOM["salt_and_pepper"](_keys(), _images(4, 7, 7, 3), 1.0)
  assert set(np.unique(noisy)) == {0, 1}


def test_many_photons_change_little():
  images = _images(4, 7, 7, 1)
  noisy = RANDOM["poisson"](_keys(), images, 1e6)
  np.testing.assert_allclose(noisy, images, rtol=0, atol=6e-3)


@pytest.mark.parametrize("name", RANDOM)
def test_black_stays_black_except_for_salt(name):
  noisy = np.asarray(RANDOM[name](_keys(), jnp.zeros((4, 7, 7, 1)), 0.5))
  assert (noisy.max() == 0) == (name != "salt_and_pepper")


@pytest.mark.parametrize("name", RANDOM)
def test_results_are_in_the_unit_interval(name):
  """Even if the inputs are outside it."""
  images = 1.2 * _images(4, 14, 14, 1) - 0.1
  for level in LEVELS[name]:
    noisy = np.asarray(RANDOM[name](_keys(), images, level))
    assert noisy.min() >= 0
    assert noisy.max() <= 1


@pytest.mark.parametrize("name", RANDOM)
def test_levels_and_batches_share_their_draws(name):
  """A sweep equals separate levels, and each image has its own key."""
  images, levels = _images(8, 7, 7, 1), jnp.array(LEVELS[name])
  sweep = jax.jit(jax.vmap(corruptions.RANDOM[name], in_axes=(None, None, 0)))(
    _keys(8), images, levels
  )
  for level, expected in zip(levels, sweep, strict=True):
    actual = [
      RANDOM[name](_keys(8)[part], images[part], level)
      for part in (slice(0, 3), slice(3, 8))
    ]
    np.testing.assert_allclose(
      np.concatenate(actual), expected, rtol=0, atol=1e-6
    )


def _pillow(images: np.ndarray, quality: int) -> np.ndarray:
  """A round trip through libjpeg, without chroma subsampling."""
  restored = []
  for image in images:
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(
      file, "JPEG", quality=quality, subsampling=0
    )
    restored.append(np.asarray(Image.open(file)).reshape(image.shape))
  return np.stack(restored)


def _jpeg_levels(images: np.ndarray, quality: float) -> np.ndarray:
  """Gray levels after our JPEG, from uint8 images."""
  restored = _jpeg(jnp.asarray(images / np.float32(255)), quality)
  levels = 255 * np.asarray(restored)
  np.testing.assert_allclose(levels, levels.round(), rtol=0, atol=1e-3)
  return levels.round().astype(int)


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 95, 100])
@pytest.mark.parametrize(
  "shape", [(7, 7, 1), (14, 14, 1), (16, 24, 1), (8, 8, 3), (13, 21, 3)]
)
def test_jpeg_equals_pillow(shape, quality):
  images = _smooth(20, *shape)
  expected = _pillow(images, quality).astype(int)
  np.testing.assert_array_equal(_jpeg_levels(images, quality), expected)
  assert np.abs(expected - images).max() > 0


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_of_noise_equals_pillow(channels):
  """All frequencies matter, and values outside the range are clipped."""
  random = np.random.default_rng(0)
  images = random.integers(0, 256, (20, 16, 16, channels), np.uint8)
  images = np.where(images < 99, 0, np.where(images > 155, 255, images))
  images = images.astype(np.uint8)
  np.testing.assert_array_equal(_jpeg_levels(images, 30), _pillow(images, 30))


@pytest.mark.parametrize("value", [0, 1, 77, 128, 254, 255])
@pytest.mark.parametrize("quality", [5.0, 50.0, 100.0])
def test_jpeg_of_a_constant_image_equals_pillow(value, quality):
  for channels in (1, 3):
    image = np.full((1, 7, 9, channels), value, np.uint8)
    levels = _jpeg_levels(image, quality)
    np.testing.assert_array_equal(levels, _pillow(image, int(quality)))
    assert np.ptp(levels) == 0


def test_jpeg_takes_levels_and_batches_at_once():
  images = jnp.asarray(_smooth(4, 14, 14, 1) / np.float32(255))
  qualities = jnp.array([5.0, 50.0, 90.0])
  sweep = jax.jit(jax.vmap(corruptions.jpeg, in_axes=(None, 0)))
  for quality, level in zip(qualities, sweep(images, qualities), strict=True):
    np.testing.assert_allclose(level, _jpeg(images, quality), atol=1 / 254)


def test_jpeg_of_two_channels_is_refused():
  with pytest.raises(ValueError, match="1 or 3 channels, not 2"):
    corruptions.jpeg(jnp.zeros((1, 8, 8, 2)), 50)
