import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from sr2_jax.models import classifier, layers

# As on the devices here; XLA's own would take many times as long.
Layers = functools.partial(layers.Layers, convolution="cpu")


@pytest.fixture(scope="module")
def peers():
  from tests import torch_peers

  return torch_peers


class Alone(nn.Module):
  """The classifier with the interface of SR2."""

  @nn.compact
  def __call__(self, x, *, train):
    net = classifier.ResNet(Layers(train=train), 7, name="classifier")
    return {"logits": net(x)}


def torch_peer(peers, channels):
  class AlonePeer(peers.nn.Module):
    def __init__(self):
      super().__init__()
      self.classifier = peers.networks.classifier(channels, num_classes=7)

    def forward(self, x):
      return {"logits": self.classifier(x)}

  return AlonePeer()


@pytest.mark.parametrize("train", [True, False])
def test_equals_pytorch(peers, train):
  peers.assert_same(
    Alone(), torch_peer(peers, 5), input_shape=(6, 6, 5, 5), train=train
  )


@pytest.mark.parametrize(
  ("channels", "expected"),
  [(56, 3_406_818), (32, 3_392_922), (1, 3_374_973), (3, 3_376_131)],
)
def test_number_of_parameters(channels, expected):
  net = classifier.ResNet(Layers(train=False), num_classes=10)
  params = jax.eval_shape(
    lambda key: net.init(key, jnp.zeros((1, 8, 8, channels))),
    jax.random.key(0),
  )["params"]
  assert sum(x.size for x in jax.tree.leaves(params)) == expected


@pytest.mark.parametrize(
  ("size", "expected"), [(14, 7), (7, 4), (16, 8), (1, 1)]
)
def test_down_mapping_halves_and_rounds_up(size, expected):
  mapping = classifier.DownMapping(Layers(train=False), features=128)
  y, _ = jax.eval_shape(
    lambda key: mapping.init_with_output(key, jnp.zeros((2, size, size, 64))),
    jax.random.key(0),
  )
  assert y.shape == (2, expected, expected, 128)
