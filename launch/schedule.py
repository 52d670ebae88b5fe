"""Which jobs of a sweep can start, where many run at once.

Pure: the engine says what has started and ended, and when.
"""

import datetime
import pathlib
from collections.abc import Sequence
from typing import Any

from launch import attempts, engine, events, notify, slices
from launch import jobs as jobs_lib

# Until a run is started again whose folder, or port, was in use.
_SECONDS_IN_USE = 10.0


class Schedule:
  """The jobs of a sweep, and what has become of each.

  Args:
    jobs: a job's source is before it, or left out.
    workdir: has the events of earlier sweeps, and gets new ones.
    policy: how often a job is started again.
    tell: gets a message when a job has ended for good.
  """

  def __init__(
    self,
    jobs: Sequence[jobs_lib.Job],
    workdir: pathlib.Path,
    *,
    policy: attempts.Policy,
    tell: notify.Tell = notify.nobody,
  ) -> None:
    self._jobs = {job.name: job for job in jobs}
    self._policy = policy
    self._events = events.Log(workdir, tell)
    self.tallies = attempts.tallies(events.read(workdir))
    self._running: set[str] = set()
    self._not_before: dict[str, float] = {}
    self._seconds: dict[str, float] = {}
    self.outcomes: dict[str, engine.Outcome] = {}
    for job in jobs:
      outcome = engine.without_a_start(job)
      if outcome is not None:
        self.outcomes[job.name] = outcome

  @property
  def is_over(self) -> bool:
    """Whether every job has an outcome."""
    self._skip()
    return len(self.outcomes) == len(self._jobs)

  def in_words(self) -> str:
    """How the sweep stands: "5 runs: 2 finished, 1 running, 2 waiting"."""
    num_good = sum(outcome.is_good for outcome in self.outcomes.values())
    counts = {
      "finished": num_good,
      "running": len(self._running),
      "waiting": len(self._jobs) - len(self.outcomes) - len(self._running),
      "not finished": len(self.outcomes) - num_good,
    }
    words = [f"{count} {state}" for state, count in counts.items() if count]
    total = len(self._jobs)
    return f"{total} run{'s'[: total > 1]}: {', '.join(words)}"

  def ready(self, now: float) -> list[jobs_lib.Job]:
    """The jobs that can start, in their order."""
    self._skip()
    found = []
    for job in self._jobs.values():
      if (
        job.name not in self.outcomes
        and job.name not in self._running
        and not engine.is_early(job, self._jobs, self.outcomes)
        and self._not_before.get(job.name, 0.0) <= now
      ):
        found.append(job)
    return found

  def started(
    self, job: jobs_lib.Job, place: str, slice_: slices.Slice | None = None
  ) -> None:
    """Notes that an attempt has begun, on such a slice."""
    self._running.add(job.name)
    details: dict[str, Any] = {"place": place}
    if slice_ is not None:
      details |= {"slice": slice_.name, "chips": slice_.chips}
    now = datetime.datetime.now(datetime.UTC)
    self._tally(job).started(
      place, chips=slice_.chips if slice_ else 0, began=now
    )
    self._events.add(job.name, "started", **details)

  def ended(
    self,
    job: jobs_lib.Job,
    end: attempts.End,
    *,
    now: float,
    seconds: float,
    chips: int,
    steps: int,
    codes: Sequence[int | None],
    reason: str,
    is_stopping: bool,
  ) -> str:
    """Notes how an attempt has ended; what becomes of the job, in words.

    Args:
      job: that had started.
      end: of the attempt.
      now: of the clock of `ready`.
      seconds: that it took.
      chips: that it held.
      steps: that it took.
      codes: of its processes.
      reason: what the outcome says if this is the last attempt.
      is_stopping: whether the sweep was asked to stop.
    """
    tally = self._tally(job)
    counts = {"seconds": round(seconds, 1), "chips": chips, "steps": steps}
    self._events.add(job.name, "ended", end=end, codes=list(codes), **counts)
    tally.ended(end, seconds=seconds, chips=chips, steps=steps)
    self._running.discard(job.name)
    self._seconds[job.name] = self._seconds.get(job.name, 0.0) + seconds
    state = engine.state_after(
      end,
      is_stopping=is_stopping,
      has_failed=self._policy.has_failed(tally),
    )
    if state is not None:
      if state in attempts.SETTLED:
        tally.settled(state)
        self._events.add(job.name, state)
      total = self._seconds[job.name]
      self.outcomes[job.name] = engine.Outcome(job.name, state, total, reason)
      return f"{state}"
    if end == attempts.End.IN_USE:
      self._not_before[job.name] = now + _SECONDS_IN_USE
      if not job.folder.is_claimed:
        return f"{end}, starts again in {_SECONDS_IN_USE:.0f} s"
      return f"waits for {job.folder.path}, which is in use{job.folder.owner}"
    self._not_before[job.name] = now + self._policy.pause(tally)
    return self._policy.in_words(end, tally)

  def stop(self) -> None:
    """Gives every job that does not run an outcome."""
    for name in self._jobs.keys() - self.outcomes.keys() - self._running:
      seconds = self._seconds.get(name)
      is_begun = seconds is not None
      state = engine.State.STOPPED if is_begun else engine.State.NOT_STARTED
      self.outcomes[name] = engine.Outcome(name, state, seconds)

  def in_order(self) -> list[engine.Outcome]:
    """The outcomes, in the order of the jobs."""
    return [self.outcomes[name] for name in self._jobs]

  def _tally(self, job: jobs_lib.Job) -> attempts.Tally:
    return self.tallies.setdefault(job.name, attempts.Tally())

  def _skip(self) -> None:
    """Gives jobs whose source will not finish their outcome."""
    for job in self._jobs.values():
      source = self.outcomes.get(job.source or "")
      if (
        job.name not in self.outcomes
        and source is not None
        and engine.has_to_wait(job, source)
      ):
        self.outcomes[job.name] = engine.skipped(job, source)
