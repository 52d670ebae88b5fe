"""The picture of example images that a run draws after each phase."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from sr2_jax import errors, names
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import figures

# Images and noise levels in the picture.
_NUM_SHOWN = 6
_NUM_LEVELS_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Baseline:
  """A network to show beside that of a phase: its start, or its control.

  Attributes:
    folder: the run folder that holds its examples.
    method: its key.
    loss_weight: None before `joint`.
  """

  folder: pathlib.Path
  method: str
  loss_weight: float | None = None


def select(
  own: arrays_lib.Examples,
  method: str,
  *,
  folder: pathlib.Path,
  baselines: Sequence[Baseline],
  class_names: Sequence[str],
) -> tuple[figures.Grid, list[str]]:
  """Contents of the picture, and notes on what is missing in it.

  It shows an image of each of up to six classes by the first member, beside the
  untrained methods and the baselines of the same seed. A method is left out if
  it was not run on the same inputs.

  Args:
    own: the examples of the phase's method.
    method: its key.
    folder: the run folder.
    baselines: in the order of the columns.
    class_names: by label.
  """
  notes: list[str] = []
  columns = {}
  for key in names.UNTRAINED:
    found = _images(folder, key, rows_lib.Member(), like=own, notes=notes)
    if found is not None:
      columns[key] = found
  for baseline in baselines:
    member = dataclasses.replace(
      own.members[0], loss_weight=baseline.loss_weight
    )
    found = _images(
      baseline.folder, baseline.method, member, like=own, notes=notes
    )
    if found is not None:
      columns[baseline.method] = found
    else:
      notes.append(
        f"no {baseline.method} in the picture: {baseline.folder} has no "
        "examples of the same inputs"
      )
  columns[method] = own.super_res[0]
  return _cut(own, method, columns, class_names), notes


def _images(
  folder: pathlib.Path,
  method: str,
  member: rows_lib.Member,
  *,
  like: arrays_lib.Examples,
  notes: list[str],
) -> np.ndarray | None:
  """A member's images [V, B, H, W, C] if they are of the same inputs."""
  try:
    found = arrays_lib.read_examples(folder, method)
  except errors.UserError as error:
    notes.append(f"left out of the picture: {error}")
    return None
  if found is None or found.low_res is None or like.low_res is None:
    return None
  # A pretraining with one L2 starts members of any L2 (Population.origins).
  l2s = {of.l2 for of in found.members}
  if len(l2s) == 1:
    member = dataclasses.replace(member, l2=l2s.pop())
  place = found.place(member)
  if place is None or found.low_res.shape != like.low_res.shape:
    return None
  # Rounding may differ between machines.
  if not np.allclose(found.low_res, like.low_res, atol=1e-4):
    return None
  return found.super_res[place]


def _cut(
  own: arrays_lib.Examples,
  method: str,
  columns: Mapping[str, np.ndarray],
  class_names: Sequence[str],
) -> figures.Grid:
  """First images of some classes, or of one all, at a few noise variances."""
  assert own.high_res is not None
  assert own.low_res is not None
  classes, firsts = np.unique(own.labels, return_index=True)
  if len(classes) == 1:
    firsts = np.arange(len(own.labels))
  firsts = firsts[np.argsort(own.positions[firsts])]
  # Spread, because a folder's images come class by class.
  firsts = firsts[_spread(len(firsts), _NUM_SHOWN)]
  levels = levels_shown(own.noise_variances)
  shown = np.ix_(levels, firsts)
  predictions = {}
  if own.predicted is not None:
    predictions[method] = own.predicted[0][shown]
  return figures.Grid(
    high_res=own.high_res[firsts],
    labels=own.labels[firsts],
    noise_variances=own.noise_variances[levels],
    low_res=own.low_res[shown],
    columns={key: images[shown] for key, images in columns.items()},
    predictions=predictions,
    class_names=tuple(class_names),
  )


def levels_shown(noise_variances: np.ndarray) -> np.ndarray:
  """Indices of a few variances, from the lowest to the highest."""
  order = np.argsort(noise_variances)
  return order[_spread(len(order), _NUM_LEVELS_SHOWN)]


def _spread(count: int, most: int) -> np.ndarray:
  """Some of so many places, evenly, with the first and the last."""
  return np.linspace(0, count - 1, min(most, count)).round().astype(int)
