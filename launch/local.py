"""Runs the jobs of a sweep on this machine, one after another.

Each is a process of its own, whose log is shown here as it grows. A run
outlives a sweep that is killed; the next sweep waits for it.
"""

import contextlib
import pathlib
import signal
import sys
import time
from collections.abc import Sequence

from launch import attempts, engine, estimate, events, host, notify, status
from launch import jobs as jobs_lib

_POLL_SECONDS = 0.1
_SECONDS_BETWEEN_OVERALL = 300.0
# A folder may be taken between the look at it and the start of a run there.
_MOST_STARTS = 3


def run(
  jobs: Sequence[jobs_lib.Job],
  workdir: pathlib.Path,
  *,
  signals: engine.Signals,
  policy: attempts.Policy,
  tell: notify.Tell = notify.nobody,
) -> list[engine.Outcome]:
  """Runs the jobs one after another, as an `engine.Engine`.

  The logs, the events and the measured speeds are kept in `workdir`.
  """
  sweep = _Sweep(jobs, workdir, signals=signals, policy=policy, tell=tell)
  outcomes: dict[str, engine.Outcome] = {}
  for number, job in enumerate(jobs, 1):
    source = outcomes.get(job.source or "")
    if signals.received:
      outcome = engine.Outcome(job.name, engine.State.NOT_STARTED)
    elif source is not None and engine.has_to_wait(job, source):
      outcome = engine.skipped(job, source)
    else:
      outcome = sweep.run(job, f"[{number}/{len(jobs)}] {job.name}")
    outcomes[job.name] = outcome
    if outcome.reason:
      _say(f"{job.name} {outcome.state}: {outcome.reason}")
  return list(outcomes.values())


class _Sweep:
  """What the jobs of a sweep have in common."""

  def __init__(
    self,
    jobs: Sequence[jobs_lib.Job],
    workdir: pathlib.Path,
    *,
    signals: engine.Signals,
    policy: attempts.Policy,
    tell: notify.Tell,
  ) -> None:
    self._jobs = jobs
    self._workdir = workdir
    self._signals = signals
    self._policy = policy
    self._speeds = estimate.Speeds.of(workdir, None)
    self._events = events.Log(workdir, tell)
    self._tallies = attempts.tallies(events.read(workdir))

  def run(self, job: jobs_lib.Job, title: str) -> engine.Outcome:
    """Starts a job, again if need be, until it has finished or failed."""
    tally = self._tallies.setdefault(job.name, attempts.Tally())
    seconds, num_taken = None, 0
    while True:
      self._wait_for_folder(job, title)
      if self._signals.received:
        is_begun = seconds is not None
        state = engine.State.STOPPED if is_begun else engine.State.NOT_STARTED
        return engine.Outcome(job.name, state, seconds)
      outcome = engine.without_a_start(job)
      if outcome is not None:
        return outcome
      self._say_progress(job, title)
      end, took, reason = self._attempt(job, tally)
      seconds = took + (seconds or 0)
      num_taken += end == attempts.End.IN_USE
      state = engine.state_after(
        end,
        is_stopping=bool(self._signals.received),
        has_failed=self._policy.has_failed(tally),
      )
      if state is None and num_taken == _MOST_STARTS:
        state = engine.State.IN_USE
      if state is not None:
        if state in attempts.SETTLED:
          tally.settled(state)
          self._events.add(job.name, state)
        return engine.Outcome(job.name, state, seconds, reason)
      if end != attempts.End.IN_USE:
        _say(f"{job.name} {self._policy.in_words(end, tally)}: {reason}")
        self._sleep(self._policy.pause(tally))

  def _wait_for_folder(self, job: jobs_lib.Job, title: str) -> None:
    if job.folder.is_claimed:
      _say(
        f"{title}: a run is still at work in {job.folder.path}"
        f"{job.folder.owner}; waiting for it"
      )
    while job.folder.is_claimed and not self._signals.received:
      time.sleep(_POLL_SECONDS)

  def _sleep(self, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not self._signals.received:
      time.sleep(_POLL_SECONDS)

  def _say_progress(self, job: jobs_lib.Job, title: str) -> None:
    is_training = job.mode == "train"
    words = (
      estimate.overall(self._jobs, self._speeds)
      if is_training
      else "evaluating"
    )
    _say(f"{title}: {words}")

  def _attempt(
    self, job: jobs_lib.Job, tally: attempts.Tally
  ) -> tuple[attempts.End, float, str]:
    """How a start has ended, after how many seconds, and what it left to say.

    Nothing if it has finished.
    """
    log = self._workdir / f"{job.name}.log"
    self._events.add(job.name, "started")
    tally.started()
    begin, before = time.monotonic(), status.steps_done(job)
    try:
      code, output, has_stalled = self._run_process(job, log)
    finally:
      self._save_speeds()
    seconds = time.monotonic() - begin
    end, _ = attempts.end_of(
      [code], is_done=job.folder.is_done, has_stalled=has_stalled
    )
    steps = sum(status.steps_done(job).values()) - sum(before.values())
    counts = {"seconds": round(seconds, 1), "steps": max(steps, 0)}
    self._events.add(job.name, "ended", end=end, codes=[code], **counts)
    tally.ended(end, **counts)
    reason = f"exit code {code}, see {log}"
    if has_stalled:
      silence = estimate.duration(self._policy.stall)
      reason = f"killed after {silence} without progress, see {log}"
    elif self._signals.received:
      reason = ""
    last_lines = host.last_lines(output)
    is_good = end == attempts.End.FINISHED
    return end, seconds, "" if is_good else f"{reason}\n{last_lines}".strip()

  def _run_process(
    self, job: jobs_lib.Job, log: pathlib.Path
  ) -> tuple[int, str, bool]:
    """Exit code, the end of the output, and whether the run had stalled."""
    pulse = attempts.Pulse(self._policy.stall, time.monotonic())
    num_passed_on, has_stalled = 0, False
    with host.Tail(log) as tail:
      process = host.Process((*host.COMMAND, *job.arguments), log)
      meter = estimate.Meter(job, self._speeds)
      shown_at = time.monotonic()
      while True:
        code = process.poll()
        _show(tail.read())
        now = time.monotonic()
        meter.sample(now, is_last=code is not None)
        if code is not None:
          return code, tail.output, has_stalled
        if self._policy.stall and not has_stalled:
          signs = host.signs_of_life(job.folder, [log])
          has_stalled = pulse.has_stalled(signs, now)
          if has_stalled:
            process.kill()
        if now - shown_at >= _SECONDS_BETWEEN_OVERALL:
          if job.mode == "train":
            self._say_progress(job, job.name)
          shown_at = now
          # If the sweep is killed, only the last minutes' speeds are lost.
          self._save_speeds()
        for number in self._signals.received[num_passed_on:]:
          # A run would not save on SIGHUP.
          is_hangup = number == signal.SIGHUP
          process.send(signal.SIGTERM if is_hangup else number)
          num_passed_on += 1
        time.sleep(_POLL_SECONDS)

  def _save_speeds(self) -> None:
    # On a full disk this fails; only an estimate is lost.
    with contextlib.suppress(OSError):
      self._speeds.save()


def _say(text: str) -> None:
  _show(f"{text}\n")


def _show(text: str) -> None:
  """Prints immediately; a closed terminal does not stop the sweep."""
  with contextlib.suppress(OSError):
    sys.stderr.write(text)
    sys.stderr.flush()
