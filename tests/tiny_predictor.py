"""A predictor whose network compiles in no time, and weights to choose it."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from experiments import default
from sr2_jax.config import derived
from sr2_jax.prediction import predictor
from sr2_jax.records import rows, weights
from sr2_jax.training import network

SCALE, NUM_CLASSES = 2, 3


@dataclasses.dataclass(frozen=True)
class Model:
  """Pixels repeated, times a gain; logits from the sum of all pixels."""

  channels: int = 1
  wiring: str = "parallel"
  scale: int = SCALE
  trunk: str = "fsrcnn"

  def clone(self, *, wiring):
    return dataclasses.replace(self, wiring=wiring)

  def apply(self, variables, low_res, *, start, train):
    assert not train
    repeated = jnp.repeat(jnp.repeat(low_res, SCALE, 1), SCALE, 2)
    outputs = {"super_res": repeated * variables["params"]["sr"]}
    if self.wiring != "none":
      total = low_res.sum(axis=(1, 2, 3))[:, None]
      classes = variables["params"]["classifier"][None]
      outputs["logits"] = total * classes / 100
    return outputs


def origin(
  seed=0,
  *,
  channels=1,
  wiring="parallel",
  data="mnist5k",
  low_res_path="",
  **changes,
):
  config = default.get_config()
  config.data.name, config.data.low_res_path = data, low_res_path
  config.degradation.scale = SCALE
  config.model.wiring = wiring
  member = {"seed": seed, "l2": 0.0, "loss_weight": 1.0}
  fields = {
    "config": derived.resolve(config).to_dict(),
    "image_shape": (14, 14, channels),
    "class_names": ("zero", "one", "two"),
    "phase": "joint",
    "method": "sr2_fsrcnn",
    "member": rows.Member(**member),
    "step": 5,
  }
  return weights.Origin(**{**fields, **changes})


def write(folder, seeds=(0, 1, 2), **options):
  """Weights of a run folder; only their origins are ever read."""
  for seed in seeds:
    path = folder / "weights/joint_sr2_fsrcnn" / f"seed_{seed}"
    arrays = {"params/sr": np.float32([seed])}
    weights.write(path / "last.safetensors", arrays, origin(seed, **options))
  return folder


def make(seeds=(0, 1, 2), *, channels=1, wiring="parallel", **options):
  """Gains of 0.5, 0.6, ...; seed 2 prefers another class."""
  members = len(seeds)
  gains = np.float32([0.5 + 0.1 * seed for seed in seeds])
  classes = np.float32([[0, 1, 2 - 2 * (seed == 2)] for seed in seeds])
  variables = {
    "params": {
      "sr": gains.reshape(members, 1, 1, 1, 1),
      "classifier": classes,
    },
    "batch_stats": {},
  }
  of_seeds = tuple(
    origin(seed, channels=channels, wiring=wiring, **options) for seed in seeds
  )
  made = network.Network(Model(channels, wiring), (7, 7, channels))
  return predictor.Predictor(network.Trained(made, variables, of_seeds))
