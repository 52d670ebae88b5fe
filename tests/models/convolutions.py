"""What tests of convolutions compare with, and how."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from sr2_jax.models import conv_forms


def random(*shape, seed=0):
  values = np.random.default_rng(seed).standard_normal(shape)
  return jnp.asarray(values, jnp.float32)


def reference(x, kernel, strides, padding):
  return lax.conv_general_dilated(
    x,
    kernel,
    strides,
    padding,
    dimension_numbers=conv_forms.NHWC,
    precision=lax.Precision.HIGHEST,
  )


def once(function, *arrays):
  """Runs one program, which compiles faster than its separate operations."""
  return jax.jit(function)(*arrays)


def assert_close(actual, expected):
  """Asserts equality to 1e-5 of the result's scale."""
  assert actual.shape == expected.shape
  scale = max(1.0, float(np.abs(expected).max(initial=0)))
  np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale)
