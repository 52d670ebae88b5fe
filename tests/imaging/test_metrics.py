"""Metrics against scikit-image, dm-pix, NumPy and PyTorch."""

import functools

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import metrics as reference

from sr2_jax.imaging import metrics

# One compilation per shape; eagerly, each operation is compiled separately.
_ssim = jax.jit(metrics.ssim)
_ssim_uniform7 = jax.jit(metrics.ssim_uniform7)


def _uniform7(a, b):
  return _ssim_uniform7(a, b, value_range=2.0)


SIMILARITIES = {"gaussian": (_ssim, 11), "uniform": (_uniform7, 7)}

WANG = {
  "gaussian_weights": True,
  "sigma": 1.5,
  "use_sample_covariance": False,
  "data_range": 1.0,
}


def _uniform(seed, shape) -> jax.Array:
  return jnp.asarray(np.random.default_rng(seed).random(shape, np.float32))


def _normal(seed, shape) -> jax.Array:
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.standard_normal(shape, np.float32))


def _pair(shape, kind) -> tuple[np.ndarray, np.ndarray]:
  """Images, and a noisy copy of them with values outside [0, 1]."""
  rng = np.random.default_rng(0)
  a = rng.random((3, *shape))
  if kind == "noise":
    b = a + 0.2 * rng.standard_normal(a.shape)
  elif kind == "flat":
    # Bright with little contrast, so that variances cancel.
    a = 0.95 + 0.02 * a
    b = a + 0.01 * rng.standard_normal(a.shape)
  elif kind == "digit":
    a = np.where(a > 0.7, 0.0, a)
    a[:, :, : shape[1] // 2] = 0
    b = np.where(a > 0, a + 0.1, 0)
  elif kind == "inverse":
    b = 1 - a
  else:
    b = 3 * rng.standard_normal(a.shape) - 1
  return a.astype(np.float32), b.astype(np.float32)


def _skimage_ssim(a, b, **settings) -> np.ndarray:
  return np.array(
    [
      reference.structural_similarity(x, y, channel_axis=-1, **settings)
      for x, y in zip(a.astype(float), b.astype(float), strict=True)
    ]
  )


KINDS = ["noise", "flat", "digit", "inverse", "far"]
SHAPES = [(28, 28, 1), (32, 32, 3), (11, 17, 3)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_ssim_equals_scikit_image(shape, kind):
  a, b = _pair(shape, kind)
  actual = _ssim(jnp.asarray(a), jnp.asarray(b))
  assert actual.shape == (3,)
  np.testing.assert_allclose(
    actual, _skimage_ssim(a, b, **WANG), rtol=0, atol=1e-5
  )


@pytest.mark.parametrize("value_range", [1.0, 2.0])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [*SHAPES, (7, 7, 1)])
def test_ssim_uniform7_equals_scikit_image(shape, kind, value_range):
  a, b = _pair(shape, kind)
  actual = _ssim_uniform7(
    jnp.asarray(a), jnp.asarray(b), value_range=value_range
  )
  np.testing.assert_allclose(
    actual, _skimage_ssim(a, b, data_range=value_range), rtol=0, atol=1e-5
  )


@pytest.mark.parametrize("shape", SHAPES)
def test_ssim_equals_dm_pix(shape):
  a, b = map(jnp.asarray, _pair(shape, "noise"))
  expected = jax.jit(dm_pix.ssim)(a, b)
  np.testing.assert_allclose(_ssim(a, b), expected, rtol=0, atol=1e-5)


@functools.partial(jax.jit, static_argnums=0)
def _value_and_gradient(similarity, a, b):
  """Sum over the batch, and its gradient in the second image."""
  return jax.value_and_grad(lambda b: similarity(a, b).sum())(b)


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0, -2.0])
def test_similarity_of_equal_images(name, value):
  similarity, _ = SIMILARITIES[name]
  constant = jnp.full((2, 16, 16, 3), value)
  textured = constant + _uniform(0, constant.shape)
  for images in (constant, textured):
    np.testing.assert_allclose(similarity(images, images), 1, rtol=0, atol=1e-6)
    _, gradient = _value_and_gradient(similarity, images, images)
    # A maximum: the gradient is zero, and finite.
    np.testing.assert_allclose(gradient, 0, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", SIMILARITIES)
def test_similarity_of_constant_images_has_a_closed_form(name):
  similarity, _ = SIMILARITIES[name]
  c1 = {"gaussian": 1e-4, "uniform": 4e-4}[name]
  a, b = jnp.full((1, 12, 12, 1), 0.25), jnp.full((1, 12, 12, 1), 0.75)
  expected = (2 * 0.25 * 0.75 + c1) / (0.25**2 + 0.75**2 + c1)
  np.testing.assert_allclose(similarity(a, b)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize("size", [1e-8, 1.0, 1e4])
def test_similarity_and_gradient_are_finite(name, size):
  similarity, _ = SIMILARITIES[name]
  a = jnp.zeros((2, 16, 16, 3)).at[0, 3:9, 4:5].set(1)
  b = size * _normal(0, a.shape)
  # One half has no texture and is far from the mean, where rounding matters.
  b = b.at[:, :, 8:].set(size)
  for one, other in ((a, b), (b, a), (a, jnp.zeros_like(a))):
    value, gradient = _value_and_gradient(similarity, one, other)
    assert np.isfinite(value)
    assert abs(value) <= 2.001
    assert np.isfinite(gradient).all()


def test_ssim_gradient_equals_finite_differences():
  a, b = map(jnp.asarray, _pair((12, 12, 1), "noise"))
  direction = _normal(0, b.shape)
  slope = jax.jvp(lambda b: _ssim(a, b), (b,), (direction,))[1]
  step = 1e-3
  ahead, behind = (
    _skimage_ssim(
      np.asarray(a), np.asarray(b, float) + sign * np.asarray(direction), **WANG
    )
    for sign in (step, -step)
  )
  np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), atol=1e-4)


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize("short", ["height", "width"])
def test_similarity_refuses_images_smaller_than_its_window(name, short):
  similarity, window = SIMILARITIES[name]
  height, width = (window - 1, 20) if short == "height" else (20, window - 1)
  images = jnp.zeros((1, height, width, 1))
  with pytest.raises(
    ValueError, match=rf"{height}x{width} .* {window}x{window}"
  ):
    similarity(images, images)


