"""Methods to evaluate: a run's networks, bicubic and the released SRMD."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from sr2_jax import errors, names, parallel
from sr2_jax.buckets import address
from sr2_jax.models import bicubic, conv, sr2
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.training import carried, inputs
from sr2_jax.training import network as network_lib
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import run as run_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
  """A method and the weights of its members.

  Attributes:
    name: key and title of the method, and what it is.
    phase: "pretrain" or "joint"; "none" for an untrained method.
    shared_layers: as in rows.
    members: those to evaluate; one empty member for an untrained method.
    steps: training steps of each member.
    epochs: those steps in epochs; None for an untrained method.
    pretrain_epochs: as in rows.
    batch_norm: as in rows.
    apply: the network of a member.
    variables: weights of the population, NumPy arrays [M, ...].
    places: of the members in the population.
    layout: the devices; None: each process evaluates on one of its devices.
  """

  name: names.Method
  phase: str
  shared_layers: int | None
  members: tuple[rows_lib.Member, ...]
  steps: tuple[int, ...]
  epochs: tuple[float | None, ...] = (None,)
  pretrain_epochs: int | None = None
  batch_norm: str | None = None
  apply: network_lib.Apply
  variables: Any
  places: tuple[int, ...] = (0,)
  layout: parallel.Layout | None = None


def of_phase(
  run: run_lib.Run,
  phase: phase_lib.Phase,
  variables: Any,
  *,
  steps_done: Sequence[int],
  batch_norm: str | None,
  places: Sequence[int] | None = None,
) -> Method:
  """The method that a phase trained.

  Args:
    run: configuration and devices.
    phase: what trained the weights.
    variables: weights of its population, NumPy arrays [M, ...].
    steps_done: training steps of each member.
    batch_norm: which statistics BatchNorm has; as in rows.
    places: of the members to evaluate; None: all.
  """
  places = tuple(range(phase.population.size) if places is None else places)
  return Method(
    name=phase.method,
    phase=phase.name,
    shared_layers=run.config.model.shared_layers,
    members=tuple(phase.population.members[place] for place in places),
    steps=tuple(steps_done[place] for place in places),
    epochs=tuple(steps_done[place] / phase.steps_per_epoch for place in places),
    pretrain_epochs=_pretrain_epochs(run.config, phase.name),
    batch_norm=batch_norm,
    apply=phase.network.apply,
    variables=variables,
    places=places,
    layout=run.layout.of(phase.population.size),
  )


def _pretrain_epochs(config: Any, phase: str) -> int | None:
  """Epochs of `pretrain` before `joint`, in this run or in `init_from`.

  None if what tells them is gone: an evaluation must not fail for it.
  """
  if phase != "joint":
    return None
  if not config.init_from or config.fine_tune:
    return config.pretrain.num_epochs
  try:
    recorded = folder_lib.RunFolder(address.local(config.init_from)).read()
    if recorded is None:
      return carried.pretrain_epochs(config.init_from)
    return recorded["config"]["pretrain"]["num_epochs"]
  except (errors.UserError, LookupError, TypeError):
    return None


def untrained(run: run_lib.Run) -> list[Method]:
  """Bicubic interpolation and, if `eval.srmd` names it, the released SRMD."""
  found = [_untrained("bicubic", _bicubic(run), np.zeros((1,), np.float32))]
  if run.released_srmd is not None:
    params = jax.tree.map(lambda x: x[None], run.released_srmd.params)
    found.append(_untrained("srmd", _released_srmd(run), {"params": params}))
  return found


def _untrained(key: str, apply: network_lib.Apply, variables: Any) -> Method:
  return Method(
    name=names.METHODS[key],
    phase="none",
    shared_layers=None,
    members=(rows_lib.Member(),),
    steps=(0,),
    apply=apply,
    variables=variables,
  )


def _bicubic(run: run_lib.Run) -> network_lib.Apply:
  scale = run.config.degradation.scale
  return lambda _variables, low_res, _noise_variance: {
    "super_res": bicubic.upsample(low_res, scale)
  }


def _released_srmd(run: run_lib.Run) -> network_lib.Apply:
  assert run.released_srmd is not None
  height, width, channels = run.image_shape
  scale = run.config.degradation.scale
  model = sr2.SR2(
    trunk="srmd",
    wiring="none",
    scale=scale,
    channels=channels,
    convolution=conv.for_platform(run.layout.platform),
  )
  describe = inputs.description_of(run.config, basis=run.released_srmd.basis)
  low_res_shape = (height // scale, width // scale, channels)
  return network_lib.Network(model, low_res_shape, describe).apply
