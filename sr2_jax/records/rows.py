"""The rows that every table and figure is drawn from; no JAX.

`results.jsonl` holds one row a line, each with one number. Two rows with the
same key (every field but `value` and `n`) are the same measurement: the later
one replaces the earlier. A number that is not finite is null in the file.
"""

import dataclasses
import json
import math
import numbers
import os
import pathlib
from collections.abc import Iterable
from typing import Any

from sr2_jax import errors, files, names

FILE_NAME = "results.jsonl"

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

_STRINGS = (
  "experiment", "method", "dataset", "split", "phase", "metric",
  "corruption",
)  # fmt: skip
_INTEGERS = ("scale", "shared_layers", "seed", "step", "n")
_FLOATS = (
  "l2", "loss_weight", "noise_variance", "corruption_level", "value",
)  # fmt: skip
# Rows written before there were these lack them.
_LATER = ("l2", "corruption", "corruption_level")
# What rows of one member's weights differ in; `step` tells these weights apart.
_OF_A_MEASUREMENT = (
  "step", "noise_variance", "corruption", "corruption_level", "metric",
  "value", "n",
)  # fmt: skip
_OPTIONAL = ("shared_layers", "loss_weight", "seed", *_LATER)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Member:
  """Which weights numbers are of: one network of a population.

  Attributes:
    seed: of its training; None for a method that a run does not train.
    l2: weight of L2 regularization; None likewise.
    loss_weight: lambda of the paper's equation 1; None before `joint`.
  """

  seed: int | None = None
  l2: float | None = None
  loss_weight: float | None = None

  def is_close(self, other: "Member") -> bool:
    """Whether both are the same, up to the rounding of a file's numbers."""
    return (
      self.seed == other.seed
      and is_close(self.l2, other.l2)
      and is_close(self.loss_weight, other.loss_weight)
    )


@dataclasses.dataclass(frozen=True)
class Condition:
  """How the evaluated low-resolution images were degraded further.

  Attributes:
    noise_variance: of the Gaussian noise; 0 with a corruption.
    corruption: a key of `names.CORRUPTIONS`, applied instead of the noise, or
      None.
    level: the corruption's level, or None.
  """

  noise_variance: float = 0.0
  corruption: str | None = None
  level: float | None = None

  def is_close(self, other: "Condition") -> bool:
    """Whether both are the same, up to the rounding of a file's numbers."""
    return (
      self.corruption == other.corruption
      and is_close(self.noise_variance, other.noise_variance)
      and is_close(self.level, other.level)
    )


