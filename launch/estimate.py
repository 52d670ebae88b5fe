"""How long a sweep will take, from the speeds of its own runs.

A run's work is counted in steps of a member, and its seconds are all that
passed, compiling, evaluating and saving among them.
"""

import collections
import json
import pathlib
from collections.abc import Iterable

import tqdm

from launch import jobs as jobs_lib
from sr2_jax import files


class Speeds:
  """Seconds that a step of a member has taken, by kind of network.

  Args:
    path: a file that keeps them from one start of a sweep to the next.
  """

  def __init__(self, path: pathlib.Path) -> None:
    self._path = path
    self._seconds: dict[str, float] = collections.defaultdict(float)
    self._steps: dict[str, float] = collections.defaultdict(float)
    try:
      for kind, (seconds, steps) in json.loads(path.read_text()).items():
        self._seconds[kind], self._steps[kind] = float(seconds), float(steps)
    except (OSError, ValueError, TypeError, AttributeError):
      pass  # Nothing is lost but an estimate.

  def add(self, kind: str, seconds: float, member_steps: float) -> None:
    """Counts what a kind has taken."""
    self._seconds[kind] += seconds
    self._steps[kind] += member_steps

  def save(self) -> None:
    """Writes the file."""
    both = {
      kind: (round(seconds, 3), self._steps[kind])
      for kind, seconds in sorted(self._seconds.items())
    }
    files.write_atomically(self._path, json.dumps(both, indent=1).encode())

  def is_known(self, kind: str) -> bool:
    """Whether steps of this kind have been measured."""
    return self._steps[kind] > 0

  def seconds_per_step(self, kind: str) -> float | None:
    """Of the kind, else the mean over all kinds measured, else None."""
    if self.is_known(kind):
      return self._seconds[kind] / self._steps[kind]
    known = [k for k, steps in self._steps.items() if steps > 0]
    if not known:
      return None
    # Over steps and not over kinds: what has run longest says most.
    return sum(self._seconds[k] for k in known) / sum(
      self._steps[k] for k in known
    )


def overall(jobs: Iterable[jobs_lib.Job], speeds: Speeds) -> str:
  """How much of all steps is done, how long the rest takes, and by what."""
  done = total = seconds = guessed = 0.0
  is_known, uncounted = True, 0
  for job in jobs:
    parts = jobs_lib.parts(job)
    if parts is None:
      uncounted += 1
      continue
    of_phases = jobs_lib.steps_done(job)
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
    text += f", about {duration(seconds)} left at the speeds measured here"
    if guessed > 0.005 * seconds:
      text += f" ({100 * guessed / seconds:.0f} % of it for kinds not yet run)"
  if uncounted:
    text += f"; {uncounted} runs not counted, their images are not known yet"
  return text


def duration(seconds: float) -> str:
  """As 0:05 min, 12:34 min or 3:04:05 h."""
  text = tqdm.tqdm.format_interval(round(seconds)).removeprefix("0")
  return f"{text} {'h' if round(seconds) >= 3600 else 'min'}"
