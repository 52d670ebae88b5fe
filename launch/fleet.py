"""Runs jobs on many slices at once, whoever they belong to.

The cluster says which slices there are and starts processes on them. Waiting,
draining, killing and starting again is decided here, so that it can be tested
without one.
"""

import contextlib
import dataclasses
import pathlib
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from launch import (
  attempts,
  engine,
  estimate,
  fill,
  host,
  notify,
  schedule,
  seats,
  slices,
  status,
  tables,
)
from launch import jobs as jobs_lib
from sr2_jax import errors, files

POLL_SECONDS = 1.0
# After the first process of a run has failed, the others say so and leave.
_SECONDS_TO_LEAVE = 20.0
_SECONDS_TO_SAVE = 120.0
_SECONDS_BETWEEN_WORDS = 300.0
# Until a slice that a run has given back is free.
_SECONDS_TO_RETURN = 5.0
# Until a slice is tried again that was taken, or has lost a host.
_SECONDS_TO_COOL = 30.0


class Gang(Protocol):
  """The processes of a run, one on each host of its slice.

  Attributes:
    size: number of processes.
    codes: exit codes by process, in the order in which they have ended; None of
      one that went with its host.
    logs: files of their output.
  """

  size: int
  codes: dict[int, int | None]
  logs: list[pathlib.Path]

  def poll(self) -> None:
    """Brings `codes` up to date."""
    ...

  def send(self, number: int) -> None:
    """Sends every process a signal."""
    ...

  def close(self) -> None:
    """Kills what is left, and gives the slice back."""
    ...


class Cluster(Protocol):
  """The slices that there are."""

  def offers(self) -> tuple[list[seats.Seat], list[str]]:
    """Those that a run can have, taken or not, and what others lack."""
    ...

  def draining(self) -> dict[str, float]:
    """Hosts that are going away, and in how many seconds."""
    ...

  def start(self, job: jobs_lib.Job, seat: seats.Seat) -> Gang:
    """Starts a job.

    Raises:
      TimeoutError: if the seat is not to be had.
      UserError: if it is, and no job can start there.
    """
    ...


@dataclasses.dataclass
class _Running:
  job: jobs_lib.Job
  seat: seats.Seat
  gang: Gang
  began: float
  steps_before: int
  pulse: attempts.Pulse
  meter: estimate.Meter
  failed_at: float | None = None
  kill_at: float | None = None
  has_stalled: bool = False


