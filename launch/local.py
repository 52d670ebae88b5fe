"""Runs the jobs of a sweep on this machine, one after another or side by side.

Each run is a separate process. With one at a time, its log is shown here as it
grows. A run outlives a sweep that is killed; the next sweep waits for it.
"""

import contextlib
import os
import pathlib
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent import futures
from typing import Any

from launch import (
  attempts,
  engine,
  estimate,
  events,
  host,
  notify,
  shares,
  status,
)
from launch import jobs as jobs_lib
from sr2_jax import errors

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
  at_once: int = 1,
) -> list[engine.Outcome]:
  """Runs the jobs, as an `engine.Engine`.

  The logs, the events and the measured speeds are kept in `workdir`.

  Args:
    jobs: see `engine.Engine`, as the others.
    workdir: the same.
    signals: the same.
    policy: the same.
    tell: the same.
    at_once: most jobs side by side, each on its share of the cores.

  Raises:
    UserError: if that is too many for this machine.
  """
  unfinished = [j for j in jobs if j.mode == "eval" or not j.folder.is_done]
  at_once = max(1, min(at_once, len(unfinished)))
  free = shares.of_cores(at_once)
  sweep = _Sweep(
    jobs,
    workdir,
    signals=signals,
    policy=policy,
    tell=tell,
    fraction=1 / at_once,
    variables={**os.environ, **shares.variables(free)},
  )
  outcomes = _share_out(jobs, sweep, free, signals)
  return [outcomes[job.name] for job in jobs]


