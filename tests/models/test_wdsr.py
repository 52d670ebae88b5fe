import functools

import jax
import jax.numpy as jnp
import pytest

from sr2_jax.models import layers, sr2, wdsr

# As on the devices here; XLA's own would take many times as long.
SR2 = functools.partial(sr2.SR2, convolution="cpu")
Layers = functools.partial(layers.Layers, convolution="cpu")


@pytest.fixture(scope="module")
def peers():
  from tests import torch_peers

  return torch_peers


@pytest.mark.parametrize("train", [True, False])
def test_equals_pytorch(peers, train):
  peer = peers.networks.SR2(
    peers.networks.wdsr_trunk(1), peers.networks.WdsrHead(2, 1)
  )
  peers.assert_same(
    SR2("wdsr", "none", 2, 1), peer, input_shape=(4, 5, 7, 1), train=train
  )


@pytest.mark.parametrize("shared_layers", [1, 4, 16])
def test_sixteen_mappings_in_total(shared_layers):
  model = SR2("wdsr", "none", 2, 1, shared_layers=shared_layers)
  params = jax.eval_shape(
    lambda key: model.init(key, jnp.zeros((1, 4, 4, 1)), train=False),
    jax.random.key(0),
  )["params"]
  names = {
    subtree: {name for name in params[subtree] if name.startswith("mapping_")}
    for subtree in ("shared", "sr")
  }
  assert names == {
    "shared": {f"mapping_{i}" for i in range(shared_layers)},
    "sr": {f"mapping_{i}" for i in range(shared_layers, 16)},
  }
  # The number of parameters does not depend on how many are shared.
  assert sum(x.size for x in jax.tree.leaves(params)) == 321_736


def test_expansion_widens_every_mapping():
  model = SR2("wdsr", "none", 2, 1, shared_layers=4, expansion=2)
  params = jax.eval_shape(
    lambda key: model.init(key, jnp.zeros((1, 4, 4, 1)), train=False),
    jax.random.key(0),
  )["params"]
  mappings = [
    layer
    for subtree in params.values()
    for name, layer in subtree.items()
    if name.startswith("mapping_")
  ]
  assert [m["conv_0"]["kernel"].shape for m in mappings] == 16 * [
    (3, 3, 32, 64)
  ]


@pytest.mark.parametrize("shared_layers", [0, 17])
def test_refuses_other_numbers_of_shared_layers(shared_layers):
  trunk = wdsr.Trunk(Layers(train=False), shared_layers=shared_layers)
  with pytest.raises(ValueError, match="1 to 16"):
    trunk.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)))


@pytest.mark.parametrize(
  "option", [{"batch_norm": False}, {"transposed_convolution": True}]
)
def test_refuses_the_options_of_fsrcnn(option):
  model = SR2("wdsr", "none", 2, 1, **option)
  with pytest.raises(ValueError, match="WDSR has BatchNorm"):
    model.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)), train=False)
