"""Pretrained weights that were carried here without their checkpoints.

`init_from` may name the folder weights/ of a run, a network's folder in it, one
file, or released weights, as well as a run folder that has kept only weights/.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from sr2_jax import errors
from sr2_jax.buckets import address
from sr2_jax.config import derived, record, source_checks
from sr2_jax.records import divergence, networks
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import weights as weights_lib
from sr2_jax.training import network, population, steps

_FLAG = "config.init_from"


def files_in(init_from: str) -> list[pathlib.Path]:
  """The weights files at a path; none in a run folder that has better.

  A run folder has checkpoints, which come first, or has not got to any weights.

  Raises:
    UserError: if it is neither a run folder nor a network's weights.
  """
  path = address.local(init_from)
  if folder_lib.RunFolder(path).read() is not None and (
    any(path.glob("checkpoints/pretrain/last/*"))
    or not weights_lib.network_folders(path)
  ):
    return []
  return networks.files_of(str(path), flag=_FLAG, phase="pretrain")


def pretrain_epochs(init_from: str) -> int | None:
  """Epochs of `pretrain` that the weights at a path have; None if unknown."""
  try:
    for path in files_in(init_from):
      return weights_lib.read_origin(path).config["pretrain"]["num_epochs"]
  except (errors.UserError, LookupError, TypeError):
    pass
  return None


def read(
  config: Any, paths: Sequence[pathlib.Path]
) -> tuple[steps.TrainState, population.Population]:
  """The end of a pretraining, from its weights files.

  The statistics of BatchNorm are the running ones, as in a checkpoint. There is
  no state of Adam, which starts at zero in `joint` anyway. Weights do not tell
  which images they saw, so only the settings of the data are compared.

  Args:
    config: of the run that starts from them, with `init_from`.
    paths: from `files_in`.

  Raises:
    UserError: if they are not of a pretraining, of a different one, damaged, or
      of other members than this run needs.
  """
  place = f"{_FLAG}={config.init_from}"
  origins = [weights_lib.read_origin(path) for path in paths]
  for origin in origins:
    if origin.phase != "pretrain":
      raise errors.UserError(
        f"{place} has weights of {origin.phase}; joint starts from those of "
        "pretrain."
      )
    source = record.recorded(origin.config, record.to_dict(config))
    # Which members there are, the files say.
    source["seed"], source["num_seeds"] = config.seed, config.num_seeds
    source["loss"]["l2"] = list(dict.fromkeys(x.member.l2 for x in origins))
    source_checks.validate_init_from(config, source)
  found = network.from_files(paths, batch_norm="running")
  members = [origin.member for origin in found.origins]
  pretrained = population.Population(
    tuple(x.seed or 0 for x in members),
    tuple(x.l2 or 0.0 for x in members),
    (None,) * len(members),
  )
  wanted = population.expand(
    range(config.seed, config.seed + config.num_seeds),
    config.loss.l2,
    derived.loss_weights(config, "joint"),
  )
  try:
    wanted.origins(pretrained)
  except ValueError as error:
    has = "; ".join(map(divergence.in_words, members))
    raise errors.UserError(
      f"{place} has {has}; this run asks for the seeds {wanted.seeds[0]} to "
      f"{wanted.seeds[-1]}."
    ) from error
  return steps.TrainState(**found.variables, opt_state=()), pretrained
