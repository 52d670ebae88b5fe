"""Bytes of one member of a population, by its shapes: none is allocated."""

import functools
import math
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from flax import traverse_util

from sr2_jax import rng
from sr2_jax.models import srmd
from sr2_jax.training import phase as phase_lib

# Images that a network is traced with: a number that no other axis has.
_TRACED = 9973


class MemberBytes(NamedTuple):
  """Bytes of one member, and of what its layers give for one image.

  Attributes:
    params: parameters.
    stats: BatchNorm's statistics.
    state: both, and the optimizer's state.
    maps: of all layers, which a step keeps for the gradient.
    largest: of one layer.
  """

  params: int
  stats: int
  state: int
  maps: int
  largest: int


def of_phase(run: Any, name: str) -> MemberBytes:
  """The bytes of a member of a phase, however many there are.

  Args:
    run: of `training.run`, which imports this module.
    name: of the phase.
  """
  config = run.config.to_dict()
  config["num_seeds"] = 1
  for group, field in (("loss", "l2"), ("joint", "loss_weight")):
    config[group][field] = config[group][field][:1]
  return _traced(
    ml_collections.FrozenConfigDict(config),
    name,
    image_shape=run.image_shape,
    num_classes=run.dataset.num_classes,
    platform=run.layout.platform,
    axis_name=run.layout.axis_name,
  )


# A start asks several times, and tracing takes a while.
@functools.lru_cache(maxsize=8)
def _traced(
  config: ml_collections.FrozenConfigDict, name: str, **of_run: Any
) -> MemberBytes:
  """The same, of a phase with one member; arguments of `phase.create`."""
  phase = phase_lib.create(
    config, name, num_train_images=config.batch_size, **of_run
  )
  network = phase.network

  def init(seed: jax.Array, *arguments: jax.Array) -> Any:
    return network.model.init(
      rng.stream(seed, "init"),
      *arguments,
      train=False,
      capture_intermediates=True,
      mutable=True,
    )

  shapes: list[tuple[int, ...]] = [(_TRACED, *network.low_res_shape)]
  if network.describe is not None:
    shapes.append((_TRACED, srmd.DESCRIPTION_SIZE))
  variables = jax.eval_shape(
    init,
    jax.ShapeDtypeStruct((), np.uint32),
    *(jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes),
  )
  params, stats = variables["params"], variables.get("batch_stats", {})
  opt_state = jax.eval_shape(phase.optimizer.init, params)
  maps = _maps(variables["intermediates"])
  return MemberBytes(
    params=_nbytes(params),
    stats=_nbytes(stats),
    state=_nbytes((params, stats, opt_state)),
    maps=sum(maps),
    largest=max(maps),
  )


def _maps(intermediates: Any) -> list[int]:
  """Bytes of what each layer gives, of one image.

  Modules that have others in them give what one of those gives.
  """
  flat = traverse_util.flatten_dict(intermediates)
  modules = [path[:-1] for path in flat]
  outer = {path[:length] for path in modules for length in range(len(path))}
  return [
    _nbytes(leaf) // _TRACED
    for path, leaves in flat.items()
    if path[:-1] not in outer
    for leaf in jax.tree.leaves(leaves)
    if leaf.shape[:1] == (_TRACED,)
  ]


def _nbytes(tree: Any) -> int:
  return sum(
    math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree)
  )
