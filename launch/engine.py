"""The interface of an engine, which runs the jobs of a sweep.

`local` implements it.
"""

import contextlib
import dataclasses
import enum
import pathlib
import signal
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Protocol

from launch import jobs as jobs_lib
from sr2_jax import errors


class State(enum.StrEnum):
  """How a job ended."""

  FINISHED = "finished"
  FINISHED_BEFORE = "finished before"
  DIVERGED = "diverged"
  IN_USE = "in use"
  FAILED = "failed"
  SKIPPED = "skipped"
  STOPPED = "stopped"
  NOT_STARTED = "not started"


@dataclasses.dataclass(frozen=True)
class Rule:
  """What an exit code of a run means for its job.

  Attributes:
    state: of the job.
    then: what the sweep does, in words.
  """

  state: State
  then: str


# A code that is not here is a crash.
RULES: dict[int, Rule] = {
  errors.DONE: Rule(State.FINISHED, "the runs that start from it are next"),
  errors.TO_FIX: Rule(State.FAILED, "it would fail again"),
  errors.DIVERGED: Rule(
    State.DIVERGED, "it is never started again; with DONE in its folder, the "
    "runs that start from it are next",
  ),
  errors.IN_USE: Rule(
    State.IN_USE, "it is started again when its folder is free"
  ),
  errors.PEER_GONE: Rule(
    State.STOPPED, "the code of the process that is gone decides; if there is "
    "none, the next sweep goes on",
  ),
  errors.INTERRUPTED: Rule(State.STOPPED, "the next sweep goes on"),
  errors.TERMINATED: Rule(State.STOPPED, "the next sweep goes on"),
}  # fmt: skip
CRASH = Rule(State.FAILED, "the next sweep goes on from its last checkpoint")


def state_after(code: int, job: jobs_lib.Job) -> State:
  """What became of a job whose run has ended with an exit code."""
  state = RULES.get(code, CRASH).state
  if state == State.DIVERGED and not job.folder.is_done:
    return State.FAILED
  return state


@dataclasses.dataclass(frozen=True)
class Outcome:
  """A job's end.

  Attributes:
    name: name of the run.
    state: how it ended, in a word.
    seconds: time in this sweep; None if it was not started.
    reason: why it has not finished.
  """

  name: str
  state: State
  seconds: float | None = None
  reason: str = ""

  @property
  def is_good(self) -> bool:
    """Whether the run has finished, now or before, if not all its members."""
    return self.state in (
      State.FINISHED, State.FINISHED_BEFORE, State.DIVERGED,
    )  # fmt: skip


class Signals:
  """The signals to stop that have arrived so far."""

  def __init__(self) -> None:
    self.received: list[int] = []

  @contextlib.contextmanager
  def listening(self) -> Iterator[None]:
    """Catches Ctrl-C, SIGTERM and the end of the terminal."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
      numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, self._catch) for number in numbers}
    try:
      yield
    finally:
      for number, handler in before.items():
        signal.signal(number, handler)

  def _catch(self, number: int, _: FrameType | None) -> None:
    self.received.append(number)


class Engine(Protocol):
  """A function that runs every job that has not finished.

  It goes on past jobs that fail, but skips those that start from them. Jobs
  with mode "eval" are all run.
  """

  def __call__(
    self,
    jobs: Sequence[jobs_lib.Job],
    workdir: pathlib.Path,
    *,
    signals: Signals,
  ) -> list[Outcome]:
    """Runs the jobs and returns their outcomes, in the same order.

    Args:
      jobs: a job's source is before it, or left out.
      workdir: for logs and whatever else the engine keeps.
      signals: already listening. The first one ends the sweep once the running
        jobs, which get every signal, have ended.
    """
    ...
