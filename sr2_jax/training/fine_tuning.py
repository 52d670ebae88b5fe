"""A run that goes on from a network trained on other images (`fine_tune`)."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flax import traverse_util

from sr2_jax import errors, paths
from sr2_jax.buckets import address
from sr2_jax.records import networks
from sr2_jax.records import weights as weights_lib
from sr2_jax.training import network, population, steps
from sr2_jax.training import phase as phase_lib

# What of `config.model` makes another network, whatever it was trained on.
_SAME = (
  "trunk", "shared_layers", "expansion", "batch_norm", "transposed_convolution",
)  # fmt: skip
# The layer that knows the classes.
_LAST_LAYER = ("classifier", "logits")


@dataclasses.dataclass(frozen=True)
class Source:
  """The network that a run starts from.

  Attributes:
    variables: of its members, NumPy arrays [M, ...].
    seeds: of its members.
    class_names: of its classifier; () without one.
    wiring: of its classifier, or "none".
    strides: of its classifier.
  """

  variables: dict[str, Any]
  seeds: tuple[int, ...]
  class_names: tuple[str, ...]
  wiring: str
  strides: tuple[int, ...]


def files_of(config: Any) -> list[pathlib.Path]:
  """The files that `init_from` names; raises UserError if there are none."""
  place = config.init_from
  if address.is_url(place):
    # As it was at the start of this process.
    place = str(address.local(place))
  return networks.files_of(place, flag="config.init_from")


def record_of(config: Any) -> dict[str, list[str]]:
  """What config.json has of these files at the first start: their sha256."""
  digests = sorted(weights_lib.digest(path) for path in files_of(config))
  return {"fine_tuned_from": digests}


def check_same(config: Any, recorded: Mapping[str, Any]) -> None:
  """Refuses another network than the one that a run has started from.

  The run reads it a second time, at the start of `joint`.

  Args:
    config: of the run.
    recorded: what config.json holds.

  Raises:
    UserError: if the files in `init_from` are others, or gone.
  """
  found = record_of(config)
  if any(recorded.get(name, of) != of for name, of in found.items()):
    raise errors.UserError(
      f"config.init_from={config.init_from} has another network now than when "
      "this run was started.\nGive the path of that one, or another --workdir "
      "to start a new run."
    )


def read(config: Any, *, channels: int) -> Source:
  """The network in `init_from`, with the running statistics of BatchNorm.

  Args:
    config: of the run that starts from it.
    channels: of the run's images.

  Raises:
    UserError: if there is none, it is damaged, another network than the run's,
      or lacks a seed of the run.
  """
  place = f"config.init_from={config.init_from}"
  trained = network.from_files(files_of(config), batch_norm="running")
  origin = trained.origins[0]
  _check(place, origin, config, channels)
  seeds = tuple(x.member.seed or 0 for x in trained.origins)
  if len(set(seeds)) < len(seeds):
    raise errors.UserError(
      f"{place} has several networks of a seed, of other L2 or loss weight: "
      "give the file of one."
    )
  wanted = range(config.seed, config.seed + config.num_seeds)
  if len(seeds) > 1 and not set(wanted) <= set(seeds):
    raise errors.UserError(
      f"{place} has the seeds {', '.join(map(str, seeds))}; this run asks for "
      f"{wanted[0]} to {wanted[-1]}. The file of one seed starts all."
    )
  classifies = "classifier" in trained.variables["params"]
  return Source(
    trained.variables,
    seeds,
    origin.class_names if classifies else (),
    origin.config["model"]["wiring"] if classifies else "none",
    origin.classifier_strides,
  )


def _check(
  place: str, origin: weights_lib.Origin, config: Any, channels: int
) -> None:
  """Raises UserError if a network is another than that of a config."""
  theirs = origin.config
  pairs = {
    f"config.model.{name}": (theirs["model"][name], config.model[name])
    for name in _SAME
  }
  pairs["config.degradation.scale"] = (
    theirs["degradation"]["scale"],
    config.degradation.scale,
  )
  pairs["channels"] = (origin.image_shape[2], channels)
  for field, (has, wants) in pairs.items():
    if has != wants:
      way_out = f"\nconfig.data.channels={has} reads own images so."
      raise errors.UserError(
        f"{place} was trained with {field}={has}, but this run has {wants}: "
        f"that is another network.{way_out * (field == 'channels')}"
      )


def started(
  source: Source,
  phase: phase_lib.Phase,
  state: steps.TrainState,
  *,
  class_names: Sequence[str],
  takes_trunk: bool,
) -> steps.TrainState:
  """A phase's initial state with the weights of another network.

  The classifier is taken as well if it is attached in the same way and has the
  same strides; its last layer only if the classes are the same.

  Args:
    source: the other network.
    phase: of the run.
    state: its initial state, NumPy arrays [M, ...].
    class_names: of the run's images.
    takes_trunk: if not, it has been trained already, and the classifier alone
      is taken.
  """
  of_run, of_source = (
    [paths.composed(name) for name in names]
    for names in (class_names, source.class_names)
  )
  same_classes = of_run == of_source
  own = [
    source.seeds.index(seed) if len(source.seeds) > 1 else 0
    for seed in phase.population.seeds
  ]

  def is_taken(subtree: str, layer: str) -> bool:
    if subtree != "classifier":
      return takes_trunk
    model = phase.network.model
    if (model.wiring, model.classifier_strides) != (
      source.wiring,
      source.strides,
    ):
      return False
    return same_classes or (subtree, layer) != _LAST_LAYER

  new: dict[str, dict[Any, Any]] = {
    kind: dict(traverse_util.flatten_dict(tree))
    for kind, tree in state.variables.items()
  }
  for kind, tree in population.take(source.variables, own).items():
    for path, value in traverse_util.flatten_dict(tree).items():
      if path in new[kind] and is_taken(*path[:2]):
        array = np.asarray(value)
        assert array.shape == new[kind][path].shape, path
        new[kind][path] = array
  return steps.TrainState(
    **{kind: traverse_util.unflatten_dict(tree) for kind, tree in new.items()},
    opt_state=state.opt_state,
  )
