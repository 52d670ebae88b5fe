"""BatchNorm and PReLU, as `layers.Layers` makes them, against NumPy and JAX."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr2_jax.models import batch_norm, layers
from tests.models.test_layers import TRAIN, Layers, random_map


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (6, 7)])
def test_prelu_has_a_slope_per_channel(shape):
  x = random_map(*shape)
  variables = layers.Slope().init(jax.random.key(0), shape[-1])
  assert variables == {
    "params": {"negative_slope": pytest.approx(np.full(shape[-1], 0.25))}
  }

  slope = np.linspace(-1, 1, shape[-1], dtype=np.float32)
  y = batch_norm.prelu(x, jnp.asarray(slope))
  expected = [
    value if value > 0 else value * slope[i % shape[-1]]
    for i, value in enumerate(np.asarray(x).ravel())
  ]
  np.testing.assert_allclose(y, np.reshape(expected, shape), rtol=1e-6)


def test_norm_uses_the_statistics_of_the_batch_and_keeps_one_percent():
  x = 3.0 * random_map(4, 3, 2, 5) + 1.0
  norm = TRAIN.norm(name="norm")
  variables = norm.init(jax.random.key(0), x)
  y, updates = norm.apply(variables, x, mutable=["batch_stats"])

  x = np.asarray(x, np.float64)
  mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
  np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-3), atol=1e-5)
  stats = updates["batch_stats"]
  np.testing.assert_allclose(stats["mean"], 0.01 * mean, rtol=1e-5)
  np.testing.assert_allclose(stats["var"], 0.99 + 0.01 * var, rtol=1e-5)


def test_norm_in_inference_mode_uses_the_running_statistics():
  x = random_map(2, 3, 2, 2)
  norm = Layers(train=False).norm(name="norm")
  stats = {"mean": jnp.array([1.0, -2.0]), "var": jnp.array([4.0, 0.5])}
  params = {"scale": jnp.array([3.0, 1.0]), "bias": jnp.array([0.0, 5.0])}
  y = norm.apply({"params": params, "batch_stats": stats}, x)
  expected = (np.asarray(x) - np.array([1.0, -2.0])) / np.sqrt([4.001, 0.501])
  expected = expected * np.array([3.0, 1.0]) + np.array([0.0, 5.0])
  np.testing.assert_allclose(y, expected, atol=1e-5)


def test_variance_survives_a_large_mean():
  x = 100.0 + 0.1 * random_map(8, 4, 4, 1)
  norm = TRAIN.norm(name="norm")
  y, _ = norm.apply(norm.init(jax.random.key(0), x), x, mutable=["batch_stats"])
  var = np.asarray(x, np.float64).var()
  np.testing.assert_allclose(y.var(), var / (var + 1e-3), rtol=1e-3)


def test_norm_averages_over_the_mapped_axis():
  x = random_map(4, 2, 3, 3, 5)  # four devices
  norm = Layers(train=True, axis_name="device").norm(name="norm")
  variables = norm.init(jax.random.key(0), x[0])
  y, updates = jax.vmap(
    lambda x: norm.apply(variables, x, mutable=["batch_stats"]),
    axis_name="device",
  )(x)

  solo = TRAIN.norm(name="norm")
  whole = x.reshape(8, 3, 3, 5)
  expected, expected_updates = solo.apply(
    variables, whole, mutable=["batch_stats"]
  )
  np.testing.assert_allclose(y.reshape(8, 3, 3, 5), expected, atol=1e-5)
  for name, value in expected_updates["batch_stats"].items():
    for device in range(4):
      shard = updates["batch_stats"][name][device]
      np.testing.assert_allclose(shard, value, atol=1e-6)


def plain_norm_prelu(x, scale, bias, slope):
  """The result of `_norm_prelu`, for JAX to differentiate."""
  mean = x.mean(axis=(0, 1, 2), keepdims=True)
  var = jnp.square(x - mean).mean(axis=(0, 1, 2), keepdims=True)
  y = (x - mean) / jnp.sqrt(var + 1e-3) * scale.reshape(1, 1, 1, -1)
  y = y + bias.reshape(1, 1, 1, -1)
  return jnp.where(y > 0, y, slope.reshape(1, 1, 1, -1) * y)


def norm_prelu_arguments():
  x = random_map(4, 3, 2, 5)
  scale, bias, slope = random_map(3, 5)
  return 2.0 * x + 1.0, scale, bias, slope


def test_gradient_of_norm_and_prelu():
  arguments = norm_prelu_arguments()
  g = random_map(5, 4, 3, 2, 5)[-1]
  y, pull = jax.vjp(
    lambda *args: batch_norm._norm_prelu(*args, None)[0], *arguments
  )
  expected, expected_pull = jax.vjp(plain_norm_prelu, *arguments)
  np.testing.assert_allclose(y, expected, atol=1e-5)
  for actual, wanted in zip(pull(g), expected_pull(g), strict=True):
    np.testing.assert_allclose(actual, wanted, atol=2e-5)


@pytest.mark.parametrize("joins_sums", [False, True])
@pytest.mark.parametrize("devices", [1, 4])
@pytest.mark.parametrize("guess", [0.0, 1.0])
def test_norm_and_prelu_of_accelerators(guess, devices, joins_sums):
  """One pass around a guess, of several devices and two members."""
  x, *parameters = norm_prelu_arguments()
  x = jnp.stack([x, 0.5 * x[::-1] - 1.0])
  g = random_map(6, *x.shape)[-1]
  guess = jnp.full(5, guess)

  def on_device(x, g):
    y, pull, statistics = jax.vjp(
      lambda *args: batch_norm._norm_prelu_around(
        *args, guess, "device", joins_sums
      ),
      x,
      *parameters,
      has_aux=True,
    )
    x_gradient, *others = pull(g)
    return y, statistics, x_gradient, jax.lax.psum(others, "device")

  def split(x):
    return jnp.moveaxis(x.reshape(2, devices, -1, *x.shape[2:]), 1, 0)

  of_members = jax.vmap(on_device)
  y, statistics, x_gradient, others = jax.vmap(of_members, axis_name="device")(
    split(x), split(g)
  )
  for place in range(2):
    expected, pull = jax.vjp(plain_norm_prelu, x[place], *parameters)
    for parts, whole in ((y, expected), (x_gradient, pull(g[place])[0])):
      joined = parts[:, place].reshape(whole.shape)
      np.testing.assert_allclose(joined, whole, atol=3e-5)
    for actual, wanted in zip(others, pull(g[place])[1:], strict=True):
      np.testing.assert_allclose(actual[0, place], wanted, atol=3e-5)
    exact = np.asarray(x[place], np.float64)
    for actual, wanted in zip(
      statistics, (exact.mean((0, 1, 2)), exact.var((0, 1, 2))), strict=True
    ):
      np.testing.assert_allclose(actual[0, place], wanted, atol=1e-5)


@pytest.mark.parametrize("convolution", ["tpu", "gpu"])
@pytest.mark.parametrize("momentum", [0.75, 0.0])
def test_statistics_on_accelerators(convolution, momentum):
  x = 2.0 * random_map(4, 3, 2, 5) + 3.0
  norms = [
    layers.Layers(train=True, momentum=momentum, convolution=name).norm(
      name="norm"
    )
    for name in ("portable", convolution)
  ]
  variables = norms[0].init(jax.random.key(0), x)
  expected, actual = (
    norm.apply(variables, x, mutable=["batch_stats"]) for norm in norms
  )
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, atol=1e-5), actual, expected
  )


def test_gradient_of_norm_and_prelu_over_devices_and_members():
  """Gradients of a batch split over devices equal those of the whole batch."""
  x, *parameters = norm_prelu_arguments()
  g = random_map(5, 4, 3, 2, 5)[-1]

  def gradients(x, g, axis_name):
    _, pull = jax.vjp(
      lambda *args: batch_norm._norm_prelu(*args, axis_name)[0], x, *parameters
    )
    return pull(g)

  whole, *sums = gradients(x, g, None)
  split, *parts = jax.vmap(
    lambda x, g: gradients(x, g, "device"), axis_name="device"
  )(x.reshape(4, 1, 3, 2, 5), g.reshape(4, 1, 3, 2, 5))
  np.testing.assert_allclose(split.reshape(x.shape), whole, atol=2e-5)
  for part, total in zip(parts, sums, strict=True):
    np.testing.assert_allclose(part.sum(0), total, atol=2e-5)


def test_momentum_is_the_share_that_running_statistics_keep():
  x = 2.0 * random_map(4, 3, 2, 5) + 3.0
  norm = Layers(train=True, momentum=0.75).norm(name="norm")
  variables = norm.init(jax.random.key(0), x)
  _, updates = norm.apply(variables, x, mutable=["batch_stats"])
  mean = np.asarray(x, np.float64).mean(axis=(0, 1, 2))
  np.testing.assert_allclose(
    updates["batch_stats"]["mean"], 0.25 * mean, rtol=1e-5
  )
