"""Networks with variables as training might leave them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from experiments import default
from sr2_jax.config import derived
from sr2_jax.prediction import choice
from sr2_jax.records import rows, weights
from sr2_jax.training import network


def arrays_of(model, size=(8, 8)):
  """Float64 arrays by name, such as "params/sr/map_0/kernel"."""
  rng = np.random.default_rng(0)
  image = jnp.zeros((1, *size, model.channels))
  shapes = jax.eval_shape(
    functools.partial(model.init, train=False), jax.random.key(0), image
  )

  def draw(name, leaf):
    match name.rpartition("/")[2]:
      case "kernel":
        deviation = np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return rng.normal(0, deviation, leaf.shape)
      case "var":
        return rng.uniform(0.5, 2, leaf.shape)
      case "scale":
        return rng.normal(1, 0.1, leaf.shape)
      case "negative_slope":
        return rng.normal(0.25, 0.1, leaf.shape)
    return rng.normal(0, 0.1, leaf.shape)

  flat = traverse_util.flatten_dict(shapes, sep="/")
  return {name: draw(name, leaf) for name, leaf in flat.items()}


def write(folder, *, data="mnist5k", shape=(28, 28, 1), seeds=(0,), **changes):
  """Weights of a run folder, with other values for fields of `model`.

  A scale is among the changes. Without a classifier they are of `pretrain`.
  """
  config = default.get_config()
  config.data.name = data
  config.degradation.scale = changes.pop("scale", 4)
  config.model.update(changes)
  config = derived.resolve(config)
  phase = "pretrain" if config.model.wiring == "none" else "joint"
  method = {
    "none": "{}", "parallel": "sr2_{}", "sequential": "sequential_{}"
  }[config.model.wiring].format(config.model.trunk)  # fmt: skip
  model = network.build(config, shape, 10, phase=phase).model
  arrays = {k: np.float32(x) for k, x in arrays_of(model).items()}
  for seed in seeds:
    member = {"seed": seed, "l2": 0.01, "loss_weight": None}
    origin = weights.Origin(
      config=config.to_dict(),
      image_shape=shape,
      class_names=tuple("0123456789"),
      phase=phase,
      method=method,
      member=rows.Member(**member),
      step=5,
    )
    path = weights.network_folder(folder, phase, method) / f"seed_{seed}"
    weights.write(path / "last.safetensors", arrays, origin)
  return folder


def load(folder):
  """What `--weights` chooses, and the network."""
  chosen = choice.find(str(folder), seeds="first")
  return chosen, network.from_files(chosen.paths)
