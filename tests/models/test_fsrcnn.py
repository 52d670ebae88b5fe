import functools

import jax
import jax.numpy as jnp
import pytest

from sr2_jax.models import fsrcnn, layers, sr2

# As on the devices here; XLA's own would take many times as long.
Layers = functools.partial(layers.Layers, convolution="cpu")


@pytest.fixture(scope="module")
def peers():
  from tests import torch_peers

  return torch_peers


# scale, channels, batch_norm, transposed_convolution
VARIANTS = [
  (2, 1, True, False),
  (4, 3, True, False),
  (4, 1, False, True),
  (2, 1, False, False),
  (2, 3, True, True),
]


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
  ("scale", "channels", "batch_norm", "transposed"), VARIANTS
)
def test_equals_pytorch(peers, scale, channels, batch_norm, transposed, train):
  model = sr2.SR2(
    "fsrcnn",
    "none",
    scale,
    channels,
    batch_norm=batch_norm,
    transposed_convolution=transposed,
  )
  peer = peers.networks.SR2(
    peers.networks.fsrcnn_trunk(channels, batch_norm),
    peers.networks.fsrcnn_head(scale, channels, batch_norm, transposed),
  )
  peers.assert_same(model, peer, input_shape=(4, 5, 7, channels), train=train)


def test_the_original_has_its_12809_parameters():
  # The original's number, with biases and PReLU, at every scale.
  for scale in (2, 3, 4):
    model = sr2.SR2(
      "fsrcnn",
      "none",
      scale,
      1,
      batch_norm=False,
      transposed_convolution=True,
    )
    low_res = jnp.zeros((1, 8, 8, 1))
    variables = jax.eval_shape(
      lambda key, model=model, low_res=low_res: model.init(
        key, low_res, train=False
      ),
      jax.random.key(0),
    )
    assert variables.keys() == {"params"}
    assert sum(x.size for x in jax.tree.leaves(variables)) == 12809


@pytest.mark.parametrize("option", [{"shared_layers": 2}, {"expansion": 2}])
def test_refuses_the_options_of_wdsr(option):
  trunk = fsrcnn.Trunk(Layers(train=False), **option)
  with pytest.raises(ValueError, match="FSRCNN shares one layer"):
    trunk.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)))