def test_psnr_equals_scikit_image():
  a, b = _pair((28, 28, 3), "noise")
  expected = [
    reference.peak_signal_noise_ratio(x, y, data_range=1)
    for x, y in zip(a.astype(float), b.astype(float), strict=True)
  ]
  np.testing.assert_allclose(
    metrics.psnr_db(jnp.asarray(a), jnp.asarray(b)), expected, rtol=1e-5
  )


def test_psnr_of_equal_images_is_its_cap():
  images = jnp.ones((2, 8, 8, 1))
  value, gradient = jax.value_and_grad(
    lambda b: metrics.psnr_db(images, b).sum()
  )(images)
  np.testing.assert_allclose(value, 2 * 100.0, rtol=1e-6)
  assert np.isfinite(gradient).all()
  np.testing.assert_allclose(
    metrics.psnr_db(images, images - 1e-6), 100.0, rtol=1e-6
  )


@pytest.mark.parametrize("kind", KINDS)
def test_errors_equal_numpy(kind):
  a, b = _pair((9, 8, 3), kind)
  difference = a.astype(float) - b.astype(float)
  np.testing.assert_allclose(
    metrics.mean_squared_error(jnp.asarray(a), jnp.asarray(b)),
    [np.mean(image**2) for image in difference],
    rtol=1e-4,
  )
  np.testing.assert_allclose(
    metrics.mean_absolute_error(jnp.asarray(a), jnp.asarray(b)),
    [np.mean(np.abs(image)) for image in difference],
    rtol=1e-4,
  )


def test_cross_entropy_equals_numpy():
  logits = np.random.default_rng(0).standard_normal((5, 10)) * 4
  labels = np.array([0, 9, 3, 3, 1])
  expected = [
    np.log(np.exp(row).sum()) - row[label]
    for row, label in zip(logits, labels, strict=True)
  ]
  actual = metrics.cross_entropy(
    jnp.asarray(logits, jnp.float32), jnp.asarray(labels)
  )
  np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


