"""What was measured, in memory and as a JSON file."""

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
    ours: our number in the row's unit, None where there is none.
    theirs: the number of PyTorch, or of what else the row compares with.
    ratio: how many times as good ours is.
    samples: {what: raw values}, each name ends with the unit of its values.
    note: how it was measured, for the reader of the table.
    error: why there is no number, in one line.
    seconds: that the measurement took.
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
  """All of one call of `benchmarks.run`.

  Attributes:
    machine: where and when, `machine.describe()`.
    is_quick: whether with --quick.
    rows: by name, those that were measured.
  """

  machine: dict[str, Any]
  is_quick: bool
  rows: dict[str, Measurement]

  def write(self, path: str | os.PathLike[str]) -> None:
    """Replaces the file."""
    text = json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)
    files.write_atomically(path, text.encode() + b"\n")


def read(path: str | os.PathLike[str]) -> Record:
  """Reads a file that `Record.write` wrote.

  Raises:
    ValueError: it is another kind of file.
    OSError: it cannot be read.
  """
  try:
    fields = json.loads(pathlib.Path(path).read_text())
    rows = {
      name: Measurement(**measurement)
      for name, measurement in fields.pop("rows").items()
    }
    return Record(**fields, rows=rows)
  except (TypeError, KeyError, AttributeError) as error:
    raise ValueError(f"{path} holds no benchmark results: {error}") from error


def versus(
  ours: Sequence[float], theirs: Sequence[float], *, per_second: float = 0.0
) -> Measurement:
  """Compares the seconds that both took, round by round.

  The ratio is the median of the rounds' ratios, in which a machine that slows
  down or speeds up for a while counts on both sides.

  Args:
    ours: seconds in each round.
    theirs: seconds in the same rounds.
    per_second: what was done in these seconds, such as 64 images: the numbers
      are then so many per second; otherwise they are the seconds themselves.
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
  """Of the ratios that there are; None where there is none."""
  ratios = [m.ratio for m in measurements if m.ratio is not None]
  return statistics.geometric_mean(ratios) if ratios else None
