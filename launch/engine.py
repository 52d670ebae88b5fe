"""The interface of an engine, which runs the jobs of a sweep.

`local` implements it. What all engines ask and answer is here as well.
"""

import contextlib
import dataclasses
import enum
import pathlib
import signal
from collections.abc import Container, Iterator, Mapping, Sequence
from types import FrameType
from typing import Protocol

from launch import attempts, notify, status
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


def state_after(
  end: attempts.End, *, is_stopping: bool, has_failed: bool
) -> State | None:
  """The job's state after an attempt; None if it is to be started again.

  Args:
    end: of the attempt.
    is_stopping: whether the sweep was asked to stop.
    has_failed: whether no more crashes are allowed.
  """
  match end:
    case attempts.End.FINISHED:
      return State.FINISHED
    case attempts.End.DIVERGED:
      return State.DIVERGED
    case _ if is_stopping:
      return State.STOPPED
    case attempts.End.FAILED:
      return State.FAILED
    case attempts.End.CRASHED if has_failed:
      return State.FAILED
  return None


def has_to_wait(job: jobs_lib.Job, source: Outcome) -> bool:
  """Whether a job cannot start while its source is as it is."""
  return job.mode == "train" and not source.is_good


def is_early(
  job: jobs_lib.Job, names: Container[str], outcomes: Mapping[str, Outcome]
) -> bool:
  """Whether a job is trained from one of these names without an outcome."""
  source = job.source or ""
  return job.mode == "train" and source in names and source not in outcomes


def skipped(job: jobs_lib.Job, source: Outcome) -> Outcome:
  """The outcome of a job whose source will not finish."""
  reason = f"it starts from {source.name}, which has not finished"
  return Outcome(job.name, State.SKIPPED, reason=reason)


def without_a_start(job: jobs_lib.Job) -> Outcome | None:
  """The outcome of a job that needs no start, or cannot have one."""
  try:
    if job.mode == "train" and status.is_finished(job):
      if not status.has_diverged(job):
        return Outcome(job.name, State.FINISHED_BEFORE)
      reason = f"{job.folder.path / 'DONE'} lists the members that diverged"
      return Outcome(job.name, State.DIVERGED, reason=reason)
  except errors.UserError as error:
    return Outcome(job.name, State.FAILED, reason=str(error))
  if job.mode == "eval" and not job.folder.is_done:
    reason = "it has not finished training; to train it, leave out --mode=eval"
    return Outcome(job.name, State.FAILED, reason=reason)
  return None


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
    policy: attempts.Policy,
    tell: notify.Tell,
  ) -> list[Outcome]:
    """Runs the jobs and returns their outcomes, in the same order.

    Args:
      jobs: a job's source is before it, or left out.
      workdir: for logs and whatever else the engine keeps.
      signals: already listening. The first one ends the sweep once the running
        jobs, which get every signal, have ended.
      policy: how often a job that ends early is started again.
      tell: gets a message when a job has ended for good.
    """
    ...
