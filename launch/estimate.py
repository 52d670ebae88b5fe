"""Estimates how long a sweep will take, from the speeds of its own runs.

Work is counted in steps of one member. Seconds include compiling, evaluating
and saving.
"""

import collections
import json
import math
import pathlib
import re
import time
from collections.abc import Iterable
from typing import Self

import tqdm

from launch import jobs as jobs_lib
from launch import slices, status
from sr2_jax import files, json_files

_SECONDS_BETWEEN_SAMPLES = 5.0


class Speeds:
  """Seconds that a member's step has taken, by kind of network.

  Args:
    path: a file that keeps them between starts of a sweep.
  """

  def __init__(self, path: pathlib.Path) -> None:
    self._path = path
    self._seconds: dict[str, float] = collections.defaultdict(float)
    self._steps: dict[str, float] = collections.defaultdict(float)
    try:
      for kind, both in json_files.read(path).items():
        seconds, steps = map(float, both)
        if 0 <= seconds < math.inf and 0 <= steps < math.inf:
          self._seconds[kind], self._steps[kind] = seconds, steps
    except (OSError, ValueError, TypeError, AttributeError):
      pass  # Only an estimate is lost.

  @classmethod
  def of(cls, workdir: pathlib.Path, slice_: slices.Slice | None) -> Self:
    """The speeds of a sweep, on such slices or on this machine."""
    return cls.named(workdir, slice_.name if slice_ else "")

  @classmethod
  def named(cls, workdir: pathlib.Path, name: str) -> Self:
    """The same, by the name of the slice; "" is this machine."""
    suffix = f".{re.sub(r'[^A-Za-z0-9]+', '-', name)}" if name else ""
    return cls(workdir / f"speeds{suffix}.json")

  def add(self, kind: str, seconds: float, member_steps: float) -> None:
    """Adds seconds and steps to a kind's."""
    self._seconds[kind] += seconds
    self._steps[kind] += member_steps

  def save(self) -> None:
    """Writes all speeds to the file."""
    both = {
      kind: (round(seconds, 3), self._steps[kind])
      for kind, seconds in sorted(self._seconds.items())
    }
    files.write_atomically(self._path, json.dumps(both, indent=1).encode())

  def is_known(self, kind: str) -> bool:
    """Whether steps of this kind have been measured."""
    return self._steps[kind] > 0

  def seconds_per_step(self, kind: str) -> float | None:
    """The kind's; if it has none, the mean of all kinds; if none has, None."""
    if self.is_known(kind):
      return self._seconds[kind] / self._steps[kind]
    known = [k for k, steps in self._steps.items() if steps > 0]
    if not known:
      return None
    # A mean over steps, not kinds: what has run longest counts most.
    return sum(self._seconds[k] for k in known) / sum(
      self._steps[k] for k in known
    )


class Meter:
  """Measures the speed of a running job.

  Args:
    job: that has just been started.
    speeds: get what is measured.
    fraction: of the machine that the job has. A step that takes a second on
      half of it counts as half a second, so that speeds are the machine's.
  """

  def __init__(
    self, job: jobs_lib.Job, speeds: Speeds, *, fraction: float = 1.0
  ) -> None:
    self._job = job
    self._speeds = speeds
    self._fraction = fraction
    self._done = status.steps_done(job)
    self._sampled_at = time.monotonic()

  def sample(self, now: float, *, is_last: bool = False) -> None:
    """Adds the steps since the last sample, every few seconds.

    Time without steps is charged to the next unfinished phase, else the last.

    Args:
      now: of `time.monotonic`.
      is_last: adds them now.
    """
    seconds = now - self._sampled_at
    # Evaluating takes no steps, so it has no speed.
    if self._job.mode != "train" or not (
      is_last or seconds >= _SECONDS_BETWEEN_SAMPLES
    ):
      return
    before, after = self._done, status.steps_done(self._job)
    parts = status.parts(self._job) or []
    moved = [p for p in parts if after[p.phase] > before.get(p.phase, 0)]
    unfinished = [p for p in parts if after[p.phase] < p.num_steps]
    for part in moved or (unfinished or parts[-1:])[:1]:
      steps = max(after[part.phase] - before.get(part.phase, 0), 0)
      share = seconds * self._fraction / max(len(moved), 1)
      self._speeds.add(part.kind, share, steps * part.num_members)
    self._done, self._sampled_at = after, now


def seconds_left(job: jobs_lib.Job, speeds: Speeds) -> float | None:
  """Until a job has finished; None if its speed is not known."""
  parts, seconds = status.parts(job), 0.0
  if parts is None:
    return None
  done = status.steps_done(job)
  for part in parts:
    rest = max(part.num_steps - done.get(part.phase, 0), 0) * part.num_members
    speed = speeds.seconds_per_step(part.kind)
    if speed is None and rest:
      return None
    seconds += rest * (speed or 0)
  return seconds


def overall(
  jobs: Iterable[jobs_lib.Job], speeds: Speeds, *, at_once: int = 1
) -> str:
  """The part of all steps that is done, the time left, and its basis.

  Args:
    jobs: all of a sweep.
    speeds: measured where they run.
    at_once: that many run side by side.
  """
  done = total = seconds = guessed = 0.0
  is_known, uncounted = True, 0
  for job in jobs:
    parts = status.parts(job)
    if parts is None:
      uncounted += 1
      continue
    of_phases = status.steps_done(job)
    for part in parts:
      steps = min(of_phases.get(part.phase, 0), part.num_steps)
      done += steps * part.num_members
      total += part.num_steps * part.num_members
      rest = (part.num_steps - steps) * part.num_members
      speed = speeds.seconds_per_step(part.kind)
      if speed is None:
        is_known = is_known and not rest
        continue
      seconds += rest * speed
      guessed += 0 if speeds.is_known(part.kind) else rest * speed
  text = f"{100 * done / total:.0f} % of all steps done" if total else ""
  if not is_known:
    text += ", time left unknown before the first steps"
  elif total:
    left = duration(seconds / at_once)
    text += f", about {left} left at the speeds measured here"
    text += f", {at_once} at once" if at_once > 1 else ""
    if guessed > 0.005 * seconds:
      text += f" ({100 * guessed / seconds:.0f} % of it for kinds not yet run)"
  if uncounted:
    text += f"; {uncounted} runs not counted: their images are not known yet"
  return text


def duration(seconds: float) -> str:
  """Seconds as 0:05 min, 12:34 min or 3:04:05 h."""
  text = tqdm.tqdm.format_interval(round(seconds)).removeprefix("0")
  return f"{text} {'h' if round(seconds) >= 3600 else 'min'}"
