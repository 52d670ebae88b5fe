import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr2_jax.models import layers

# As on the devices here; XLA's own would take many times as long.
Layers = functools.partial(layers.Layers, convolution="cpu")

TRAIN = Layers(train=True)


def random_map(*shape):
  rng = np.random.default_rng(0)
  return jnp.asarray(rng.normal(size=shape), jnp.float32)


def test_he_initialization():
  layer = TRAIN.conv(64, 5, name="conv")
  params = layer.init(jax.random.key(3), random_map(1, 2, 2, 48))["params"]
  fan_in = 5 * 5 * 48
  kernel = np.asarray(params["kernel"])
  assert kernel.shape == (5, 5, 48, 64)
  np.testing.assert_allclose(kernel.mean(), 0.0, atol=1e-3)
  np.testing.assert_allclose(kernel.std(), np.sqrt(2 / fan_in), rtol=0.01)
  # Cut off at two deviations of the normal before it was cut.
  limit = 2 * np.sqrt(2 / fan_in) / 0.8796256610342398
  assert 0.99 * limit < np.abs(kernel).max() <= limit
  np.testing.assert_array_equal(params["bias"], 0.0)


def test_he_initialization_equals_flax():
  key, shape = jax.random.key(1), (3, 3, 5, 7)
  np.testing.assert_allclose(
    layers._he_normal(key, shape),
    nn.initializers.he_normal()(key, shape),
    rtol=1e-6,
  )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 3])
def test_conv_has_the_same_padding(size, stride):
  x = random_map(1, 6, 5, 2)
  layer = TRAIN.conv(3, size, stride=stride, name="conv")
  variables = layer.init(jax.random.key(0), x)
  y = layer.apply(variables, x)

  kernel = np.asarray(variables["params"]["kernel"])
  height, width = -(-6 // stride), -(-5 // stride)
  expected = np.zeros((height, width, 3))
  # TensorFlow's "same": as little padding as possible, an odd row at the end.
  top = max((height - 1) * stride + size - 6, 0) // 2
  left = max((width - 1) * stride + size - 5, 0) // 2
  for i, j, a, b in np.ndindex(height, width, size, size):
    row, column = i * stride + a - top, j * stride + b - left
    if 0 <= row < 6 and 0 <= column < 5:
      expected[i, j] += np.asarray(x)[0, row, column] @ kernel[a, b]
  np.testing.assert_allclose(y[0], expected, atol=1e-5)


class Normalized(nn.Module):
  """A convolution and a dense layer, with what follows them in training."""

  layers: layers.Layers
  normalized: bool

  @nn.compact
  def __call__(self, x):
    """[B, H, W, C] to [B, 4]."""
    y = self.layers.conv(5, 3, normalized=self.normalized, name="conv")(x)
    y = self.layers.norm_prelu(y, name="conv").mean(axis=(1, 2))
    y = self.layers.dense(4, normalized=self.normalized, name="dense")(y)
    return self.layers.norm_prelu(y, name="dense")


def gradients(made, normalized):
  """Of a scalar function of a `Normalized`, its biases not zero."""
  network, x = Normalized(made, normalized), random_map(6, 5, 4, 2)
  variables = network.init(jax.random.key(0), x)
  for name in ("conv", "dense"):
    bias = variables["params"][name]["bias"]
    variables["params"][name]["bias"] = bias + 0.3

  def loss(params):
    y, _ = network.apply(
      {**variables, "params": params}, x, mutable=["batch_stats"]
    )
    return jnp.sum(jnp.sin(3 * y))

  return jax.value_and_grad(loss)(variables["params"])


def test_a_bias_before_a_batch_norm_has_the_gradient_zero():
  loss, found = gradients(TRAIN, True)
  expected_loss, expected = gradients(TRAIN, False)
  assert loss == expected_loss
  for name in ("conv", "dense"):
    np.testing.assert_array_equal(found[name]["bias"], 0)
  # Without this rule it is zero but for rounding, and nothing else changes.
  scale = max(np.abs(x).max() for x in jax.tree.leaves(expected))
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6 * scale),
    found,
    expected,
  )


@pytest.mark.parametrize(
  "made", [Layers(train=False), Layers(train=True, batch_norm=False)]
)
def test_other_biases_have_a_gradient(made):
  found = gradients(made, True)
  jax.tree.map(np.testing.assert_array_equal, found, gradients(made, False))
  for name in ("conv", "dense"):
    assert np.abs(found[1][name]["bias"]).min() > 1e-3


class Upsample(nn.Module):
  """`Layers.upsample`, or the two convolutions that it is equal to."""

  channels: int
  scale: int = 2
  in_two: bool = False
  made_by: layers.Layers = TRAIN

  @nn.compact
  def __call__(self, x):
    if not self.in_two:
      return self.made_by.upsample(
        x, self.channels, 5, scale=self.scale, name="up", output_name="mix"
      )
    x = self.made_by.conv(3 * self.scale**2, 5, name="up")(x)
    x = layers.depth_to_space(x, self.scale)
    if self.channels != 3:
      x = self.made_by.conv(self.channels, 1, name="mix")(x)
    return x


