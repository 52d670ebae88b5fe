"""Rows of results, which every table and figure is drawn from; no JAX.

`results.jsonl` holds one row per line, each with one number. Two rows with the
same key (every field but those of MEASURED) are the same measurement: the later
one replaces the earlier. A value that is not finite is null in the file.
docs/rows.md explains every field.
"""

import dataclasses
import math
import os
import pathlib
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from sr2_jax import errors, files, names
from sr2_jax.records import json_lines, row_files, row_values

FILE_NAME = "results.jsonl"

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

_KNOWN = {
  "metric": names.METRICS,
  "corruption": names.CORRUPTIONS,
  "batch_norm": names.BATCH_NORMS,
}
# What was measured, and what follows from other fields or is not in old rows.
MEASURED = ("value", "n", "class_accuracy", "epochs", "pretrain_epochs")
# Fields in which the rows of one member differ.
_OF_A_MEASUREMENT = (
  *MEASURED, "step", "batch_norm", "noise_variance", "corruption",
  "corruption_level", "metric",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Member:
  """One network of a population.

  Attributes:
    seed: of its training; None for a method that a run does not train.
    l2: weight of L2 regularization; None for a method that a run does not
      train, and in old rows.
    loss_weight: lambda of the paper's equation 1; None before `joint`.

  Raises:
    ValueError: for a field of the wrong type, or a number that none can be.
  """

  seed: int | None = None
  l2: float | None = None
  loss_weight: float | None = None

  def __post_init__(self) -> None:
    kinds = {"seed": int, "l2": float, "loss_weight": float}
    for name, kind in kinds.items():
      value = getattr(self, name)
      if value is not None:
        own = row_values.read(name, kind, value)
        object.__setattr__(self, name, own)

  def is_close(self, other: "Member") -> bool:
    """Whether both are the same member, up to rounding in files."""
    return (
      self.seed == other.seed
      and is_close(self.l2, other.l2)
      and is_close(self.loss_weight, other.loss_weight)
    )


@dataclasses.dataclass(frozen=True)
class Condition:
  """Further degradation of the low-resolution images in an evaluation.

  Attributes:
    noise_variance: of the Gaussian noise on images in [0, 1]; the configured
      float, not its float32 neighbour. 0 with a corruption.
    corruption: a key of `names.CORRUPTIONS`, applied instead of the noise, or
      None.
    level: variance of the multiplicative noise (speckle), fraction of the
      pixels (salt_and_pepper), photons at full white (poisson), quality from 1
      to 100 (jpeg), or width of the Gaussian before the anti-aliasing relative
      to that in training (blur); None without a corruption.
  """

  noise_variance: float = 0.0
  corruption: str | None = None
  level: float | None = None

  def is_close(self, other: "Condition") -> bool:
    """Whether both are the same condition, up to rounding in files."""
    return (
      self.corruption == other.corruption
      and is_close(self.noise_variance, other.noise_variance)
      and is_close(self.level, other.level)
    )


def is_close(a: float | None, b: float | None) -> bool:
  """Whether two numbers of rows, or None, are equal up to rounding."""
  if a is None or b is None:
    return a is b
  return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """One metric of one network (or of bicubic interpolation) in one condition.

  Bicubic interpolation has no training: method "bicubic", phase "none", step 0,
  and None for shared_layers, l2, loss_weight and seed.

  Attributes:
    experiment: `config.experiment`.
    method: a key of `names.METHODS`, now or in another version.
    dataset: `config.data.name`.
    split: "validation" or "test".
    scale: super-resolution factor.
    shared_layers: layers that both branches share.
    l2: weight of L2 regularization; None in old rows as well.
    loss_weight: lambda of the paper's equation 1; None before `joint`, and 0
      without a classifier in `joint`.
    seed: the member's seed.
    phase: "pretrain", "joint" or "none".
    step: training steps done in that phase.
    epochs: those steps in epochs; None without training and in old rows.
    pretrain_epochs: epochs of `pretrain` before `joint`; None in other phases
      and in old rows.
    batch_norm: "reestimated" or "running", the statistics that BatchNorm had;
      None without training or BatchNorm. A trained row of a file that lacks
      the field is "running".
    noise_variance: as in `Condition`.
    corruption: as in `Condition`.
    corruption_level: `Condition.level`.
    metric: a key of `names.METRICS`.
    value: mean over the images.
    n: number of images.
    class_accuracy: part of each class that is read right, by label, which a
      balanced accuracy is the mean of; None for other metrics and in old rows.

  Raises:
    ValueError: for a field of the wrong type, an unknown metric, corruption or
      kind of statistics, or only one of the two fields of a corruption.
  """

  experiment: str
  method: str
  dataset: str
  split: str
  scale: int
  shared_layers: int | None
  l2: float | None = None
  loss_weight: float | None
  seed: int | None
  phase: str
  step: int
  epochs: float | None = None
  pretrain_epochs: int | None = None
  batch_norm: str | None = None
  noise_variance: float
  corruption: str | None = None
  corruption_level: float | None = None
  metric: str
  value: float
  n: int
  class_accuracy: row_values.OfClasses | None = None

  def __post_init__(self) -> None:
    # NumPy's scalars become Python's, so that a row equals its read-back copy.
    for name, (kind, *optional) in _TYPES.items():
      value = getattr(self, name)
      if value is None and optional:
        continue
      own = row_values.own(name, kind, value)
      object.__setattr__(self, name, own)
    for name, known in _KNOWN.items():
      if getattr(self, name) not in (None, *known):
        choices = ", ".join(known)
        raise ValueError(f"unknown {name} {getattr(self, name)!r}: {choices}")
    if (self.corruption is None) != (self.corruption_level is None):
      raise ValueError("corruption and corruption_level go together")

  @property
  def member(self) -> Member:
    """The network of its method that was measured."""
    return Member(seed=self.seed, l2=self.l2, loss_weight=self.loss_weight)

  @property
  def condition(self) -> Condition:
    """Further degradation of the images."""
    return Condition(
      self.noise_variance, self.corruption, self.corruption_level
    )

  @property
  def key(self) -> tuple[Any, ...]:
    """All fields but those of MEASURED; a row replaces one of its key."""
    return self.without(*MEASURED)

  def without(self, *fields: str) -> tuple[Any, ...]:
    """All fields but the given ones, in the order of FIELDS."""
    return tuple(getattr(self, name) for name in FIELDS if name not in fields)


# The type of each field, and NoneType after it if the field may be None.
_TYPES = {
  name: typing.get_args(kind) or (kind,)
  for name, kind in typing.get_type_hints(Row).items()
}
FIELDS = tuple(_TYPES)


def check(folder: pathlib.Path) -> None:
  """Raises UserError if a run folder has a damaged row."""
  _read_file(folder / FILE_NAME)


def read(paths: Paths) -> list[Row]:
  """Rows of one or several run folders or files, in file order.

  Args:
    paths: a run folder, a folder of run folders or a file of rows, or several.

  Raises:
    UserError: if there are no rows, or a row is damaged.
  """
  return [row for row, _ in read_with_files(paths)]


def read_with_files(paths: Paths) -> list[tuple[Row, pathlib.Path]]:
  """Rows as from `read`, each with its file."""
  if isinstance(paths, str | os.PathLike):
    paths = [paths]
  return [
    (row, file)
    for path in paths
    for file in row_files.find(path, FILE_NAME)
    for row in _read_file(file)
  ]


def merge(path: str | os.PathLike[str], rows: Iterable[Row]) -> None:
  """Merges rows into a results file, atomically and durably.

  A row replaces the one in the file with the same key; other rows are appended
  in the order given. An old row without L2 gets the L2 of the new rows of its
  member. A kill leaves either the old file or the new one.

  Args:
    path: the run folder or the file; created if missing.
    rows: the new rows; of two with the same key the later counts.

  Raises:
    UserError: if the file has a damaged row.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    path = path / FILE_NAME
  rows = list(rows)
  l2_of = {_without_l2(row): row.l2 for row in rows if row.l2 is not None}
  old = [
    dataclasses.replace(row, l2=l2_of.get(_without_l2(row)))
    if row.l2 is None
    else row
    for row in _read_file(path)
  ]
  merged = {row.key: row for row in old}
  merged.update((row.key, row) for row in rows)
  lines = [json_lines.dump(dataclasses.asdict(row)) for row in merged.values()]
  files.write_atomically(path, "".join(lines).encode())


def _without_l2(row: Row) -> tuple[Any, ...]:
  return row.without("l2", *_OF_A_MEASUREMENT)


def member_key(row: Row) -> tuple[Any, ...]:
  """Fields that all rows of one member on one split share, at any step."""
  return row.without(*_OF_A_MEASUREMENT)


def current(rows: Iterable[Row]) -> list[Row]:
  """The rows that tables and curves show, in order.

  Of a member on a split these are the rows of its last step. Of members that
  differ in nothing but their seeds they are those with re-estimated statistics,
  if there are any: a line never mixes steps or kinds of statistics.
  """
  rows = list(rows)
  last: dict[tuple[Any, ...], int] = {}
  for row in rows:
    last[member_key(row)] = max(row.step, last.get(member_key(row), 0))
  rows = [row for row in rows if row.step == last[member_key(row)]]
  reestimated = {_line_key(row) for row in rows if row.batch_norm != "running"}
  return [
    row
    for row in rows
    if row.batch_norm != "running" or _line_key(row) not in reestimated
  ]


def _line_key(row: Row) -> tuple[Any, ...]:
  return row.without("seed", *_OF_A_MEASUREMENT)


def _read_file(path: pathlib.Path) -> list[Row]:
  lines = enumerate(json_lines.read_lines(path), 1)
  return [_parse(path, number, line) for number, line in lines]


def of_fields(fields: Mapping[str, Any]) -> Row:
  """The row that has these fields in a file, of this or an older version.

  Raises:
    TypeError: for a field that is missing or unknown.
    ValueError: as `Row` does.
  """
  fields = {
    name: row_values.as_written(_TYPES.get(name, ()), x)
    for name, x in fields.items()
  }
  if fields.get("value", 0.0) is None:
    fields["value"] = math.nan
  # Before this field there was nothing but the running statistics.
  if fields.get("phase") != "none":
    fields.setdefault("batch_norm", "running")
  return Row(**fields)


def _parse(path: pathlib.Path, number: int, line: bytes) -> Row:
  try:
    return of_fields(json_lines.parse(line))
  # JSON's and Unicode's errors are ValueErrors.
  except (TypeError, ValueError) as error:
    raise errors.UserError(
      f"{path}:{number}: damaged, or not a row ({error}).\n"
      "Restore the file from a copy. Without one, take this line out of it; in "
      "a run folder, --mode=eval measures it again."
    ) from error
