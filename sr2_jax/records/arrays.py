"""Arrays that evaluation leaves in a run folder beside its rows; no JAX.

Rows are means. `per_image/<method>_<split>.npz` has what each image scored, for
tests that pair images, and `examples/<method>.npz` what a method made of a few
test images, for pictures. In either, `members_seed` (int64 [M], -1 for none),
`members_l2` and `members_loss_weight` (float64 [M], NaN for none) and `step`
(int64 [M]) say which weights, `noise_variances` (float64 [V]) at what noise.

Both are of the latest weights of a run, as its tables are: those of earlier
ones, evaluated later, do not take their place. The same weights evaluated at
other noise variances add to what is there.
"""

import dataclasses
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sr2_jax import errors, files

# The metrics that are kept for each image; accuracy is 0 or 1.
PER_IMAGE = (
  "ssim", "ssim_uniform7", "ssim_uniform7_range2", "psnr_db", "accuracy",
)  # fmt: skip
# The axis of noise variances, in the arrays that have one.
_LEVEL_AXES = {
  "noise_variances": 0, "low_res": 0, "super_res": 1, "predicted": 1,
  **dict.fromkeys(PER_IMAGE, 1),
}  # fmt: skip
# What tells members apart beside their seed, as in rows.
_WEIGHTS = ("l2", "loss_weight")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
  """B test images and what the networks get to see of them.

  Attributes:
    positions: of the images in the test split, int64 [B].
    labels: int64 [B].
    noise_variances: float64 [V].
    high_res: float32 [B, H, W, C].
    low_res: float32 [V, B, h, w, C].
  """

  positions: np.ndarray
  labels: np.ndarray
  noise_variances: np.ndarray
  high_res: np.ndarray
  low_res: np.ndarray


def per_image_path(
  folder: pathlib.Path, method: str, split: str
) -> pathlib.Path:
  """The file of what each image scored."""
  return folder / "per_image" / f"{method}_{split}.npz"


def examples_path(folder: pathlib.Path, method: str) -> pathlib.Path:
  """The file of example images."""
  return folder / "examples" / f"{method}.npz"


def write_per_image(
  folder: pathlib.Path,
  *,
  method: str,
  split: str,
  members: Sequence[Mapping[str, Any]],
  noise_variances: Sequence[float],
  scores: Mapping[str, np.ndarray],
) -> None:
  """Writes what each image scored.

  Args:
    folder: the run folder.
    method: as in rows.
    split: as in rows.
    members: the fields seed, l2, loss_weight and step of each member's rows.
    noise_variances: V of them.
    scores: {metric: [M, V, N]} in the order of the split; of these, those in
      PER_IMAGE are kept.
  """
  arrays = {name: scores[name] for name in PER_IMAGE if name in scores}
  _write(
    per_image_path(folder, method, split),
    members,
    noise_variances=np.asarray(noise_variances, np.float64),
    **{name: value.astype(np.float32) for name, value in arrays.items()},
  )


def write_examples(
  folder: pathlib.Path,
  *,
  method: str,
  members: Sequence[Mapping[str, Any]],
  examples: Examples,
  super_res: np.ndarray,
  predicted: np.ndarray | None,
) -> None:
  """Writes the images, their inputs and what a method made of them.

  Args:
    folder: the run folder.
    method: as in rows.
    members: as in `write_per_image`.
    examples: the images.
    super_res: [M, V, B, H, W, C].
    predicted: classes [M, V, B], or None without a classifier.
  """
  outputs: dict[str, Any] = {"super_res": super_res.astype(np.float32)}
  if predicted is not None:
    outputs["predicted"] = predicted.astype(np.int64)
  _write(
    examples_path(folder, method),
    members,
    **{
      field.name: getattr(examples, field.name)
      for field in dataclasses.fields(examples)
    },
    **outputs,
  )


def _write(
  path: pathlib.Path, members: Sequence[Mapping[str, Any]], **arrays: Any
) -> None:
  """Replaces a file at once, unless it is of later weights."""
  step = np.array([member["step"] for member in members], np.int64)
  try:
    old = read(path) or {}
  except errors.UserError:
    old = {}
  old_step = old.get("step", np.empty(0, np.int64))
  if old_step.shape == step.shape and np.any(old_step > step):
    return
  seeds = [member["seed"] for member in members]
  of_members = {
    "members_seed": np.array([-1 if s is None else s for s in seeds], np.int64),
    # None becomes NaN.
    **{
      f"members_{name}": np.array([m[name] for m in members], np.float64)
      for name in _WEIGHTS
    },
    "step": step,
  }
  with files.replacing(path) as file:
    np.savez(file, **_with_levels_of(old, {**of_members, **arrays}))


def _with_levels_of(
  old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]
) -> Mapping[str, Any]:
  """New arrays and, at noise variances that only the old have, those.

  Where they are of other members or images, the new arrays as they are.
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
    if axis is None:
      if not np.array_equal(old[name], value, equal_nan=True):
        return new
      merged[name] = value
      continue
    try:
      joined = np.concatenate([value, np.take(old[name], left, axis)], axis)
    except ValueError:  # Of another number of images.
      return new
    merged[name] = np.take(joined, order, axis)
  return merged


def read(path: pathlib.Path) -> dict[str, np.ndarray] | None:
  """The arrays of a file, None where there is none.

  Raises:
    UserError: if the file cannot be read.
  """
  try:
    # Not by its name: NumPy leaves a damaged file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
      return dict(arrays)
  except FileNotFoundError:
    return None
  except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
    raise errors.UserError(f"{path} cannot be read: {error}") from error


def place_of(
  arrays: Mapping[str, np.ndarray],
  *,
  seed: int | None,
  l2: float | None,
  loss_weight: float | None,
) -> int | None:
  """The place of a member on the member axis, None where it is not there.

  Files that were written before members had an L2 are of none.
  """
  seeds = arrays["members_seed"]
  is_member = seeds == (-1 if seed is None else seed)
  for name, weight in zip(_WEIGHTS, (l2, loss_weight), strict=True):
    weights = arrays.get(f"members_{name}", np.full(seeds.shape, np.nan))
    wanted = np.nan if weight is None else weight
    is_member &= np.isclose(weights, wanted, 1e-6, 1e-12, equal_nan=True)
  places = np.flatnonzero(is_member)
  return int(places[0]) if len(places) else None
