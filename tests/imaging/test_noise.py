"""Statistics of the noise, and dependencies of its draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr2_jax.imaging import noise


def _noisy(keys, images, variance):
  return noise.apply(images, noise.draw(keys, images.shape[1:]), variance)


_add = jax.jit(_noisy)


def _uniform(seed, shape) -> jax.Array:
  return jnp.asarray(np.random.default_rng(seed).random(shape, np.float32))


def _keys(count=4) -> jax.Array:
  return jax.random.split(jax.random.key(0), count)


@pytest.mark.parametrize("variance", [1e-5, 1e-3, 1e-2])
def test_mean_and_variance(variance):
  gray = jnp.full((64, 14, 14, 3), 0.5)
  added = np.asarray(_add(_keys(64), gray, variance)) - 0.5
  count = added.size
  # Five standard errors of the mean and of the variance.
  assert abs(added.mean()) < 5 * np.sqrt(variance / count)
  assert abs(added.var() / variance - 1) < 5 * np.sqrt(2 / count)
  beyond = (np.abs(added) > 2 * np.sqrt(variance)).mean()
  assert abs(beyond - 0.0455) < 5 * np.sqrt(0.0455 / count)


def test_pixels_and_images_are_independent():
  draws = np.asarray(noise.draw(_keys(64), (14, 14, 3))).reshape(64, -1)
  correlation = np.corrcoef(draws)[~np.eye(64, dtype=bool)]
  assert np.abs(correlation).max() < 6 / np.sqrt(draws.shape[1])
  neighbors = np.corrcoef(draws[:, :-1].ravel(), draws[:, 1:].ravel())[0, 1]
  assert abs(neighbors) < 5 / np.sqrt(draws.size)


def test_clips_to_the_unit_interval():
  images = jnp.concatenate([jnp.zeros((2, 8, 8, 1)), jnp.ones((2, 8, 8, 1))])
  noisy = np.asarray(_add(_keys(), images, 0.01))
  assert noisy.min() == 0
  assert noisy.max() == 1
  # Half of the noise leads out of the interval.
  assert 0.3 < (noisy == np.asarray(images)).mean() < 0.7


def test_no_noise_is_the_identity():
  images = _uniform(1, (4, 8, 8, 3))
  images = images.at[0, 0, 0, 0].set(1.0000001)
  np.testing.assert_array_equal(_add(_keys(), images, 0.0), images)


def test_equals_its_definition():
  images = _uniform(1, (4, 8, 8, 3))
  noisy = _add(_keys(), images, 0.01)
  for key, image, actual in zip(_keys(), images, noisy, strict=True):
    drawn = np.asarray(jax.random.normal(key, image.shape))
    expected = np.clip(np.asarray(image) + 0.1 * drawn, 0, 1)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


def test_levels_share_one_draw():
  variances = jnp.array([0.0, 1e-5, 1e-4, 1e-2])
  images = jnp.full((4, 8, 8, 3), 0.5)
  sweep = jax.vmap(_noisy, in_axes=(None, None, 0))
  levels = np.asarray(jax.jit(sweep)(_keys(), images, variances))
  drawn = noise.draw(_keys(), (8, 8, 3))
  for variance, level in zip(variances, levels, strict=True):
    alone = _add(_keys(), images, variance)
    np.testing.assert_allclose(level, alone, rtol=0, atol=1e-7)
    np.testing.assert_allclose(
      level, noise.apply(images, drawn, variance), rtol=0, atol=1e-7
    )
  # The random bits have no axis of levels: they are drawn once.
  program = str(jax.make_jaxpr(sweep)(_keys(), images, variances))
  assert "random_bits[bit_width=32 shape=(8, 8, 3)]" in program
  assert "u32[4,8,8,3]" in program
  assert "u32[4,4,8,8,3]" not in program


def test_each_image_depends_on_its_own_key():
  """A split batch, several devices and a member axis give the same."""
  images = _uniform(1, (8, 7, 7, 1))
  keys = _keys(8)

  def add(keys, images):
    return _noisy(keys, images, 1e-3)

  whole = jax.jit(add)(keys, images)
  members = jax.jit(jax.vmap(add))(
    keys.reshape(2, 4), images.reshape(2, 4, 7, 7, 1)
  )
  devices = jax.pmap(add)(keys.reshape(4, 2), images.reshape(4, 2, 7, 7, 1))
  for other in (members, devices):
    np.testing.assert_allclose(
      np.asarray(other).reshape(whole.shape), whole, rtol=0, atol=1e-6
    )


def test_gradient_passes_where_nothing_is_clipped():
  images = jnp.concatenate(
    [jnp.full((2, 8, 8, 1), 0.5), jnp.ones((2, 8, 8, 1))]
  )
  noisy = _add(_keys(), images, 1e-3)
  gradient = jax.grad(lambda images: jnp.sum(_add(_keys(), images, 1e-3)))(
    images
  )
  np.testing.assert_array_equal(gradient, (noisy < 1).astype(jnp.float32))