@pytest.mark.parametrize("convolution", ["cpu", "tpu"])
@pytest.mark.parametrize(("channels", "scale"), [(1, 2), (2, 3), (3, 2)])
def test_upsample_equals_its_two_convolutions(channels, scale, convolution):
  x = random_map(2, 4, 3, 6)
  made_by = Layers(train=True, convolution=convolution)
  models = [
    Upsample(channels, scale, in_two, made_by) for in_two in (False, True)
  ]
  starts = [model.init(jax.random.key(1), x) for model in models]
  jax.tree.map(np.testing.assert_array_equal, *starts)

  # Not 0 as initially, where a wrong bias would not show.
  params = jax.tree.map(lambda p: p + 0.1 * random_map(*p.shape), starts[0])

  def value_and_gradients(model):
    def loss(params, x):
      y = model.apply(params, x)
      return jnp.sum(jnp.sin(y)), y

    (_, y), gradients = jax.value_and_grad(loss, (0, 1), has_aux=True)(
      params, x
    )
    return y, gradients

  found, expected = map(value_and_gradients, models)
  assert found[0].shape == (2, 4 * scale, 3 * scale, channels)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
    found,
    expected,
  )


def test_upsample_computes_in_bfloat16():
  x = random_map(1, 3, 3, 4)
  model = Upsample(1, made_by=Layers(train=True, dtype="bfloat16"))
  params = model.init(jax.random.key(0), x)
  assert {p.dtype for p in jax.tree.leaves(params)} == {jnp.dtype("float32")}
  text = jax.jit(model.apply).lower(params, x).as_text()
  [convolution] = re.findall(r"stablehlo.convolution.* : (.*)", text)
  assert convolution.count("bf16") == 3
  assert model.apply(params, x).dtype == jnp.bfloat16


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_transposed_conv_spreads_each_pixel(stride):
  x = random_map(1, 3, 4, 2)
  layer = TRAIN.transposed_conv(1, 9, stride=stride, name="upsample")
  variables = layer.init(jax.random.key(0), x)
  y = layer.apply(variables, x)

  kernel = np.asarray(variables["params"]["kernel"])[::-1, ::-1]
  height, width = 3 * stride, 4 * stride
  expected = np.zeros((height, width, 1))
  for i, j, a, b in np.ndindex(3, 4, 9, 9):
    row, column = i * stride + a - 4, j * stride + b - 4
    if 0 <= row < height and 0 <= column < width:
      expected[row, column] += np.asarray(x)[0, i, j] @ kernel[a, b]
  assert y.shape == (1, height, width, 1)
  np.testing.assert_allclose(y[0], expected, atol=1e-5)


def test_identity_mapping_adds_its_input():
  x = random_map(2, 5, 3, 4)
  mapping = layers.IdentityMapping(TRAIN, expansion=3)
  variables = mapping.init(jax.random.key(0), x)
  params = variables["params"]
  assert params["conv_0"]["kernel"].shape == (3, 3, 4, 12)
  assert params["conv_1"]["kernel"].shape == (3, 3, 12, 4)

  params["conv_1"] = jax.tree.map(jnp.zeros_like, params["conv_1"])
  y, _ = mapping.apply(variables, x, mutable=["batch_stats"])
  np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_depth_to_space_has_the_order_that_the_networks_assume(scale):
  x = random_map(2, 4, 3, scale**2 * 3)
  y = layers.depth_to_space(x, scale)
  assert y.shape == (2, 4 * scale, 3 * scale, 3)
  for row, column, c in np.ndindex(y.shape[1:]):
    block = (row % scale) * scale + column % scale
    np.testing.assert_array_equal(
      y[:, row, column, c], x[:, row // scale, column // scale, block * 3 + c]
    )


@pytest.mark.parametrize(
  ("height", "width", "size"), [(4, 5, 3), (2, 7, 5), (4, 3, 2)]
)
def test_max_pool_and_where_its_gradient_goes(height, width, size):
  # Few values, so that most windows have their largest several times. All are
  # negative, because padding must not act as a zero.
  values = np.random.default_rng(1).integers(-3, 0, (2, height, width, 3))
  x = jnp.asarray(values, jnp.float32)
  g = random_map(2, height, width, 3)
  y, pull = jax.vjp(lambda x: layers.max_pool(x, size), x)

  expected, gradient = np.zeros_like(x), np.zeros_like(x)
  before, after = (size - 1) // 2, size // 2
  for b, i, j, c in np.ndindex(x.shape):
    top, left = max(i - before, 0), max(j - before, 0)
    window = values[b, top : i + after + 1, left : j + after + 1, c]
    row, column = np.unravel_index(window.argmax(), window.shape)
    expected[b, i, j, c] = window.max()
    gradient[b, top + row, left + column, c] += g[b, i, j, c]
  np.testing.assert_array_equal(y, expected)
  np.testing.assert_allclose(pull(g)[0], gradient, atol=1e-5)


def test_max_pool_keeps_nan():
  x = random_map(1, 5, 5, 1).at[0, 2, 2, 0].set(jnp.nan)
  pooled = layers.max_pool(x, 3)
  assert np.isnan(pooled[0, 1:4, 1:4, 0]).all()
  assert np.isfinite(pooled[0, 0]).all()
