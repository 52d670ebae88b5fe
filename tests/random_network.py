"""Networks with random weights, as if they had been trained; nothing compiles.

Statistics and slopes are random as well, so that no layer is the identity.
"""

import jax
import numpy as np

from experiments import default
from sr2_jax.config import derived
from sr2_jax.records import rows, weights
from sr2_jax.training import network as network_lib


def make(
  trunk="fsrcnn",
  wiring="none",
  scale=2,
  channels=1,
  *,
  seeds=(0,),
  low_res_path="",
):
  """A network whose low-resolution images have 7x7 pixels."""
  config = default.get_config()
  config.data.low_res_path = low_res_path
  config.data.name = "mnist5k"
  config.degradation.scale = scale
  config.model.trunk = trunk
  config.model.wiring = wiring
  config = derived.resolve(config)
  shape = (7 * scale, 7 * scale, channels)
  network = network_lib.build(config, shape, 10)
  shapes = jax.eval_shape(network.init, np.uint32(0))
  family = {"none": "sr_continued", "parallel": "sr2"}.get(wiring, wiring)
  origins = tuple(
    weights.Origin(
      config=config.to_dict(),
      image_shape=shape,
      class_names=tuple("0123456789"),
      phase="joint",
      method=f"{family}_{trunk}",
      member=rows.Member(seed=seed, l2=0.0, loss_weight=1.0),
      step=5,
    )
    for seed in seeds
  )

  random = np.random.default_rng(0)

  def draw(leaf):
    shape = (len(seeds), *leaf.shape)
    if len(leaf.shape) == 1:
      return random.uniform(0.1, 0.6, shape).astype(np.float32)
    deviation = np.prod(leaf.shape[:-1]) ** -0.5
    return random.normal(0, deviation, shape).astype(np.float32)

  variables = jax.tree.map(draw, shapes)
  return network_lib.Trained(network, variables, origins)


def write(folder, trained):
  """Its files, as a run leaves them in its folder."""
  for member, origin in enumerate(trained.origins):
    variables = jax.tree.map(lambda leaf, k=member: leaf[k], trained.variables)
    path = folder / f"weights/joint_{origin.method}/seed_{origin.member.seed}"
    weights.write(
      path / "last.safetensors", network_lib.flatten(variables), origin
    )
  return folder
