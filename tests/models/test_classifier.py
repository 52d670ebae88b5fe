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

  strides: tuple[int, ...] = classifier.STRIDES

  @nn.compact
  def __call__(self, x, *, train):
    net = classifier.ResNet(
      Layers(train=train), 7, self.strides, name="classifier"
    )
    return {"logits": net(x)}


def torch_peer(peers, channels, strides):
  class AlonePeer(peers.nn.Module):
    def __init__(self):
      super().__init__()
      self.classifier = peers.networks.classifier(channels, 7, strides)

    def forward(self, x):
      return {"logits": self.classifier(x)}

  return AlonePeer()


# The usual strides are those of the networks in test_sr2.
@pytest.mark.parametrize(
  ("train", "strides", "size"),
  [(True, (2, 2, 2), (10, 9)), (False, (2, 1, 2), (6, 7))],
)
def test_equals_pytorch(peers, train, strides, size):
  peers.assert_same(
    Alone(strides),
    torch_peer(peers, 5, strides),
    input_shape=(6, *size, 5),
    train=train,
  )


def test_strides_divide_the_multiplications_and_keep_the_parameters():
  """32 px at (2, 2, 2) are as much work as 16 px, but for the stem."""

  def cost(size, strides):
    net = classifier.ResNet(Layers(train=False), 10, strides)
    x = jnp.zeros((1, size, size, 56))
    shapes = jax.eval_shape(net.init, jax.random.key(0), x)
    lowered = jax.jit(net.apply).lower(shapes, x)
    return jax.tree.structure(shapes), lowered.cost_analysis()["flops"]

  tree, usual = cost(16, classifier.STRIDES)
  same_tree, strided = cost(32, (2, 2, 2))
  _, dear = cost(32, classifier.STRIDES)
  assert same_tree == tree
  assert dear > 3.9 * usual
  assert strided < 1.1 * usual


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
