"""A trained network of a run, with what its release says of it; no JAX."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sr2_jax import errors, names
from sr2_jax.prediction import choice as choice_lib
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import released, timing_log
from sr2_jax.records import rows as rows_lib
from sr2_jax.records import weights as weights_lib

# A released name says what data it was trained on, and what is special there.
DATA_NAMES = {"svhn_cropped": "svhn_recropped_noncommercial"}
# Noise variances and metrics of its numbers, where the run has them.
NOISE_VARIANCES = (0.0, 1e-4, 1e-3, 1e-2)
METRICS = ("ssim", "ssim_uniform7_range2", "psnr_db", "accuracy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
  """A network to release.

  Attributes:
    chosen: its files.
    record: config.json of its run.
    about: config.json of its release; see `docs/weights.md`.
    beside: rows to compare with: "float32" of all seeds of the run, "control"
      and "bicubic"; empty where there are none.
  """

  chosen: choice_lib.Choice
  record: Mapping[str, Any]
  about: dict[str, Any]
  beside: dict[str, list[rows_lib.Row]]


def networks(
  run: str,
  runs: Sequence[str],
  *,
  method: str | None = None,
  seeds: choice_lib.Seeds = "first",
  member: int | None = None,
  checkpoint: str = "last",
  dtype: str = "float16",
) -> list[Source]:
  """The networks of a run, but for controls, which are only compared with.

  Args:
    run: its folder, as typed.
    runs: all runs at hand, which may have the control.
    method: key of the only one to take; None: all.
    seeds: as `choice.find` takes it.
    member: as `choice.find` takes it.
    checkpoint: "last", or "best" for the lowest validation loss.
    dtype: of the arrays that are stored.

  Raises:
    UserError: if there is none, or one has not been trained to its end.
  """
  path = pathlib.Path(run)
  record = folder_lib.RunFolder(path).read()
  if record is None:
    raise errors.UserError(f"{run}: no run folder; it has no config.json.")
  if "num_train_images" not in record.get("dataset", {}):
    raise errors.UserError(f"{run}: config.json does not describe the images.")
  found = [
    key
    for key in weights_lib.network_folders(path)
    if names.method(key).family != "sr_continued" and method in (None, key)
  ]
  if not found and method is not None:
    raise errors.UserError(f"--method={method}: {run} has no such network.")
  sources = []
  for key in found:
    find = functools.partial(choice_lib.find, run, method=key, member=member)
    _refuse_half_trained(run, find(seeds=seeds).origins, record)
    chosen = find(seeds=seeds, checkpoint=checkpoint)
    steps = {
      one.member.seed: one.step for one in find(checkpoint=checkpoint).origins
    }
    about = {**_about(chosen, record, path, dtype), "checkpoint": checkpoint}
    beside = _beside(chosen, path, runs, steps)
    for row in beside["float32"]:
      if row.seed == about["seeds"][0]:
        about["epochs"] = row.epochs
        about["pretrain_epochs"] = row.pretrain_epochs
    sources.append(
      Source(chosen=chosen, record=record, about=about, beside=beside)
    )
  return sources


def arrays(path: pathlib.Path, dtype: str) -> dict[str, np.ndarray]:
  """The arrays of a file as they are released, with one kind of statistics.

  Vectors (biases, slopes, statistics) stay float32: they are few, and rounding
  them changes three times as many pixels as rounding all kernels.

  Raises:
    UserError: if a number does not fit the type.
  """
  found = {}
  for name, array in weights_lib.read(path)[0].items():
    if name.startswith(f"{weights_lib.RUNNING}/"):
      continue
    with np.errstate(over="ignore"):
      found[name] = array.astype(dtype) if array.ndim > 1 else array
    if not np.isfinite(found[name]).all():
      raise errors.UserError(
        f"{path}: {name} does not fit {dtype}; choose --dtype=float32, unless "
        "this network diverged."
      )
  return found


def origin(found: weights_lib.Origin) -> weights_lib.Origin:
  """The metadata of a released file: without paths of the machine."""
  config = {**found.config, "data": {**found.config["data"]}}
  data = config["data"]
  for fields, key in (
    (config, "init_from"),
    *((data, key) for key in ("path", "low_res_path", "labels")),
  ):
    if fields.get(key):
      fields[key] = pathlib.PurePath(fields[key]).name
  return dataclasses.replace(found, config=config)


def file_names(origins: Sequence[weights_lib.Origin]) -> list[str]:
  """Paths of the members' files in the folder of a release."""
  if len(origins) == 1:
    return [released.MODEL]
  return [f"seed_{one.member.seed}/{released.MODEL}" for one in origins]


