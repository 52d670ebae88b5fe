import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats

from sr2_jax.imaging import blur_kernels

# Variances along both axes and the angle of the first.
ELLIPSES = [(6.25, 6.25, 0.0), (4.0, 0.5, 0.7), (10.0, 0.1, 2.5)]


def keys(num, seed=0):
  return jax.random.split(jax.random.key(seed), num)


def by_density(first, second, angle):
  """Normal density on the grid, by SciPy."""
  axes = np.array(
    [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
  )
  covariance = axes.T @ np.diag([first, second]) @ axes
  offsets = np.arange(-7, 8)
  right, down = np.meshgrid(offsets, offsets)
  density = scipy.stats.multivariate_normal(cov=covariance)
  values = density.pdf(np.stack([right, down], axis=-1))
  return values / values.sum()


@pytest.mark.parametrize("ellipse", ELLIPSES)
def test_gaussian_is_the_normal_density(ellipse):
  first, second, angle = ellipse
  expected = by_density(*ellipse)
  for xp, tolerance in ((np, 1e-12), (jnp, 1e-6)):
    variances, angles = xp.asarray([[first, second]]), xp.asarray([angle])
    [kernel] = blur_kernels.gaussian(variances, angles, xp=xp)
    np.testing.assert_allclose(kernel, expected, atol=tolerance)


@pytest.mark.parametrize("sigma", [1.118, 2.5])
def test_isotropic_is_scipys_gaussian_cut_to_15_px(sigma):
  pixel = np.zeros((15, 15))
  pixel[7, 7] = 1
  expected = scipy.ndimage.gaussian_filter(pixel, sigma, radius=7)
  kernel = blur_kernels.isotropic(sigma)
  assert kernel.dtype == np.float32
  np.testing.assert_allclose(kernel, expected, atol=1e-6)


def test_no_blur_is_one_pixel():
  expected = np.zeros((15, 15))
  expected[7, 7] = 1
  np.testing.assert_array_equal(blur_kernels.isotropic(0.0), expected)


def test_description_is_a_loop_over_the_pixels_by_columns():
  random = np.random.default_rng(0)
  basis = random.normal(size=(15, 225)).astype(np.float32)
  several = np.stack([by_density(*ellipse) for ellipse in ELLIPSES])
  stds = np.float32([0.0, 0.01, 0.3])
  described = blur_kernels.describe(np.float32(several), stds, basis)
  for kernel, std, actual in zip(several, stds, described, strict=True):
    expected = np.zeros(16)
    for column in range(15):
      for row in range(15):
        expected[:15] += basis[:, 15 * column + row] * kernel[row, column]
    expected[15] = std
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_drawn_kernels_fill_the_range():
  drawn = blur_kernels.draw(
    keys(4000), min_variance=0.5, max_variance=3.0, isotropic=False
  )
  assert (drawn.shape, drawn.dtype) == ((4000, 15, 15), np.float32)
  np.testing.assert_allclose(np.sum(drawn, (1, 2)), 1, atol=1e-5)
  # The kernels' second moments about the axes of the ellipse.
  offsets = np.arange(-7, 8)
  right, down = np.meshgrid(offsets, offsets)
  moments = np.einsum(
    "bij,ijm->bm",
    np.asarray(drawn, np.float64),
    np.stack([right**2, right * down, down**2], -1),
  )
  half = (moments[:, 0] + moments[:, 2]) / 2
  offset = np.hypot((moments[:, 0] - moments[:, 2]) / 2, moments[:, 1])
  larger, smaller = half + offset, half - offset
  assert 0.4 < smaller.min() < 0.6
  assert 2.9 < larger.max() < 3.1
  # The larger is uniform, and the smaller uniform up to the larger.
  assert abs(larger.mean() - 1.75) < 0.05
  assert abs(smaller.mean() - (0.5 + 1.75) / 2) < 0.05
  angles = np.arctan2(2 * moments[:, 1], moments[:, 0] - moments[:, 2]) / 2
  histogram, _ = np.histogram(angles, 8, (-np.pi / 2, np.pi / 2))
  assert histogram.min() > 400


def test_isotropic_draws_are_round():
  drawn = blur_kernels.draw(
    keys(20), min_variance=0.1, max_variance=10.0, isotropic=True
  )
  np.testing.assert_allclose(drawn, np.swapaxes(drawn, 1, 2), atol=1e-7)
  np.testing.assert_allclose(drawn, drawn[:, ::-1], atol=1e-7)


def test_drawn_noise():
  stds = np.asarray(
    blur_kernels.draw_noise_std(keys(4000), max_std=0.3, clean_fraction=0.1)
  )
  assert abs(np.mean(stds == 0) - 0.1) < 0.02
  assert (stds.min(), stds.max()) == (0, pytest.approx(0.3, abs=1e-3))
  assert abs(stds[stds > 0].mean() - 0.15) < 0.005
  always = blur_kernels.draw_noise_std(keys(9), max_std=0.3, clean_fraction=0.0)
  assert np.all(np.asarray(always) > 0)


def test_a_draw_does_not_depend_on_the_batch():
  options = {"min_variance": 0.1, "max_variance": 10.0, "isotropic": False}
  whole, part = (
    blur_kernels.draw(x, **options) for x in (keys(6), keys(6)[4:])
  )
  np.testing.assert_array_equal(whole[4:], part)


def test_basis_holds_the_kernels_of_its_range():
  basis = blur_kernels.basis_of(0.1, 10.0)
  assert (basis.shape, basis.dtype) == ((15, 225), np.float32)
  np.testing.assert_allclose(basis @ basis.T, np.eye(15), atol=1e-6)
  drawn = np.asarray(
    blur_kernels.draw(
      keys(200), min_variance=0.1, max_variance=10.0, isotropic=False
    )
  )
  rows = drawn.transpose(0, 2, 1).reshape(200, 225)
  left = rows - rows @ basis.T @ basis
  # SRMD keeps 99.8 % of the energy.
  assert np.sum(left**2) < 0.002 * np.sum(rows**2)


def test_basis_is_the_same_in_every_process():
  """Components of nearly equal weight could mix, and signs could change."""
  basis = blur_kernels.basis_of(0.1, 10.0)
  nudged = blur_kernels.basis_of(0.1 + 1e-13, 10.0)
  np.testing.assert_allclose(basis, nudged, atol=1e-5)
  # Networks were trained with these signs. If NumPy drew another probe, the
  # same descriptions would mean other kernels.
  weights = np.sin(np.arange(1, 226) ** 2)
  signs = [-1, 1, -1, -1, 1, -1, 1, -1, -1, 1, -1, 1, 1, -1, -1]
  np.testing.assert_array_equal(np.sign(basis @ weights), signs)
