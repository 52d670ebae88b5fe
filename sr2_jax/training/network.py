"""The network of a config, and the trained network of a run folder."""

import dataclasses
import functools
import os
import pathlib
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict, FrozenConfigDict

from sr2_jax import errors, rng
from sr2_jax.config import checks, derived
from sr2_jax.models import conv, conv_choice, sr2, srmd
from sr2_jax.records import rows as rows_lib
from sr2_jax.records import weights as weights_lib
from sr2_jax.training import inputs

Config = ConfigDict | FrozenConfigDict
# Maps a member's variables, low_res and its noise variance to `SR2`'s outputs.
Apply = Callable[[Any, jax.Array, jax.Array], Mapping[str, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Network:
  """A network without its weights.

  Attributes:
    model: the Flax module.
    low_res_shape: (h, w, C) of its inputs in training; it takes other sizes as
      well.
    describe: describes the degradation for SRMD; None for other trunks.
  """

  model: sr2.SR2
  low_res_shape: tuple[int, int, int]
  describe: inputs.Describe | None = None

  def init(self, seed: jax.Array) -> dict[str, Any]:
    """Initial "params" and "batch_stats" from a seed, a uint32 scalar.

    A subtree's values depend only on the seed, not on the other subtrees.
    """
    arguments = [jnp.zeros((1, *self.low_res_shape))]
    if self.describe is not None:
      arguments.append(jnp.zeros((1, srmd.DESCRIPTION_SIZE)))
    variables = self.model.init(
      rng.stream(seed, "init"), *arguments, train=False
    )
    return {
      "params": variables["params"],
      "batch_stats": variables.get("batch_stats", {}),
    }

  def apply(
    self, variables: Any, low_res: jax.Array, noise_variance: jax.Array
  ) -> Mapping[str, jax.Array]:
    """Outputs of one member in inference mode.

    Args:
      variables: the member's "params" and "batch_stats".
      low_res: [B, h, w, C] in [0, 1].
      noise_variance: variance of the Gaussian noise on `low_res`, a scalar;
        only SRMD uses it.

    Returns:
      "super_res" and, with a classifier, "logits", as `SR2` returns them.
    """
    arguments = [low_res]
    if self.describe is not None:
      of_images = jnp.broadcast_to(noise_variance, low_res.shape[:1])
      arguments.append(self.describe(of_images))
    outputs = self.model.apply(variables, *arguments, train=False)
    return typing.cast(Mapping[str, jax.Array], outputs)


@dataclasses.dataclass(frozen=True)
class Trained:
  """A network with the weights of one or several members.

  Attributes:
    network: the network that all members share.
    variables: weights of the members, NumPy arrays [M, ...].
    origins: where each member comes from, as its file records it.
  """

  network: Network
  variables: dict[str, Any]
  origins: tuple[weights_lib.Origin, ...]

  @functools.cached_property
  def _apply(self) -> Callable[..., Any]:
    return jax.jit(jax.vmap(self.network.apply, in_axes=(0, None, None)))

  def apply(
    self, low_res: np.ndarray, noise_variance: float = 0.0
  ) -> dict[str, np.ndarray]:
    """Outputs of every member for low-resolution images.

    Args:
      low_res: float [B, h, w, C] in [0, 1]; any h and w.
      noise_variance: variance of the Gaussian noise on them; only SRMD uses it.

    Returns:
      "super_res" [M, B, scale h, scale w, C], not clipped, and, with a
      classifier, "logits" [M, B, num_classes].
    """
    outputs = self._apply(
      self.variables,
      jnp.asarray(low_res, jnp.float32),
      jnp.float32(noise_variance),
    )
    return {name: np.asarray(value) for name, value in outputs.items()}


def build(
  config: Config,
  image_shape: tuple[int, int, int],
  num_classes: int,
  *,
  phase: str = "joint",
  platform: str | None = None,
  axis_name: str | None = None,
  choice: conv_choice.Choice = conv_choice.RULES,
) -> Network:
  """The network that a config trains in a phase.

  Args:
    config: resolved.
    image_shape: (H, W, C) of the high-resolution images.
    num_classes: of the classifier.
    phase: "pretrain" for no classifier, "joint" for the wiring of the config.
    platform: platform of the devices it will run on, such as "cpu" or "tpu";
      None: JAX's default.
    axis_name: axis of the devices that share a batch; None: no axis.
    choice: forms of convolutions on the CPU.
  """
  height, width, channels = image_shape
  scale = config.degradation.scale
  learning_rates = derived.learning_rates(config, phase)
  describe = None
  if config.model.trunk == "srmd":
    describe = inputs.description_of(config, basis=inputs.blur_basis(config))
  model = sr2.SR2(
    wiring=config.model.wiring if phase == "joint" else "none",
    trunk=config.model.trunk,
    scale=scale,
    channels=channels,
    num_classes=num_classes,
    shared_layers=config.model.shared_layers,
    expansion=config.model.expansion,
    batch_norm=config.model.batch_norm,
    batch_norm_momentum=config.model.batch_norm_momentum,
    transposed_convolution=config.model.transposed_convolution,
    classifier_strides=tuple(config.model.classifier_strides),
    frozen=tuple(k for k, rate in learning_rates.items() if not rate),
    axis_name=axis_name,
    dtype=config.model.dtype,
    convolution=conv.for_platform(platform or jax.default_backend()),
    choice=choice,
  )
  low_res_shape = (height // scale, width // scale, channels)
  return Network(model, low_res_shape, describe)


def flatten(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Float32 arrays under names such as "params/sr/map_0/kernel"."""
  flat = traverse_util.flatten_dict(variables, sep="/")
  return {name: np.asarray(x, np.float32) for name, x in flat.items()}


def load(
  folder: str | os.PathLike[str],
  method: str | None = None,
  *,
  checkpoint: str = "last",
  batch_norm: str | None = None,
  members: Sequence[rows_lib.Member] | None = None,
  platform: str | None = None,
) -> Trained:
  """A trained network from the weights/ of a run folder.

  Args:
    folder: the run folder; nothing in it but weights/ is read.
    method: key of the network, such as "fsrcnn" or "sr2_fsrcnn"; None: the
      network of the last phase that has ended.
    checkpoint: "last", or "best" for the lowest validation loss.
    batch_norm: statistics of BatchNorm, "reestimated" or "running"; None:
      re-estimated if the folder has them.
    members: members to load, in this order, with seed, l2 and loss_weight as in
      `Trained.origins`; None: all.
    platform: see `build`.

  Raises:
    UserError: if the folder has no such weights, or they are damaged.
  """
  path = _network_folder(pathlib.Path(folder), method)
  found = weights_lib.members_in(path, f"{checkpoint}.safetensors")
  if not found:
    raise errors.UserError(
      f"{path} has no {checkpoint} weights.\n"
      f"--mode=eval --config.eval.checkpoint={checkpoint} writes them."
    )
  return from_files(
    found, batch_norm=batch_norm, members=members, platform=platform
  )


def from_files(
  paths: Sequence[pathlib.Path],
  *,
  batch_norm: str | None = None,
  members: Sequence[rows_lib.Member] | None = None,
  platform: str | None = None,
) -> Trained:
  """A trained network from the files of its members.

  Args:
    paths: files of `records.weights`, of one network.
    batch_norm: as in `load`.
    members: as in `load`; None: all, by seed.
    platform: see `build`.

  Raises:
    UserError: if a file is damaged, or they are of different networks.
  """
  path = paths[0] if len(paths) == 1 else paths[0].parent.parent
  loaded = [weights_lib.read(file) for file in paths]
  by_member = sorted(loaded, key=lambda x: weights_lib.order(x[1].member))
  if members is not None:
    by_member = [_find(by_member, member, path) for member in members]
  origins = tuple(origin for _, origin in by_member)
  if len(strides := {x.classifier_strides for x in origins}) > 1:
    several = " and ".join(map(str, sorted(strides)))
    raise errors.UserError(
      f"{path}: model.classifier_strides {several} differ."
    )
  network = _network_of(path, origins[0], platform)
  variables = [
    _unflatten(_choose(*found, batch_norm, path), network, path)
    for found in by_member
  ]
  stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *variables)
  return Trained(network, stacked, origins)


def _network_folder(folder: pathlib.Path, method: str | None) -> pathlib.Path:
  """Folder of a method's weights in a run folder."""
  trained = weights_lib.network_folders(folder)
  if not trained:
    raise errors.UserError(
      f"{folder} has no trained networks in weights/.\n"
      "The end of a phase writes them; for a run of an older version, "
      "--mode=eval does."
    )
  if method is None:
    return list(trained.values())[-1]
  if method not in trained:
    raise errors.UserError(
      f"{folder} has no {method}; it has {', '.join(trained)}."
    )
  return trained[method]


def _find(
  loaded: Sequence[tuple[Any, weights_lib.Origin]],
  member: rows_lib.Member,
  path: pathlib.Path,
) -> tuple[Any, weights_lib.Origin]:
  for arrays, origin in loaded:
    if origin.member.is_close(member):
      return arrays, origin
  known = "\n".join(str(origin.member) for _, origin in loaded)
  raise errors.UserError(f"{path} has no {member}; it has:\n{known}")


def _network_of(
  path: pathlib.Path, origin: weights_lib.Origin, platform: str | None
) -> Network:
  config = ConfigDict(dict(origin.config))
  try:
    checks.validate_names(config)
    derived.fill_in(config)
    checks.validate_model(config)
  except errors.UserError as error:
    raise errors.UserError(f"{path}: {error}") from error
  shape, num_classes = origin.image_shape, len(origin.class_names)
  return build(
    config, shape, num_classes, phase=origin.phase, platform=platform
  )


def _choose(
  arrays: Mapping[str, np.ndarray],
  origin: weights_lib.Origin,
  batch_norm: str | None,
  path: pathlib.Path,
) -> dict[str, np.ndarray]:
  """A member's arrays with the statistics asked for, under one name."""
  chosen, running = {}, {}
  for name, array in arrays.items():
    subtree, _, rest = name.partition("/")
    if subtree == weights_lib.RUNNING:
      running[f"batch_stats/{rest}"] = array
    else:
      chosen[name] = array
  if origin.batch_norm is None or batch_norm in (None, origin.batch_norm):
    return chosen
  if batch_norm == "running":
    return chosen | running
  raise errors.UserError(
    f"{path} has no {batch_norm} statistics of BatchNorm.\n"
    f"--mode=eval --config.eval.batch_norm=reestimated writes them."
  )


def _unflatten(
  arrays: Mapping[str, np.ndarray], network: Network, path: pathlib.Path
) -> dict[str, Any]:
  """Variables of a member, checked against the shapes of its network."""
  expected = _shapes(
    jax.eval_shape(network.init, jax.ShapeDtypeStruct((), np.uint32))
  )
  found = {name: array.shape for name, array in arrays.items()}
  for name in sorted(expected.keys() | found.keys()):
    if expected.get(name) != found.get(name):
      raise errors.UserError(
        f"{path}: {name} has the shape {found.get(name)}; its network needs "
        f"{expected.get(name)}."
      )
    if not np.isfinite(arrays[name]).all():
      raise errors.UserError(
        f"{path}: {name} has numbers that are not finite; this network "
        "diverged."
      )
  nested = traverse_util.unflatten_dict(dict(arrays), sep="/")
  return {"batch_stats": {}, **nested}


def _shapes(variables: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
  """Shapes under names such as "params/sr/map_0/kernel"."""
  leaves = traverse_util.flatten_dict(variables, sep="/")
  return {name: np.shape(typing.cast(Any, x)) for name, x in leaves.items()}
