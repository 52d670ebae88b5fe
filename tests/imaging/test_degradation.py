"""The operators against scikit-image's filters, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from skimage import filters, transform

from sr2_jax.imaging import degradation

_degrade = jax.jit(degradation.degrade)


def _authors(
  images: np.ndarray, scale: int, blur_sigma: float, anti_aliasing: bool
) -> np.ndarray:
  return np.stack(
    [
      transform.rescale(
        filters.gaussian(
          image, blur_sigma, mode="nearest", truncate=4, channel_axis=-1
        ),
        1 / scale,
        anti_aliasing=anti_aliasing,
        channel_axis=-1,
      )
      for image in images
    ]
  )


def _operators(shape, scale, **options) -> tuple[np.ndarray, np.ndarray]:
  rows = degradation.operator(shape[0], scale, **options)
  columns = degradation.operator(shape[1], scale, **options)
  return rows, columns


@pytest.mark.parametrize(
  ("shape", "scale"),
  [
    ((28, 28, 1), 2),
    ((28, 28, 1), 4),
    ((32, 32, 3), 2),
    ((32, 32, 3), 4),
    ((32, 32, 3), 8),
    ((27, 27, 1), 3),
    ((21, 33, 3), 3),
    ((30, 30, 2), 2),
    ((40, 24, 3), 4),
    ((64, 48, 1), 8),
    # The filters are wider than the whole image.
    ((4, 8, 1), 4),
    ((8, 16, 3), 8),
    ((2, 4, 1), 2),
  ],
)
@pytest.mark.parametrize("blur", ["none", "authors", "wide"])
@pytest.mark.parametrize("anti_aliasing", [True, False])
def test_equals_scikit_image(shape, scale, blur, anti_aliasing):
  blur_sigma = {"none": 0.0, "authors": scale / 2, "wide": 3.3}[blur]
  images = np.random.default_rng(0).random((3, *shape))
  rows, columns = _operators(
    shape, scale, blur_sigma=blur_sigma, anti_aliasing=anti_aliasing
  )
  low_res = _degrade(
    jnp.asarray(images, jnp.float32), jnp.asarray(rows), jnp.asarray(columns)
  )
  expected = _authors(images, scale, blur_sigma, anti_aliasing)
  assert low_res.dtype == jnp.float32
  np.testing.assert_allclose(low_res, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_operator_averages(scale):
  matrix = degradation.operator(
    24, scale, blur_sigma=scale / 2, anti_aliasing=True
  )
  assert matrix.dtype == np.float32
  assert matrix.shape == (24 // scale, 24)
  assert (matrix >= 0).all()
  np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)


def test_scale_one_without_blur_is_the_identity():
  matrix = degradation.operator(5, 1, blur_sigma=0.0, anti_aliasing=True)
  np.testing.assert_array_equal(matrix, np.eye(5, dtype=np.float32))


@pytest.mark.parametrize(("size", "scale"), [(28, 3), (2, 4), (28, 0), (0, 2)])
def test_error_names_scale_and_size_that_do_not_fit(size, scale):
  with pytest.raises(ValueError, match=rf"scale {scale} .* size {size}"):
    degradation.operator(size, scale, blur_sigma=1.0, anti_aliasing=True)


def test_refuses_a_negative_blur():
  with pytest.raises(ValueError, match="blur_sigma"):
    degradation.operator(28, 2, blur_sigma=-1.0, anti_aliasing=True)


def test_images_are_independent():
  """Leading axes, jit and vmap give the same."""
  rows, columns = _operators((28, 32), 4, blur_sigma=2.0, anti_aliasing=True)
  images = np.random.default_rng(0).random((2, 3, 28, 32, 3), np.float32)
  members = _degrade(images, rows, columns)
  mapped = jax.vmap(degradation.degrade, in_axes=(0, None, None))(
    images, rows, columns
  )
  single = degradation.degrade(images[1, 2], rows, columns)
  assert members.shape == (2, 3, 7, 8, 3)
  np.testing.assert_allclose(mapped, members, rtol=0, atol=1e-6)
  np.testing.assert_allclose(single, members[1, 2], rtol=0, atol=1e-6)


def test_gradient_is_the_transposed_operator():
  rows, columns = _operators((8, 12), 2, blur_sigma=1.0, anti_aliasing=True)
  weights = np.random.default_rng(0).random((4, 6)).astype(np.float32)
  gradient = jax.grad(
    lambda image: jnp.vdot(
      weights, degradation.degrade(image[..., None], rows, columns)[..., 0]
    )
  )(jnp.zeros((8, 12)))
  np.testing.assert_allclose(
    gradient, rows.T @ weights @ columns, rtol=1e-5, atol=1e-6
  )


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_kernel_blurs_its_image(scale, channels):
  """Against SciPy's correlation, then the mean of the middle pixels."""
  random = np.random.default_rng(0)
  height, width = 3 * scale, 5 * scale
  images = random.uniform(size=(2, height, width, channels))
  kernels = random.uniform(size=(2, 5, 7))
  kernels += kernels[:, ::-1, ::-1]
  low_res = degradation.degrade_by_kernels(
    jnp.asarray(images, jnp.float32),
    jnp.asarray(kernels, jnp.float32),
    degradation.taps(height, scale, kernel_size=5),
    degradation.taps(width, scale, kernel_size=7),
  )
  assert low_res.shape == (2, 3, 5, channels)
  for image, kernel, actual in zip(images, kernels, low_res, strict=True):
    for channel in range(channels):
      blurred = scipy.ndimage.correlate(
        image[..., channel], kernel, mode="nearest"
      )
      middles = [
        blurred[first::scale, second::scale]
        for first in ((scale - 1) // 2, scale // 2)
        for second in ((scale - 1) // 2, scale // 2)
      ]
      np.testing.assert_allclose(
        actual[..., channel], np.mean(middles, axis=0), rtol=1e-5
      )


@pytest.mark.parametrize(("scale", "expected"), [(2, 1.118034), (4, 2.5)])
def test_effective_sigma_is_the_width_of_the_operator(scale, expected):
  """Measured in a row far from the border, without the bilinear sampling."""
  options = {"blur_sigma": scale / 2, "anti_aliasing": True}
  sigma = degradation.effective_sigma(scale, **options)
  np.testing.assert_allclose(sigma, expected, rtol=1e-6)
  row = degradation.operator(20 * scale, scale, **options)[10].astype(float)
  pixels = np.arange(row.size)
  variance = row @ pixels**2 - (row @ pixels) ** 2
  # Sampled at whole pixels, a Gaussian of 0.5 px is narrower.
  np.testing.assert_allclose(variance - 0.25, sigma**2, rtol=0.03)
  options["anti_aliasing"] = False
  assert degradation.effective_sigma(scale, **options) == scale / 2
