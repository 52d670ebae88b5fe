"""Arrays that an evaluation writes to a run folder beside its rows; no JAX.

Rows hold means. `per_image/<method>_<split>.npz` holds the scores of each
image, for tests that pair images, and the class that was read.
`examples/<method>.npz` holds a few test images and the method's outputs for
them, for pictures. In both, `members_seed` (int64 [M], -1 for none),
`members_l2` and `members_loss_weight` (float64 [M], NaN for none) and `step`
(int64 [M]) identify the weights, and `batch_norm` the statistics that they had:
as in rows, "" for none. Older files lack it.

Both are for the latest weights of a run, as its tables are: evaluating earlier
weights again does not replace them, nor does evaluating the same ones with
running statistics instead of re-estimated ones. Evaluating the same weights at
other noise variances adds to the file.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from sr2_jax import errors, files
from sr2_jax.records import npz, row_values
from sr2_jax.records import rows as rows_lib

# Metrics that are stored for each image; accuracy is 0 or 1.
PER_IMAGE = (
  "ssim", "ssim_uniform7", "ssim_uniform7_range2", "psnr_db", "accuracy",
)  # fmt: skip
# The axis of noise variances, in the arrays that have one.
_LEVEL_AXES = {
  "noise_variances": 0, "low_res": 0, "super_res": 1, "predicted": 1,
  **dict.fromkeys(PER_IMAGE, 1),
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class _OfMembers:
  """Contents of both kinds of files.

  Attributes:
    members: M of them, in the order of the member axis.
    steps: training steps of each.
    batch_norm: statistics of BatchNorm, as in rows.
    noise_variances: float64 [V].
  """

  members: tuple[rows_lib.Member, ...]
  steps: tuple[int, ...]
  batch_norm: str | None = None
  noise_variances: np.ndarray

  def __post_init__(self) -> None:
    if len(self.members) != len(self.steps):
      raise ValueError("members and steps differ in number")

  def place(self, member: rows_lib.Member) -> int | None:
    """Index of a member on the member axis; None if it is not there."""
    for place, found in enumerate(self.members):
      if found.is_close(member):
        return place
    return None

  def level(self, noise_variance: float) -> int | None:
    """Index of a noise variance; None if it is not there."""
    close = np.isclose(self.noise_variances, noise_variance, 1e-6, 1e-12)
    return int(close.argmax()) if close.any() else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerImage(_OfMembers):
  """Scores of each image of a split.

  Attributes:
    scores: {metric: float32 [M, V, N]}, in the order of the split.
    labels: true classes, int32 [N]; None in older files.
    predicted: classes, int32 [M, V, N]; None without a classifier and in older
      files. -1 where a file got levels from an older one.
  """

  scores: Mapping[str, np.ndarray]
  labels: np.ndarray | None = None
  predicted: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples(_OfMembers):
  """B test images, a method's inputs made from them, and its outputs.

  Attributes:
    positions: indices of the images in the test split, int64 [B].
    labels: true classes, int64 [B].
    high_res: float32 [B, H, W, C]; None if the file has none.
    low_res: float32 [V, B, h, w, C]; None if the file has none.
    super_res: float32 [M, V, B, H, W, C].
    predicted: classes, int64 [M, V, B]; None without a classifier.
  """

  positions: np.ndarray
  labels: np.ndarray
  high_res: np.ndarray | None
  low_res: np.ndarray | None
  super_res: np.ndarray
  predicted: np.ndarray | None = None


def per_image_path(
  folder: pathlib.Path, method: str, split: str
) -> pathlib.Path:
  """Path of the scores of each image."""
  return folder / "per_image" / f"{method}_{split}.npz"


def examples_path(folder: pathlib.Path, method: str) -> pathlib.Path:
  """Path of the example images."""
  return folder / "examples" / f"{method}.npz"


def write_per_image(
  folder: pathlib.Path, per_image: PerImage, *, method: str, split: str
) -> None:
  """Writes scores of each image, of the metrics in PER_IMAGE, and classes."""
  arrays: dict[str, np.ndarray] = {
    name: per_image.scores[name].astype(np.float32)
    for name in PER_IMAGE
    if name in per_image.scores
  }
  if per_image.predicted is not None:
    arrays["labels"] = np.asarray(per_image.labels, np.int32)
    arrays["predicted"] = per_image.predicted.astype(np.int32)
  _write(per_image_path(folder, method, split), per_image, arrays)


def write_examples(
  folder: pathlib.Path, examples: Examples, *, method: str
) -> None:
  """Writes example images with the method's inputs and outputs."""
  arrays = {
    name: getattr(examples, name)
    for name in ("positions", "labels", "high_res", "low_res")
  }
  arrays["super_res"] = examples.super_res.astype(np.float32)
  if examples.predicted is not None:
    arrays["predicted"] = examples.predicted.astype(np.int64)
  _write(examples_path(folder, method), examples, arrays)


def read_per_image(
  folder: pathlib.Path, method: str, split: str
) -> PerImage | None:
  """The scores of each image, or None if there is no such file.

  Raises:
    UserError: if the file is damaged.
  """
  path = per_image_path(folder, method, split)
  arrays = npz.read(path)
  if arrays is None:
    return None
  with npz.named(path):
    scores = {name: arrays[name] for name in PER_IMAGE if name in arrays}
    return PerImage(
      **_head(arrays),
      scores=scores,
      labels=arrays.get("labels"),
      predicted=arrays.get("predicted"),
    )