def is_close(a: float | None, b: float | None) -> bool:
  """Whether two numbers of rows, or None, are the same up to rounding."""
  if a is None or b is None:
    return a is b
  return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """One number of one network (or of bicubic) at one level of noise.

  Bicubic interpolation has no training: method "bicubic", phase "none", step 0,
  and None for shared_layers, l2, loss_weight and seed. Raises ValueError on a
  field of the wrong type, on an unknown metric or corruption, and where only
  one of the two fields of a corruption is set.

  Attributes:
    experiment: `config.experiment`.
    method: a key of `names.METHODS`, or of another version's.
    dataset: `config.data.name`.
    split: "validation" or "test".
    scale: super-resolution factor.
    shared_layers: layers that both branches share.
    l2: weight of L2 regularization; None in old rows as well.
    loss_weight: lambda of the paper's equation 1; None before `joint`, and 0
      where joint has no classifier.
    seed: the member's seed.
    phase: "pretrain", "joint" or "none".
    step: training steps done in that phase.
    noise_variance: of the Gaussian noise on low-resolution images in [0, 1];
      the configured float, not its float32 neighbour. 0 with a corruption.
    corruption: a key of `names.CORRUPTIONS`, applied instead of the noise, or
      None.
    corruption_level: variance of the multiplicative noise (speckle), part of
      the pixels (salt_and_pepper), photons at full white (poisson), quality
      from 1 to 100 (jpeg), or width of the Gaussian before the anti-aliasing,
      over that in training (blur).
    metric: a key of `names.METRICS`.
    value: mean over the images.
    n: number of images.
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
  noise_variance: float
  corruption: str | None = None
  corruption_level: float | None = None
  metric: str
  value: float
  n: int

  def __post_init__(self) -> None:
    # NumPy's scalars become Python's, so that a row equals its read-back copy.
    for name in _INTEGERS:
      self._convert(name, numbers.Integral, int)
    for name in _FLOATS:
      self._convert(name, numbers.Real, float)
    for name in _STRINGS:
      self._convert(name, str, str)
    if self.metric not in names.METRICS:
      raise ValueError(
        f"unknown metric {self.metric!r}; the metrics are "
        f"{', '.join(names.METRICS)}"
      )
    if self.corruption not in (None, *names.CORRUPTIONS):
      raise ValueError(
        f"unknown corruption {self.corruption!r}; there are "
        f"{', '.join(names.CORRUPTIONS)}"
      )
    if (self.corruption is None) != (self.corruption_level is None):
      raise ValueError("corruption and corruption_level go together")

  def _convert(self, name: str, kind: type, target: type) -> None:
    value = getattr(self, name)
    if value is None and name in _OPTIONAL:
      return
    if not isinstance(value, kind) or isinstance(value, bool):
      raise ValueError(f"{name} is {value!r}, not of type {target.__name__}")
    object.__setattr__(self, name, target(value))

  @property
  def member(self) -> Member:
    """Which weights of its method the number is of."""
    return Member(seed=self.seed, l2=self.l2, loss_weight=self.loss_weight)

  @property
  def condition(self) -> Condition:
    """How the images were degraded further."""
    return Condition(
      self.noise_variance, self.corruption, self.corruption_level
    )

  @property
  def key(self) -> tuple[Any, ...]:
    """Every field but value and n: what a new row replaces."""
    return self.without("value", "n")

  def without(self, *fields: str) -> tuple[Any, ...]:
    """Every field but these."""
    return tuple(getattr(self, name) for name in FIELDS if name not in fields)


FIELDS = tuple(field.name for field in dataclasses.fields(Row))


def read(paths: Paths) -> list[Row]:
  """Rows of one or several run folders or files, in the order they stand there.

  Args:
    paths: a run folder, a folder of run folders or a file of rows, or several.

  Raises:
    UserError: where there are no rows, naming the file and line of a damaged
      one, or two files that measured the same and differ.
  """
  return [row for row, _ in read_with_files(paths)]


def read_with_files(paths: Paths) -> list[tuple[Row, pathlib.Path]]:
  """The same rows, each with the file that it stands in."""
  if isinstance(paths, str | os.PathLike):
    paths = [paths]
  found = [
    (row, file)
    for path in paths
    for file in row_files(path)
    for row in _read_file(file)
  ]
  _refuse_contradictions(found)
  return found


def _agree(a: Row, b: Row) -> bool:
  # What nobody trains may be rounded otherwise by another machine.
  is_close = math.isclose(a.value, b.value, rel_tol=1e-5, abs_tol=1e-6)
  are_nan = math.isnan(a.value) and math.isnan(b.value)
  return a.step == b.step and (is_close or are_nan)


def _refuse_contradictions(found: list[tuple[Row, pathlib.Path]]) -> None:
  """Raises UserError where two runs of one name measured the same.

  One would replace the other, or share its mean over seeds, unnoticed.
  """
  newest: dict[tuple[Any, ...], dict[pathlib.Path, Row]] = {}
  for row, file in found:
    of_files = newest.setdefault(row.without("value", "n", "step"), {})
    # A file may hold a best checkpoint's rows beside those of the last.
    if file not in of_files or row.step >= of_files[file].step:
      of_files[file] = row
  for of_files in newest.values():
    (file, row), *others = of_files.items()
    for other_file, other in others:
      if not _agree(row, other):
        raise errors.UserError(
          f"{file} and {other_file} are of two runs with the same "
          f"config.experiment, {row.experiment}, and differ.\n"
          "Give one of them alone; --config.experiment tells runs apart."
        )


def merge(path: str | os.PathLike[str], rows: Iterable[Row]) -> None:
  """Puts rows into a results file, at once and durably.

  A row with the key of one in the file takes its place; others follow at the
  end in the order given. A row of a version that did not note L2 gets that of
  the new ones of its member. A kill leaves either the old file or the new one.

  Args:
    path: the run folder or the file; created where missing.
    rows: the new rows; of two with the same key the later counts.

  Raises:
    UserError: the file has a damaged row.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    path = path / FILE_NAME
  rows = list(rows)
  l2_of = {_member(row): row.l2 for row in rows if row.l2 is not None}
  old = [
    dataclasses.replace(row, l2=l2_of.get(_member(row)))
    if row.l2 is None
    else row
    for row in (_read_file(path) if path.exists() else [])
  ]
  merged = {row.key: row for row in old}
  merged.update((row.key, row) for row in rows)
  lines = [dump(dataclasses.asdict(row)) for row in merged.values()]
  files.write_atomically(path, "".join(lines).encode())


