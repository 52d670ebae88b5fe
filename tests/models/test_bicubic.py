import jax.numpy as jnp
import numpy as np
import pytest

from sr2_jax.models import bicubic


def keys_kernel(distance):
  """Equation 4 of Keys 1981 with a = -0.5."""
  t = abs(distance)
  if t < 1:
    return 1.5 * t**3 - 2.5 * t**2 + 1
  if t < 2:
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
  return 0.0


def upsample_line(line, scale):
  """Up-samples one row or column, pixel by pixel."""
  result = []
  for i in range(len(line) * scale):
    center = (i + 0.5) / scale - 0.5
    weights = [keys_kernel(center - j) for j in range(len(line))]
    result.append(np.dot(weights, line) / sum(weights))
  return np.array(result)


@pytest.mark.parametrize(
  ("height", "width", "channels", "scale"),
  [(7, 7, 1, 4), (14, 14, 1, 2), (8, 5, 3, 3), (1, 2, 1, 2)],
)
def test_equals_a_loop_over_pixels(height, width, channels, scale):
  rng = np.random.default_rng(0)
  low_res = rng.uniform(size=(2, height, width, channels))

  columns = np.apply_along_axis(upsample_line, 1, low_res, scale)
  expected = np.apply_along_axis(upsample_line, 2, columns, scale)

  super_res = bicubic.upsample(jnp.asarray(low_res, jnp.float32), scale)
  assert super_res.shape == (2, height * scale, width * scale, channels)
  np.testing.assert_allclose(super_res, expected, atol=2e-6)


def test_scale_one_changes_nothing():
  low_res = jnp.asarray(np.random.default_rng(0).uniform(size=(1, 5, 4, 1)))
  np.testing.assert_allclose(bicubic.upsample(low_res, 1), low_res, atol=1e-7)


def test_constant_image_stays_constant():
  low_res = jnp.full((1, 4, 4, 3), 0.7)
  np.testing.assert_allclose(bicubic.upsample(low_res, 2), 0.7, atol=1e-6)