def _share_out(
  jobs: Sequence[jobs_lib.Job],
  sweep: "_Sweep",
  free: list[tuple[int, ...]],
  signals: engine.Signals,
) -> dict[str, engine.Outcome]:
  """Runs each job on the first share of cores that is free; the outcomes."""
  names = {job.name for job in jobs}
  waiting = dict(enumerate(jobs, 1))
  running: dict[futures.Future[engine.Outcome], tuple[int, ...]] = {}
  outcomes: dict[str, engine.Outcome] = {}

  def ended(outcome: engine.Outcome) -> None:
    outcomes[outcome.name] = outcome
    if outcome.reason:
      _say(f"{outcome.name} {outcome.state}: {outcome.reason}")

  with futures.ThreadPoolExecutor(len(free)) as threads:
    while waiting or running:
      for number, job in list(waiting.items()):
        source = outcomes.get(job.source or "")
        if signals.received:
          ended(engine.Outcome(job.name, engine.State.NOT_STARTED))
        elif source is not None and engine.has_to_wait(job, source):
          ended(engine.skipped(job, source))
        elif free and not engine.is_early(job, names, outcomes):
          cores = free.pop(0)
          title = f"[{number}/{len(jobs)}] {job.name}"
          running[threads.submit(sweep.run, job, title, cores)] = cores
        else:
          continue
        del waiting[number]
      done, _ = futures.wait(running, return_when=futures.FIRST_COMPLETED)
      for future in done:
        free.append(running.pop(future))
        ended(future.result())
  return outcomes


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
    fraction: float,
    variables: Mapping[str, str],
  ) -> None:
    self._jobs = jobs
    self._workdir = workdir
    self._signals = signals
    self._policy = policy
    self._speeds = estimate.Speeds.of(workdir, None)
    self._events = events.Log(workdir, tell)
    self._tallies = attempts.tallies(events.read(workdir))
    self._fraction = fraction
    self._variables = variables
    self._said_at = time.monotonic()
    # Each job has a thread. What they share is changed by one at a time.
    self._lock = threading.Lock()

  @property
  def _is_alone(self) -> bool:
    """Whether no job runs beside another."""
    return self._fraction == 1

  def run(
    self, job: jobs_lib.Job, title: str, cores: tuple[int, ...]
  ) -> engine.Outcome:
    """Starts a job, again if need be, until it has finished or failed.

    Called in a thread per job, because a process inherits the cores of the
    thread that starts it.
    """
    tally = self._tallies.setdefault(job.name, attempts.Tally())
    try:
      if not self._is_alone:
        shares.keep_to(cores)
        title += f" on {shares.in_words(cores)}"
      return self._run(job, title, tally)
    except (errors.UserError, OSError) as error:
      self._settle(job, engine.State.FAILED, tally)
      return engine.Outcome(job.name, engine.State.FAILED, reason=str(error))
    except BaseException:
      _say(f"{title}: internal error; the sweep ends after the other runs")
      raise

  def _run(
    self, job: jobs_lib.Job, title: str, tally: attempts.Tally
  ) -> engine.Outcome:
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
      self._say_start(job, title)
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
          self._settle(job, state, tally)
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

  def _say_start(self, job: jobs_lib.Job, title: str) -> None:
    words = "evaluating" if job.mode == "eval" else self._overall()
    log = "" if self._is_alone else f"; log {self._log_of(job)}"
    _say(f"{title}: {words}{log}")
    self._said_at = time.monotonic()

  def _overall(self) -> str:
    with self._lock:
      return estimate.overall(self._jobs, self._speeds)

  def _log_of(self, job: jobs_lib.Job) -> pathlib.Path:
    return self._workdir / f"{job.name}.log"

  def _add_event(self, job: jobs_lib.Job, event: str, **details: Any) -> None:
    with self._lock:
      self._events.add(job.name, event, **details)

  def _settle(
    self, job: jobs_lib.Job, state: engine.State, tally: attempts.Tally
  ) -> None:
    tally.settled(state)
    self._add_event(job, state)

  def _attempt(
    self, job: jobs_lib.Job, tally: attempts.Tally
  ) -> tuple[attempts.End, float, str]:
    """How a start has ended, after how many seconds, and what it left to say.

    Nothing if it has finished.
    """
    log = self._log_of(job)
    with host.Tail(log) as tail:
      self._add_event(job, "started")
      tally.started()
      begin, before = time.monotonic(), status.steps_done(job)
      try:
        code, has_stalled = self._run_process(job, log, tail)
      finally:
        self._save_speeds()
    seconds = time.monotonic() - begin
    end, _ = attempts.end_of(
      [code], is_done=job.folder.is_done, has_stalled=has_stalled
    )
    steps = sum(status.steps_done(job).values()) - sum(before.values())
    counts = {"seconds": round(seconds, 1), "steps": max(steps, 0)}
    self._add_event(job, "ended", end=end, codes=[code], **counts)
    tally.ended(end, **counts)
    reason = f"exit code {code}, see {log}"
    if has_stalled:
      silence = estimate.duration(self._policy.stall)
      reason = f"killed after {silence} without progress, see {log}"
    elif self._signals.received:
      reason = ""
    last_lines = host.last_lines(tail.output)
    is_good = end == attempts.End.FINISHED
    return end, seconds, "" if is_good else f"{reason}\n{last_lines}".strip()

  def _run_process(
    self, job: jobs_lib.Job, log: pathlib.Path, tail: host.Tail
  ) -> tuple[int, bool]:
    """Exit code, and whether the run had stalled."""
    pulse = attempts.Pulse(self._policy.stall, time.monotonic())
    num_passed_on, has_stalled = 0, False
    process = host.Process(
      (*host.COMMAND, *job.arguments), log, env=self._variables
    )
    meter = estimate.Meter(job, self._speeds, fraction=self._fraction)
    while True:
      code = process.poll()
      text = tail.read()
      if self._is_alone:
        _show(text)
      now = time.monotonic()
      with self._lock:
        meter.sample(now, is_last=code is not None)
      if code is not None:
        return code, has_stalled
      if self._policy.stall and not has_stalled:
        signs = host.signs_of_life(job.folder, [log])
        has_stalled = pulse.has_stalled(signs, now)
        if has_stalled:
          process.kill()
      if now - self._said_at >= _SECONDS_BETWEEN_OVERALL:
        self._said_at = now
        if job.mode == "train":
          what = job.name if self._is_alone else "all runs"
          _say(f"{what}: {self._overall()}")
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
    with self._lock, contextlib.suppress(OSError):
      self._speeds.save()


def _say(text: str) -> None:
  _show(f"{text}\n")


def _show(text: str) -> None:
  """Prints immediately; a closed terminal does not stop the sweep."""
  with contextlib.suppress(OSError):
    sys.stderr.write(text)
    sys.stderr.flush()
