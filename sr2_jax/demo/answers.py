"""What JAX says about the examples of a page, for the page to compare."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict

from sr2_jax.demo import layer_list
from sr2_jax.models import bicubic
from sr2_jax.training import inputs
from sr2_jax.training import network as network_lib


@dataclasses.dataclass(frozen=True)
class Answers:
  """Results of the network that a page holds, with its rounded kernels.

  Attributes:
    shrink: the run's degradation of rows [h, H] and of columns [w, W].
    enlarge: bicubic up-sampling of rows [H, h] and of columns [W, w].
    super_res: float32 [N, H, W, C].
    logits: float32 [N, classes], or None.
    costs: by output, the largest change that rounding the kernels makes.
  """

  shrink: tuple[np.ndarray, np.ndarray]
  enlarge: tuple[np.ndarray, np.ndarray]
  super_res: np.ndarray
  logits: np.ndarray | None
  costs: dict[str, float]


def of(
  trained: network_lib.Trained, stored: layer_list.Arrays, images: np.ndarray
) -> Answers:
  """Answers about high-resolution images.

  Args:
    trained: a network of one member.
    stored: its variables as the page has them.
    images: uint8 [N, H, W, C].
  """
  config = ConfigDict(dict(trained.origins[0].config))
  height, width = images.shape[1:3]
  scale = config.degradation.scale
  rows, columns = inputs.operators_of(config, height, width)
  high_res = jnp.asarray(images, jnp.float32) / 255
  low_res = inputs.degradation_of(config, height, width)(high_res)
  # One program for both: they are two members.
  both = jax.tree.map(
    lambda exact, rounded: np.concatenate([exact, rounded[None]]),
    trained.variables,
    {"batch_stats": {}, **traverse_util.unflatten_dict(dict(stored), sep="/")},
  )
  outputs = dataclasses.replace(trained, variables=both).apply(
    np.asarray(low_res)
  )
  return Answers(
    shrink=(rows, columns),
    enlarge=(_bicubic(height, scale), _bicubic(width, scale)),
    super_res=outputs["super_res"][1],
    logits=outputs["logits"][1] if "logits" in outputs else None,
    costs={
      name: float(np.abs(exact - rounded).max())
      for name, (exact, rounded) in outputs.items()
    },
  )


def _bicubic(size: int, scale: int) -> np.ndarray:
  """Bicubic up-sampling to `size` along one axis, as a matrix."""
  each = jnp.eye(size // scale)[:, :, None, None]
  return np.asarray(bicubic.upsample(each, scale)[:, :, 0, 0]).T