class Fleet:
  """A sweep on the slices of a cluster.

  Args:
    cluster: that has them.
    jobs: as of an `engine.Engine`.
    workdir: the same.
    signals: the same.
    policy: the same.
    tell: the same; also told that no slice comes.
    speeds: measured on such slices; gets more.
    slice_: that each job gets.
    price: of a chip-hour; 0 is unknown.
    at_once: most jobs at once; 0 is as many as there are slices.
    wait: seconds without any slice until the sweep gives up; 0 is never.
  """

  def __init__(
    self,
    cluster: Cluster,
    jobs: Sequence[jobs_lib.Job],
    workdir: pathlib.Path,
    *,
    signals: engine.Signals,
    policy: attempts.Policy,
    tell: notify.Tell = notify.nobody,
    speeds: estimate.Speeds,
    slice_: slices.Slice,
    price: float = 0.0,
    at_once: int = 0,
    wait: float = 0.0,
  ) -> None:
    self._cluster, self._signals, self._policy = cluster, signals, policy
    self._speeds, self._slice, self._price = speeds, slice_, price
    self._jobs, self._at_once, self._wait = jobs, at_once, wait
    self._tell = tell
    self._schedule = schedule.Schedule(jobs, workdir, policy=policy, tell=tell)
    self._running: dict[str, _Running] = {}
    self._cooling: dict[str, float] = {}
    self._num_passed_on, self._has_started = 0, False
    self._said_at = self._none_since = None
    self._overall_at: float | None = None
    self._freed_at = -_SECONDS_TO_RETURN

  def run(self) -> list[engine.Outcome]:
    """Runs every job to its end."""
    try:
      while not self._schedule.is_over:
        self.step(time.monotonic())
        time.sleep(POLL_SECONDS)
    finally:
      for running in self._running.values():
        running.gang.close()
    return self._schedule.in_order()

  def step(self, now: float) -> None:
    """Looks at every run, and starts what can be started.

    Args:
      now: of a clock that does not jump.
    """
    draining = self._cluster.draining()
    self._pass_on_signals(now)
    for running in list(self._running.values()):
      self._look_after(running, now, draining)
    if self._signals.received:
      self._schedule.stop()
    elif ready := self._schedule.ready(now):
      self._start(ready, now, draining)
    self._say_overall(now)

  def _pass_on_signals(self, now: float) -> None:
    for number in self._signals.received[self._num_passed_on :]:
      is_hangup = number == signal.SIGHUP
      for running in self._running.values():
        running.gang.send(signal.SIGTERM if is_hangup else number)
        running.kill_at = running.kill_at or now + _SECONDS_TO_SAVE
      self._num_passed_on += 1

  def _look_after(
    self, running: _Running, now: float, draining: Mapping[str, float]
  ) -> None:
    name, gang = running.job.name, running.gang
    leaving = [draining[n] for n in running.seat.nodes if n in draining]
    if leaving and running.kill_at is None:
      self._say(f"{name}: {running.seat.name} is going away; asked to save")
      gang.send(signal.SIGTERM)
      running.kill_at = now + max(0.0, min(leaving))
    gang.poll()
    running.meter.sample(now)
    if any(code != 0 for code in gang.codes.values()):
      running.failed_at = running.failed_at or now
    signs = host.signs_of_life(running.job.folder, gang.logs)
    has_to_end = running.pulse.has_stalled(signs, now)
    running.has_stalled = has_to_end
    if running.failed_at is not None:
      has_to_end |= now - running.failed_at > _SECONDS_TO_LEAVE
    if running.kill_at is not None:
      has_to_end |= now > running.kill_at
    if len(gang.codes) == gang.size or has_to_end:
      self._end(running, now, is_leaving=bool(leaving))

  def _end(self, running: _Running, now: float, *, is_leaving: bool) -> None:
    job, gang = running.job, running.gang
    gang.close()
    self._freed_at = now
    del self._running[job.name]
    codes = list(gang.codes.values())
    if len(codes) < gang.size and not codes and not running.has_stalled:
      codes = [None]  # None saved in time before its host went.
    end, code = attempts.end_of(
      codes, is_done=job.folder.is_done, has_stalled=running.has_stalled
    )
    if is_leaving or None in codes:
      self._cooling[running.seat.name] = now + _SECONDS_TO_COOL
    running.meter.sample(now, is_last=True)
    # On a full disk this fails; only an estimate is lost.
    with contextlib.suppress(OSError):
      self._speeds.save()
    steps = sum(status.steps_done(job).values()) - running.steps_before
    what = self._schedule.ended(
      job,
      end,
      now=now,
      seconds=now - running.began,
      chips=self._slice.chips,
      steps=max(steps, 0),
      codes=codes,
      reason=_reason(running, end, code),
      is_stopping=bool(self._signals.received),
    )
    self._say(f"{job.name} on {running.seat.name}: {what}")

  def _start(
    self,
    ready: Sequence[jobs_lib.Job],
    now: float,
    draining: Mapping[str, float],
  ) -> None:
    whole, broken = self._cluster.offers()
    taken = {running.seat.name for running in self._running.values()}
    free = [
      seat
      for seat in whole
      if seat.name not in taken
      and not draining.keys() & {*seat.nodes}
      and self._cooling.get(seat.name, 0.0) <= now
    ]
    self._say_none(now, broken, is_none=not free and not self._running)
    for job, seat in zip(ready, free, strict=False):
      if self._at_once and len(self._running) >= self._at_once:
        break
      try:
        gang = self._cluster.start(job, seat)
      except TimeoutError as error:
        self._say(f"{job.name}: {error}; another slice is tried")
        self._cooling[seat.name] = now + _SECONDS_TO_COOL
        break  # It took a while; the runs are looked after first.
      except errors.UserError as error:
        # A slice is bad where others are not; the sweep goes on without it.
        if not self._has_started:
          raise
        self._say(f"{job.name}: {error}")
        self._cooling[seat.name] = now + _SECONDS_TO_COOL
        continue
      self._has_started = True
      self._running[job.name] = _Running(
        job,
        seat,
        gang,
        now,
        sum(status.steps_done(job).values()),
        attempts.Pulse(self._policy.stall, now),
        estimate.Meter(job, self._speeds),
      )
      self._schedule.started(job, seat.name, self._slice)
      words = self._schedule.in_words()
      self._say(
        f"{job.name} starts on {seat.name}, log {gang.logs[0]}: {words}"
      )

  def _say_none(
    self, now: float, broken: Sequence[str], *, is_none: bool
  ) -> None:
    """Says that there is no slice, every few minutes; gives up in the end."""
    if not is_none or now - self._freed_at < _SECONDS_TO_RETURN:
      self._said_at = self._none_since = None
      return
    self._none_since = now if self._none_since is None else self._none_since
    if self._wait and now - self._none_since >= self._wait:
      self._say("no slice has come; the same command goes on")
      self._schedule.stop()
    elif self._said_at is None or now - self._said_at >= _SECONDS_BETWEEN_WORDS:
      self._said_at = now
      parts = f" ({'; '.join(broken)})" if broken else ""
      text = f"no slice is free{parts}; waiting for one"
      self._say(text)
      if now > self._none_since:  # Not at once: one may come in a minute.
        self._tell(text)

  def _say_overall(self, now: float) -> None:
    """Says now and then how far all is, and what it has cost and will."""
    if not self._running or (
      self._overall_at is not None
      and now - self._overall_at < _SECONDS_BETWEEN_WORDS
    ):
      return
    self._overall_at = now
    spent = tables.spent_and_to_go(
      self._jobs,
      self._schedule.tallies,
      fill.needs(self._jobs, self._slice, self._speeds),
      self._slice.chips,
      self._price,
    )
    words = estimate.overall(
      self._jobs, self._speeds, at_once=len(self._running)
    )
    self._say(f"{self._schedule.in_words()}; {words}; {spent}")

  def _say(self, text: str) -> None:
    say(f"{tables.mark(self._slice.name)}{text}")


def _reason(running: _Running, end: attempts.End, code: int | None) -> str:
  """What decided, and the end of that process's log; "" of a good end."""
  if end == attempts.End.FINISHED:
    return ""
  codes, logs = running.gang.codes, running.gang.logs
  log = next((logs[i] for i, found in codes.items() if found == code), logs[0])
  what = "its host was lost" if code is None else f"exit code {code}"
  if running.has_stalled:
    what = "killed without progress"
  text = ""
  with contextlib.suppress(OSError):
    text = host.last_lines(files.read(log)[-4096:].decode(errors="replace"))
  return f"{what}, see {log}\n{text}"


def say(text: str) -> None:
  """Prints a line at once; a closed terminal does not stop the sweep."""
  with contextlib.suppress(OSError):
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
