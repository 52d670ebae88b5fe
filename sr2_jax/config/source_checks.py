"""Checks of the pretraining in `init_from`, for the run that starts there."""

import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections

from sr2_jax import errors
from sr2_jax.config import checks, record


def validate_source(path: pathlib.Path, recorded: Mapping[str, Any]) -> None:
  """Checks that config.json of the run in `init_from` is complete.

  Args:
    path: of that file.
    recorded: what it holds, with the config that `record.recorded` makes of it.

  Raises:
    UserError: says what is missing.
  """
  try:
    checks.validate_names(ml_collections.ConfigDict(recorded["config"]))
    images = recorded.get("dataset")
    if not isinstance(images, Mapping) or not (
      {"num_train_images", "fingerprint"} <= images.keys()
    ):
      raise errors.UserError("its description of the data is missing.")
  except errors.UserError as error:
    raise errors.UserError(
      f"config.init_from: {path} is damaged, or from another version: {error}\n"
      "Restore it from a copy, or give another run folder."
    ) from error


def validate_init_from(
  config: ml_collections.ConfigDict, source: Mapping[str, Any]
) -> None:
  """Checks that this run can start `joint` from another run's pretraining.

  Args:
    config: this run's validated config, with `init_from`.
    source: the config of the run in `init_from`, a result of `recorded`.

  Raises:
    UserError: names the first field of data, degradation or model that
      differs, or the seeds or L2 that were not pretrained.
  """
  for difference in record.difference(source, record.to_dict(config)):
    # Images are compared by their fingerprint, not by their path.
    both = bool(difference.old) == bool(difference.new)
    may_differ = difference.is_of(
      "data.path",
      "data.labels",
      "data.duplicates",
      "data.device_bytes",
      "data.max_train_images",
      "model.wiring",
      "model.classifier_strides",
      *("data.low_res_path",) * both,
    )
    if difference.is_of("data", "degradation", "model") and not may_differ:
      raise errors.UserError(
        f"config.init_from={config.init_from} was pretrained differently: "
        f"config.{difference}.\nconfig.fine_tune=true trains it further on "
        "other images."
      )
  first, last = config.seed, config.seed + config.num_seeds - 1
  source_first = source["seed"]
  source_last = source_first + source["num_seeds"] - 1
  if first < source_first or last > source_last:
    raise errors.UserError(
      f"config.init_from={config.init_from} has the seeds {source_first} to "
      f"{source_last}; this run asks for {first} to {last}."
    )
  # Pretrained with one L2, a network may continue with any; with several,
  # each continues with its own.
  l2s = [float(l2) for l2 in source["loss"]["l2"]]
  missing = [l2 for l2 in config.loss.l2 if float(l2) not in l2s]
  if len(l2s) > 1 and missing:
    raise errors.UserError(
      f"config.init_from={config.init_from} was pretrained with config.loss.l2 "
      f"of {', '.join(f'{l2:g}' for l2 in l2s)}, not of {missing[0]:g}."
    )