def test_cross_entropy_equals_torch():
  torch = pytest.importorskip("torch", reason="PyTorch is not installed")
  logits = np.random.default_rng(0).standard_normal((5, 10), np.float32) * 4
  labels = np.array([0, 9, 3, 3, 1])
  weights = torch.from_numpy(logits).requires_grad_()
  expected = torch.nn.functional.cross_entropy(
    weights, torch.from_numpy(labels), reduction="none"
  )
  expected.sum().backward()
  gradient = jax.grad(
    lambda logits: metrics.cross_entropy(logits, jnp.asarray(labels)).sum()
  )(jnp.asarray(logits))
  np.testing.assert_allclose(
    metrics.cross_entropy(jnp.asarray(logits), jnp.asarray(labels)),
    expected.detach().numpy(),
    rtol=1e-4,
    atol=1e-6,
  )
  np.testing.assert_allclose(gradient, weights.grad.numpy(), atol=1e-5)


def test_weighted_cross_entropy_equals_torch():
  """Image by image; a mean over images is not divided by their weights.

  With balanced weights these sum up to the number of images, so that over all
  training images it is PyTorch's default as well, which divides.
  """
  torch = pytest.importorskip("torch", reason="PyTorch is not installed")
  random = np.random.default_rng(0)
  labels = np.repeat(np.arange(3), (9, 2, 1))
  logits = random.standard_normal((12, 3), np.float32)
  weights = (12 / 27, 12 / 6, 12 / 3)
  actual, gradient = jax.vjp(
    lambda x: metrics.cross_entropy(x, jnp.asarray(labels), weights),
    jnp.asarray(logits),
  )
  given = torch.from_numpy(logits).requires_grad_()
  for reduction, value in (("none", actual), ("mean", actual.mean())):
    expected = torch.nn.functional.cross_entropy(
      given,
      torch.from_numpy(labels),
      torch.tensor(weights),
      reduction=reduction,
    )
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-5)
  expected.backward()
  np.testing.assert_allclose(
    gradient(jnp.full(12, 1 / 12))[0], given.grad.numpy(), atol=1e-6
  )


def test_cross_entropy_of_large_logits_is_finite():
  logits = jnp.array([[1e4, -1e4, 0.0]])
  values = [metrics.cross_entropy(logits, jnp.array([k])) for k in range(3)]
  np.testing.assert_allclose(np.concatenate(values), [0.0, 2e4, 1e4], rtol=1e-6)


PAIRWISE = {
  "ssim": _ssim,
  "ssim_uniform7": _uniform7,
  "psnr_db": metrics.psnr_db,
  "mean_squared_error": metrics.mean_squared_error,
  "mean_absolute_error": metrics.mean_absolute_error,
}


@pytest.mark.parametrize("name", PAIRWISE)
def test_images_are_independent(name):
  """A sweep over noise levels under jit and vmap, as evaluation runs it."""
  metric = PAIRWISE[name]
  alone = jax.jit(metric)
  truth = _uniform(0, (3, 16, 16, 2))
  levels = truth.reshape(1, 3, 16, 16, 2) + 0.1 * _normal(1, (4, 3, 16, 16, 2))
  sweep = jax.jit(jax.vmap(metric, in_axes=(None, 0)))(truth, levels)
  devices = jax.pmap(metric, in_axes=(None, 0))(truth, levels)
  single = [
    [alone(truth[i : i + 1], level[i : i + 1])[0] for i in range(3)]
    for level in levels
  ]
  assert sweep.shape == (4, 3)
  np.testing.assert_allclose(sweep, np.array(single), rtol=0, atol=1e-5)
  np.testing.assert_allclose(sweep, devices, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PAIRWISE)
def test_refuses_images_of_different_shapes(name):
  with pytest.raises(ValueError, match="differ in shape"):
    PAIRWISE[name](jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, 16, 16, 1)))