def read_examples(folder: pathlib.Path, method: str) -> Examples | None:
  """Example images, or None if there is no such file.

  Raises:
    UserError: if the file is damaged.
  """
  path = examples_path(folder, method)
  arrays = npz.read(path)
  if arrays is None:
    return None
  with npz.named(path):
    return Examples(
      **_head(arrays),
      positions=arrays["positions"],
      labels=arrays["labels"],
      high_res=arrays.get("high_res"),
      low_res=arrays.get("low_res"),
      super_res=arrays["super_res"],
      predicted=arrays.get("predicted"),
    )


def _write(
  path: pathlib.Path, of: _OfMembers, arrays: Mapping[str, np.ndarray]
) -> None:
  """Replaces a file atomically, unless it has better ones.

  These are of later weights, or of the same ones with re-estimated statistics.
  """
  try:
    old = npz.read(path) or {}
    with npz.named(path):
      if old:
        _head(old)
  except errors.UserError as error:
    print(f"{error}; it is written again", file=sys.stderr)
    old = {}
  new = {
    **_members_as_arrays(of.members),
    "step": np.array(of.steps, np.int64),
    "batch_norm": np.array(of.batch_norm or ""),
    "noise_variances": np.asarray(of.noise_variances, np.float64),
    **arrays,
  }
  old_step = old.get("step", np.empty(0, np.int64))
  if old_step.shape == new["step"].shape:
    if np.any(old_step > new["step"]):
      return
    old.setdefault("batch_norm", np.array(_of_older_file(old_step) or ""))
    if "predicted" in arrays and "accuracy" in old:
      shape = old["accuracy"].shape
      old.setdefault("predicted", np.full(shape, -1, np.int32))
      old.setdefault("labels", arrays["labels"])
    kinds = str(old["batch_norm"]), of.batch_norm
    if kinds == ("reestimated", "running") and _same_weights(old, new):
      return
  with files.replacing(path) as file:
    np.savez(file, **_with_levels_of(old, new))


def _same_weights(
  old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]
) -> bool:
  identity = ("members_seed", "members_l2", "members_loss_weight", "step")
  return all(
    name in old and np.array_equal(old[name], new[name], equal_nan=True)
    for name in identity
  )


def _of_older_file(step: np.ndarray) -> str | None:
  """The statistics in a file that does not name them."""
  return "running" if step.any() else None


def _members_as_arrays(
  members: tuple[rows_lib.Member, ...],
) -> dict[str, np.ndarray]:
  seeds = [-1 if member.seed is None else member.seed for member in members]
  return {
    "members_seed": np.array(seeds, np.int64),
    # None becomes NaN.
    "members_l2": np.array([member.l2 for member in members], np.float64),
    "members_loss_weight": np.array(
      [member.loss_weight for member in members], np.float64
    ),
  }


def _with_levels_of(
  old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]
) -> Mapping[str, Any]:
  """The new arrays, plus the old ones at noise variances that the new lack.

  Only the new arrays if the old ones are for other members or images.
  """
  if old.keys() != new.keys():
    return new
  levels = old["noise_variances"]
  left = np.flatnonzero(~np.isin(levels, new["noise_variances"]))
  if not len(left):
    return new
  order = np.argsort(np.append(new["noise_variances"], levels[left]))
  merged = {}
  for name, value in new.items():
    axis = _LEVEL_AXES.get(name)
    try:
      if axis is None:
        is_text = value.dtype.kind == "U"
        if not np.array_equal(old[name], value, equal_nan=not is_text):
          return new
        merged[name] = value
        continue
      joined = np.concatenate([value, np.take(old[name], left, axis)], axis)
    except (ValueError, TypeError):  # Of other images, or no numbers.
      return new
    merged[name] = np.take(joined, order, axis)
  return merged


def _head(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Members, steps and noise variances of a file's arrays.

  Raises:
    KeyError, TypeError or ValueError: if arrays are missing, or do not fit.
  """
  _check_shapes(arrays)

  def read(name: str, kind: type) -> list[Any]:
    return [row_values.read(name, kind, x) for x in arrays[name].tolist()]

  # Older files have no L2; they match l2=None.
  l2s = arrays.get("members_l2", np.full(len(arrays["step"]), np.nan))
  identities = (arrays["members_seed"], l2s, arrays["members_loss_weight"])
  return {
    "members": tuple(
      rows_lib.Member(
        seed=None if seed == -1 else seed,
        l2=None if np.isnan(l2) else l2,
        loss_weight=None if np.isnan(weight) else weight,
      )
      for seed, l2, weight in zip(
        *map(np.ndarray.tolist, identities), strict=True
      )
    ),
    "steps": tuple(read("step", int)),
    "batch_norm": str(arrays["batch_norm"]) or None
    if "batch_norm" in arrays
    else _of_older_file(arrays["step"]),
    "noise_variances": np.array(read("noise_variances", float)),
  }


def _check_shapes(arrays: Mapping[str, np.ndarray]) -> None:
  """Raises ValueError if arrays differ in members or noise variances."""
  for name in ("step", "members_seed", "noise_variances"):
    if arrays[name].ndim != 1:
      raise ValueError(f"{name} is no list")
  for name in ("step", "members_seed", *_LEVEL_AXES):
    if name in arrays and arrays[name].dtype.kind not in "iuf":
      raise ValueError(f"{name} holds no numbers")
  num_members, num_levels = len(arrays["step"]), len(arrays["noise_variances"])
  for name, axis in _LEVEL_AXES.items():
    if name not in arrays:
      continue
    expected = (num_members, num_levels)[1 - axis :]
    if arrays[name].shape[: axis + 1] != expected:
      raise ValueError(
        f"{name} has the shape {arrays[name].shape}, but there are "
        f"{num_members} members and {num_levels} noise variances"
      )
