"""How long a run takes, timing.jsonl; no JAX.

Each line has `start` (which start of the run, from 0), `time` (UTC), `kind`,
`phase`, `step` (done in that phase) and `phase_seconds` (since this start began
the phase, everything included). Kinds are "train" with `images_per_second`,
"validation" and "evaluation" with their own `seconds`, and "end" of the phase.
Nothing is ever cut off, so time that a kill wasted counts as well.
"""

import contextlib
import datetime
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

from sr2_jax import files, json_files
from sr2_jax.records import json_lines

FILE_NAME = "timing.jsonl"


class TimingLog:
  """Appends lines about the time that a run takes.

  Args:
    workdir: the run folder.
    active: False makes every method do nothing: for all processes but one.
  """

  def __init__(
    self, workdir: str | os.PathLike[str], *, active: bool = True
  ) -> None:
    self._path = pathlib.Path(workdir) / FILE_NAME
    self._active = active
    self._start: int | None = None
    self._phase = ""
    self._phase_began = 0.0

  def begin(self, phase: str) -> None:
    """Starts the clock of a phase."""
    self._phase, self._phase_began = phase, time.monotonic()

  def write(self, kind: str, step: int, **values: float) -> None:
    """Appends a line about the phase that has begun."""
    if not self._active:
      return
    if self._start is None:
      self._start = 1 + max(
        (line["start"] for line in read(self._path)), default=-1
      )
    line = {
      "start": self._start,
      "time": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
      "kind": kind,
      "phase": self._phase,
      "step": step,
      "phase_seconds": round(time.monotonic() - self._phase_began, 3),
      **{name: round(float(value), 3) for name, value in values.items()},
    }
    # A line that a kill has torn stays alone on its own.
    with (
      files.naming(self._path),
      files.open_to_append(self._path) as file,
    ):
      is_torn = False
      if file.tell():
        file.seek(-1, os.SEEK_END)
        is_torn = file.read(1) != b"\n"
      file.write(b"\n" * is_torn + json_lines.dump(line).encode())

  @contextlib.contextmanager
  def timed(self, kind: str, step: int) -> Iterator[None]:
    """Writes a line with the seconds that the block takes."""
    began = time.monotonic()
    yield
    self.write(kind, step, seconds=time.monotonic() - began)


def read(path: pathlib.Path) -> list[dict[str, Any]]:
  """The lines of a file, without those that a kill or a hand has damaged.

  Raises:
    UserError: if the file cannot be read.
  """
  found = []
  for line in json_lines.read_lines(path):
    with contextlib.suppress(ValueError, LookupError, TypeError):
      fields = json_lines.parse(line)
      found.append(
        {
          **fields,
          "start": json_files.whole(fields["start"]),
          "phase": str(fields["phase"]),
          "phase_seconds": float(fields["phase_seconds"]),
        }
      )
  return found


def seconds_of_phases(path: pathlib.Path) -> dict[str, float]:
  """Wall time of each phase, over all starts of a run."""
  longest: dict[tuple[int, str], float] = {}
  for line in read(path):
    key = line["start"], line["phase"]
    longest[key] = max(line["phase_seconds"], longest.get(key, 0.0))
  total: dict[str, float] = {}
  for (_, phase), seconds in longest.items():
    total[phase] = total.get(phase, 0.0) + seconds
  return total
