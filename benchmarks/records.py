"""Measurements, in memory and as a JSON file."""

import dataclasses
import json
import os
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any

from sr2_jax import files


@dataclasses.dataclass(frozen=True)
class Measurement:
  """The outcome of one row.

  Attributes:
    ours: our number in the row's unit; None if there is none.
    theirs: the number of PyTorch, or of the row's other comparison.
    ratio: how many times as good our number is.
    samples: raw values by name; each name ends with the unit of its values.
    note: explains the measurement to the reader of the table.
    error: one line on why there is no number.
    seconds: duration of the measurement.
  """

  ours: float | None = None
  theirs: float | None = None
  ratio: float | None = None
  samples: dict[str, Any] = dataclasses.field(default_factory=dict)
  note: str = ""
  error: str = ""
  seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Record:
  """Results of one call of `benchmarks.run`.

  Attributes:
    machine: machine and time, from `machine.describe()`.
    is_quick: whether --quick was given.
    rows: measurements by the name of their row.
  """

  machine: dict[str, Any]
  is_quick: bool
  rows: dict[str, Measurement]

  def write(self, path: str | os.PathLike[str]) -> None:
    """Writes the JSON file, atomically."""
    text = json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)
    files.write_atomically(path, text.encode() + b"\n")


def read(path: str | os.PathLike[str]) -> Record:
  """Record from a file that `Record.write` wrote.

  Raises:
    ValueError: if it is another kind of file.
    OSError: if it cannot be read.
  """
  try:
    fields = json.loads(pathlib.Path(path).read_text())
    rows = {
      name: Measurement(**measurement)
      for name, measurement in fields.pop("rows").items()
    }
    return Record(**fields, rows=rows)
  except (TypeError, KeyError, AttributeError) as error:
    raise ValueError(f"{path} has no benchmark results: {error}") from error


def versus(
  ours: Sequence[float], theirs: Sequence[float], *, per_second: float = 0.0
) -> Measurement:
  """Comparison of the seconds that both sides took, round by round.

  The ratio is the median of the rounds' ratios. Within a round, a machine that
  slows down for a while slows down both sides.

  Args:
    ours: our seconds in each round.
    theirs: their seconds in the same rounds.
    per_second: work done in these seconds, such as 64 images; the numbers are
      then work per second. 0: the numbers are seconds.
  """

  def number(seconds: Sequence[float]) -> float:
    median = statistics.median(seconds)
    return per_second / median if per_second else median

  return Measurement(
    ours=number(ours),
    theirs=number(theirs),
    ratio=statistics.median(b / a for a, b in zip(ours, theirs, strict=True)),
    samples={"ours_s": list(ours), "theirs_s": list(theirs)},
  )


def geometric_mean(measurements: Sequence[Measurement]) -> float | None:
  """Geometric mean of the ratios that were measured; None if there are none."""
  ratios = [m.ratio for m in measurements if m.ratio is not None]
  return statistics.geometric_mean(ratios) if ratios else None
