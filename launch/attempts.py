"""What becomes of a run after an attempt: the one policy of all engines.

An attempt is one start of a run, in one process or in several. How it ends
says whether the run is done, goes on, is tried again or has failed.
"""

import dataclasses
import datetime
import enum
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from sr2_jax import errors

# Seconds before a run is started again, after it has crashed once, twice, ...
PAUSES = (10.0, 60.0, 300.0)


class End(enum.StrEnum):
  """How an attempt ended."""

  FINISHED = "finished"
  DIVERGED = "diverged"
  FAILED = "failed"
  CRASHED = "crashed"
  PREEMPTED = "preempted"
  IN_USE = "in use"


# Crashes from before count no more: the run is done, or somebody has looked.
SETTLED = (End.FINISHED, End.DIVERGED, End.FAILED)


@dataclasses.dataclass(frozen=True)
class Rule:
  """What an exit code of a run means.

  Attributes:
    end: of the attempt.
    then: what the sweep does, in words.
  """

  end: End
  then: str


# A code that is not here is a crash.
RULES: dict[int, Rule] = {
  errors.DONE: Rule(End.FINISHED, "the runs that start from it are next"),
  errors.TO_FIX: Rule(End.FAILED, "it would fail again"),
  errors.DIVERGED: Rule(
    End.DIVERGED, "it is never started again; with DONE in its folder, the "
    "runs that start from it are next",
  ),
  errors.IN_USE: Rule(
    End.IN_USE, "it is started again when that is free, uncounted"
  ),
  errors.PEER_GONE: Rule(
    End.CRASHED, "the code of the process that is gone decides; if it went "
    "with its host, the run goes on elsewhere, uncounted",
  ),
  errors.INTERRUPTED: Rule(
    End.PREEMPTED, "it goes on, uncounted; if the sweep was asked to stop, the "
    "next sweep goes on",
  ),
  errors.TERMINATED: Rule(End.PREEMPTED, "the same"),
}  # fmt: skip
CRASH = Rule(
  End.CRASHED, "it goes on from its last checkpoint, --retries times; then it "
  "has failed",
)  # fmt: skip

# What decides if any process ends with it: it says why, and what the others
# end with only follows.
_DECISIVE = (errors.TO_FIX, errors.DIVERGED, errors.IN_USE)


def end_of(
  codes: Sequence[int | None], *, is_done: bool, has_stalled: bool = False
) -> tuple[End, int | None]:
  """How an attempt ended, and the exit code that says so.

  Args:
    codes: as a shell gives them, of the processes that ended unasked, first
      the one that ended first. None is a process that went with its host.
    is_done: whether DONE is in the run folder.
    has_stalled: whether the sweep has killed it because nothing moved.
  """
  for code in _DECISIVE:
    if code in codes:
      end = RULES[code].end
      is_lost = end == End.DIVERGED and not is_done
      return (End.FAILED if is_lost else end), code
  if has_stalled:
    return End.CRASHED, None
  if None in codes:
    return End.PREEMPTED, None
  telling = [code for code in codes if code not in (0, errors.PEER_GONE)]
  if telling:
    return RULES.get(telling[0] or 0, CRASH).end, telling[0]
  if errors.PEER_GONE in codes:
    return End.CRASHED, errors.PEER_GONE
  # Without DONE the processes wrote somewhere else.
  return (End.FINISHED if is_done else End.FAILED), 0


@dataclasses.dataclass(frozen=True)
class Policy:
  """How often, and when, a run is started again.

  Attributes:
    retries: of a run that crashes.
    stall: seconds without a sign of life until it is killed; 0 never.
    pauses: seconds before it is started again.
  """

  retries: int = 2
  stall: float = 0.0
  pauses: tuple[float, ...] = PAUSES

  def pause(self, tally: "Tally") -> float:
    """Seconds until the next start; 0 after an attempt that got further."""
    if not tally.in_vain:
      return 0.0
    return self.pauses[min(tally.in_vain, len(self.pauses)) - 1]

  def in_words(self, end: End, tally: "Tally") -> str:
    """What is done after an attempt that is not the last."""
    seconds = self.pause(tally)
    again = f"starts again in {seconds:.0f} s" if seconds else "starts again"
    if end == End.CRASHED:
      again += f" ({tally.crashes} of {self.retries} retries)"
    return f"{end}, {again}"

  def has_failed(self, tally: "Tally") -> bool:
    """Whether no more crashes are allowed."""
    return tally.crashes > self.retries


