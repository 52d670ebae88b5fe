"""What a sweep costs: chip-hours used and to go, and money where a price is.

A run holds all chips of its slice from its start to its end, idle ones as well.
"""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping

from launch import attempts, estimate
from launch import jobs as jobs_lib


@dataclasses.dataclass(frozen=True)
class Need:
  """What is left of a run.

  Attributes:
    seconds: until it has finished; None if nothing is known.
    is_guess: whether they are the compiler's estimate of its steps alone.
  """

  seconds: float | None
  is_guess: bool = False


@dataclasses.dataclass(frozen=True)
class ToGo:
  """Chip-hours that runs still need.

  Attributes:
    measured: at the speeds that runs here have had.
    guessed: by the TPU compiler's estimate.
    num_guessed: runs in `guessed`.
    num_unknown: runs of which nothing is known.
  """

  measured: float
  guessed: float = 0.0
  num_guessed: int = 0
  num_unknown: int = 0

  @property
  def hours(self) -> float:
    """Of both kinds."""
    return self.measured + self.guessed

  def in_words(self, price: float = 0.0) -> str:
    """As in "11.2 chip-hours to go (13.44 at 1.20 per chip-hour)"."""
    notes = [money(self.hours, price)] if price and self.hours else []
    if self.num_guessed:
      part = f"{amount(self.guessed)} of them " if self.measured else ""
      notes.append(
        f"{part}as the TPU compiler estimates the steps alone, for "
        f"{_runs(self.num_guessed)}"
      )
    if self.num_unknown:
      notes.append(
        f"unknown for {_runs(self.num_unknown)} before the first steps"
      )
    if not self.hours and self.num_unknown:
      return f"chip-hours to go {notes[-1]}"
    text = f"{amount(self.hours)} chip-hours to go"
    return f"{text} ({'; '.join(notes)})" if notes else text


def to_go(needs: Iterable[Need], chips: int) -> ToGo:
  """What runs need that each hold so many chips."""
  needs = list(needs)
  hours = {
    is_guess: sum(n.seconds or 0.0 for n in needs if n.is_guess == is_guess)
    * chips
    / 3600
    for is_guess in (False, True)
  }
  return ToGo(
    hours[False],
    hours[True],
    sum(need.is_guess and bool(need.seconds) for need in needs),
    sum(need.seconds is None for need in needs),
  )


def needs(jobs: Iterable[jobs_lib.Job], speeds: estimate.Speeds) -> list[Need]:
  """What is left of runs at measured speeds."""
  return [Need(estimate.seconds_left(job, speeds)) for job in jobs]


def used(
  tally: attempts.Tally, *, is_running: bool, now: datetime.datetime
) -> float:
  """Chip-hours of a run's attempts, with that of one that goes on.

  Args:
    tally: of the run.
    is_running: whether the last attempt goes on.
    now: with its time zone.
  """
  seconds = tally.chip_seconds
  if is_running and tally.began is not None:
    seconds += max((now - tally.began).total_seconds(), 0.0) * tally.chips
  return seconds / 3600


def total_used(
  jobs: Iterable[jobs_lib.Job],
  tallies: Mapping[str, attempts.Tally],
  *,
  now: datetime.datetime,
) -> float:
  """Chip-hours of runs so far, by events.jsonl and who works in the folders."""
  return sum(
    used(
      tallies[job.name],
      is_running=not tallies[job.name].last and job.folder.is_claimed,
      now=now,
    )
    for job in jobs
    if job.name in tallies
  )


def used_in_words(hours: float, price: float = 0.0) -> str:
  """As in "118.0 chip-hours used (141.60 at 1.20 per chip-hour)"."""
  text = f"{amount(hours)} chip-hours used"
  return f"{text} ({money(hours, price)})" if price else text


def amount(hours: float) -> str:
  """A number of hours: 0.02, 1.2 or 1,234."""
  if hours >= 100:
    return f"{hours:,.0f}"
  return f"{hours:.1f}" if hours >= 1 or not hours else f"{hours:.2f}"


def money(hours: float, price: float) -> str:
  """As in "141.60 at 1.20 per chip-hour", in the currency of the price."""
  digits = f"{price:.4f}".rstrip("0")
  per_hour = digits if len(digits.partition(".")[2]) > 2 else f"{price:.2f}"
  return f"{hours * price:,.2f} at {per_hour} per chip-hour"


def _runs(count: int) -> str:
  return f"{count} run{'s'[: count > 1]}"
