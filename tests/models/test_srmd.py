import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr2_jax.models import layers, sr2, srmd

# As on the devices here; XLA's own would take many times as long.
Layers = functools.partial(layers.Layers, convolution="cpu")


@pytest.fixture(scope="module")
def peers():
  from tests import torch_peers

  return torch_peers


def random(*shape):
  values = np.random.default_rng(1).uniform(-0.5, 0.5, shape)
  return values.astype(np.float32)


def make(scale, channels):
  return sr2.SR2("srmd", "none", scale, channels)


@pytest.mark.parametrize(("scale", "channels"), [(2, 3), (4, 1)])
def test_equals_pytorch(peers, scale, channels):
  peer = peers.networks.SR2(
    peers.networks.SrmdTrunk(), peers.networks.SrmdHead(scale, channels)
  )
  peers.assert_same(
    make(scale, channels),
    peer,
    input_shape=(2, 5, 4, channels),
    train=True,
    description=random(2, srmd.DESCRIPTION_SIZE),
  )


@pytest.mark.parametrize(("scale", "expected"), [(2, 1511692), (4, 1553200)])
@pytest.mark.parametrize("channels", [1, 3])
def test_number_of_parameters(scale, channels, expected):
  variables = jax.eval_shape(
    lambda key: make(scale, channels).init(
      key, jnp.zeros((1, 7, 7, channels)), jnp.zeros((1, 16)), train=False
    ),
    jax.random.key(0),
  )
  assert variables.keys() == {"params"}
  assert variables["params"].keys() == {"shared", "sr"}
  assert sum(x.size for x in jax.tree.leaves(variables)) == expected


def test_gray_is_repeated_and_its_outputs_averaged():
  gray, description = random(2, 4, 3, 1), random(2, srmd.DESCRIPTION_SIZE)
  color = np.repeat(gray, 3, axis=-1)
  variables = make(2, 3).init(
    jax.random.key(0), color, description, train=False
  )
  of_color = make(2, 3).apply(variables, color, description, train=False)
  of_gray = make(2, 1).apply(variables, gray, description, train=False)
  np.testing.assert_allclose(
    of_gray["super_res"],
    np.mean(of_color["super_res"], axis=-1, keepdims=True),
    atol=1e-6,
  )


def test_srmd_needs_a_description_and_other_trunks_refuse_one():
  low_res, description = jnp.zeros((1, 4, 4, 1)), jnp.zeros((1, 16))
  with pytest.raises(TypeError, match="description"):
    make(2, 1).init(jax.random.key(0), low_res, train=False)
  with pytest.raises(TypeError):
    sr2.SR2("fsrcnn", "none", 2, 1).init(
      jax.random.key(0), low_res, description, train=False
    )


@pytest.mark.parametrize("option", [{"shared_layers": 2}, {"expansion": 2}])
def test_refuses_the_options_of_wdsr(option):
  trunk = srmd.Trunk(Layers(train=False), **option)
  with pytest.raises(ValueError, match="SRMD shares one layer"):
    trunk.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)), jnp.zeros((1, 16)))


def test_refuses_the_option_of_fsrcnn():
  head = srmd.Head(Layers(train=False), 2, 1, transposed_convolution=True)
  with pytest.raises(ValueError, match="no transposed convolution"):
    head.init(jax.random.key(0), jnp.zeros((1, 4, 4, srmd.WIDTH)))