def _about(
  chosen: choice_lib.Choice,
  record: Mapping[str, Any],
  folder: pathlib.Path,
  dtype: str,
) -> dict[str, Any]:
  first = chosen.origins[0]
  data = first.config["data"]["name"]
  name = f"{first.method}_x{chosen.scale}_{DATA_NAMES.get(data, data)}"
  seconds = timing_log.seconds_of_phases(folder / "timing.jsonl")
  return {
    "name": name,
    "method": first.method,
    "title": choice_lib.short_title(chosen),
    "phase": first.phase,
    "scale": chosen.scale,
    "image_shape": list(first.image_shape),
    "class_names": list(first.class_names) if chosen.classifies else [],
    "seeds": [one.member.seed for one in chosen.origins],
    "l2": first.member.l2,
    "loss_weight": first.member.loss_weight,
    "dtype": dtype,
    "step": first.step,
    "epochs": None,
    "pretrain_epochs": None,
    "batch_norm": first.batch_norm,
    "num_train_images": record["dataset"]["num_train_images"],
    "config": origin(first).config,
    "trained_with": {
      "revision": record.get("git_revision", "unknown"),
      "python": record.get("python", "unknown"),
      "packages": dict(record.get("packages", {})),
      "devices": dict(record.get("devices", {})),
      "seeds": record["config"]["num_seeds"],
      "hours": {phase: round(s / 3600, 2) for phase, s in seconds.items()},
    },
  }


def _beside(
  chosen: choice_lib.Choice,
  run: pathlib.Path,
  runs: Sequence[str],
  steps: Mapping[int | None, int],
) -> dict[str, list[rows_lib.Row]]:
  """Rows to compare with; `steps` has those of the weights of each seed."""
  first = chosen.origins[0]

  def comparable(row: rows_lib.Row) -> bool:
    same = (row.dataset, row.scale) == (
      first.config["data"]["name"],
      chosen.scale,
    )
    return same and row.split == "test" and row.corruption is None

  of_run = [row for row in _rows(run) if comparable(row)]
  own = [
    row
    for row in of_run
    if row.method == first.method
    and row.step == steps.get(row.seed)
    and row.batch_norm == first.batch_norm
    and rows_lib.is_close(row.l2, first.member.l2)
    and rows_lib.is_close(row.loss_weight, first.member.loss_weight)
  ]
  control: list[rows_lib.Row] = []
  if first.phase == "joint":
    key = names.method_after("joint", trunk=chosen.trunk, wiring="none").key
    control = [
      row
      for other in runs
      for row in _rows(pathlib.Path(other))
      if comparable(row)
      and (row.method, row.step) == (key, first.step)
      and row.batch_norm == first.batch_norm
    ]
  return {
    "float32": shown(own),
    "control": shown(control),
    "bicubic": shown(row for row in of_run if row.method == "bicubic"),
  }


def _rows(folder: pathlib.Path) -> list[rows_lib.Row]:
  file = folder / rows_lib.FILE_NAME
  return rows_lib.read(file) if file.exists() else []


def shown(rows: Iterable[rows_lib.Row]) -> list[rows_lib.Row]:
  """Of rows, those with the numbers that a release has."""
  return [
    row
    for row in rows
    if row.metric in METRICS
    and any(rows_lib.is_close(row.noise_variance, v) for v in NOISE_VARIANCES)
  ]


def _refuse_half_trained(
  run: str, origins: Iterable[weights_lib.Origin], record: Mapping[str, Any]
) -> None:
  images = record["dataset"]["num_train_images"]
  for one in origins:
    per_epoch = images // one.config["batch_size"]
    steps = one.config[one.phase]["num_epochs"] * per_epoch
    if one.step < steps:
      raise errors.UserError(
        f"{run}: {one.method} of seed {one.member.seed} is at step {one.step} "
        f"of {steps}; what is half-trained is not released.\n"
        "Resume the run, and let it end."
      )