def _member(row: Row) -> tuple[Any, ...]:
  """A member of one method on one split, whatever its step and L2."""
  return row.without("l2", *_OF_A_MEASUREMENT)


def weights(row: Row) -> tuple[Any, ...]:
  """What the rows of one member on one split have in common, but for step."""
  return row.without(*_OF_A_MEASUREMENT)


def last_steps(rows: Iterable[Row]) -> dict[tuple[Any, ...], int]:
  """The last step that there is a row of, by `weights`."""
  last: dict[tuple[Any, ...], int] = {}
  for row in rows:
    last[weights(row)] = max(row.step, last.get(weights(row), row.step))
  return last


def dump(fields: dict[str, Any]) -> str:
  """One JSON line; numbers that are not finite become null (JSON has none)."""
  finite = {
    name: None
    if isinstance(value, float) and not math.isfinite(value)
    else value
    for name, value in fields.items()
  }
  return json.dumps(finite, allow_nan=False, ensure_ascii=False) + "\n"


def row_files(path: str | os.PathLike[str]) -> list[pathlib.Path]:
  """The files of rows that a path on the command line means.

  Raises:
    UserError: where there are none.
  """
  path = pathlib.Path(path)
  if path.is_file():
    return [path]
  if not path.is_dir():
    raise errors.UserError(
      f"{path}: no such file or folder.\n"
      "Give the run folder of a run, its --workdir."
    )
  if (path / FILE_NAME).is_file():
    return [path / FILE_NAME]
  found = sorted(path.rglob(FILE_NAME))
  if not found:
    raise errors.UserError(
      f"{path}: no {FILE_NAME} in it.\n"
      "The first evaluation of a run writes it; other files of rows have to be "
      "named."
    )
  return found


def _read_file(path: pathlib.Path) -> list[Row]:
  lines = path.read_bytes().splitlines()
  return [_parse(path, number, line) for number, line in enumerate(lines, 1)]


def _parse(path: pathlib.Path, number: int, line: bytes) -> Row:
  try:
    fields = json.loads(line)
    if not isinstance(fields, dict) or not (
      set(FIELDS) - set(_LATER) <= set(fields) <= set(FIELDS)
    ):
      raise ValueError(f"not a row with exactly {', '.join(FIELDS)}")
    if fields["value"] is None:
      fields["value"] = math.nan
    return Row(**fields)
  except ValueError as error:  # JSON's and Unicode's errors are ValueErrors.
    raise errors.UserError(
      f"{path}:{number}: no row, or a damaged one ({error}).\n"
      "If it is a run's, delete that line and evaluate again (--mode=eval)."
    ) from error