@dataclasses.dataclass
class Tally:
  """What a run's attempts have come to.

  Attributes:
    starts: of all sweeps.
    crashes: since it last failed or finished.
    preemptions: of all sweeps.
    in_vain: attempts in a row that crashed or took no step.
    seconds: of all attempts.
    chip_seconds: of all attempts.
    place: of the last attempt, where the engine has named it.
    chips: that the last attempt held.
    began: when it was started.
    last: how the last attempt ended; FAILED also after the last retry; "" while
      one goes on.
  """

  starts: int = 0
  crashes: int = 0
  preemptions: int = 0
  in_vain: int = 0
  seconds: float = 0.0
  chip_seconds: float = 0.0
  place: str = ""
  chips: int = 0
  began: datetime.datetime | None = None
  last: str = ""

  def started(
    self,
    place: str = "",
    *,
    chips: int = 0,
    began: datetime.datetime | None = None,
  ) -> None:
    """Counts a start."""
    self.starts += 1
    self.place, self.chips, self.began = place, chips, began
    self.last = ""

  def ended(
    self, end: str, *, seconds: float = 0.0, chips: int = 0, steps: int = 0
  ) -> None:
    """Counts an end.

    Args:
      end: an `End`.
      seconds: that the attempt took.
      chips: that it held.
      steps: that it took.
    """
    self.last = end
    self.crashes += end == End.CRASHED
    self.preemptions += end == End.PREEMPTED
    self.in_vain = 0 if steps and end != End.CRASHED else self.in_vain + 1
    self.seconds += seconds
    self.chip_seconds += seconds * chips

  def settled(self, state: str) -> None:
    """Forgets the crashes, in a state that is final."""
    self.last = state
    self.crashes = self.in_vain = 0


def tallies(events: Iterable[Mapping[str, Any]]) -> dict[str, Tally]:
  """The tally of each run that the lines of events.jsonl name."""
  found: dict[str, Tally] = {}
  for event in events:
    tally = found.setdefault(str(event["run"]), Tally())
    match event["event"]:
      case "started":
        tally.started(
          str(event.get("place", "")),
          chips=int(_number(event.get("chips"))),
          began=_time(event.get("time")),
        )
      case "ended":
        tally.ended(
          str(event.get("end", "")),
          seconds=_number(event.get("seconds")),
          chips=int(_number(event.get("chips"))),
          steps=int(_number(event.get("steps"))),
        )
      case state if state in SETTLED:
        tally.settled(state)
  return found


def _number(value: Any) -> float:
  is_number = isinstance(value, int | float) and abs(value) < math.inf
  return float(value) if is_number else 0.0


def _time(value: Any) -> datetime.datetime | None:
  """A time with its zone, as events.jsonl has it."""
  try:
    found = datetime.datetime.fromisoformat(value)
  except (TypeError, ValueError):
    return None
  return found if found.tzinfo else None


class Pulse:
  """Whether a run still shows a sign of life.

  Args:
    seconds: without one until it counts as stalled; 0 never.
    now: of a clock that does not jump.
  """

  def __init__(self, seconds: float, now: float) -> None:
    self._seconds = seconds
    self._changed_at = now
    self._seen: Hashable = None

  def has_stalled(self, seen: Hashable, now: float) -> bool:
    """Whether nothing has changed for too long.

    Args:
      seen: what changes as the run goes on, such as the sizes of its files.
      now: of the same clock.
    """
    if seen != self._seen:
      self._seen, self._changed_at = seen, now
    return bool(self._seconds) and now - self._changed_at >= self._seconds
