"""Runs the jobs of a sweep on this machine, one after another.

Each is a process of its own that writes into a log, which is shown here as it
grows: a run survives whatever becomes of the sweep, and the next sweep waits
for it.
"""

import codecs
import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType

from launch import estimate
from launch import jobs as jobs_lib
from sr2_jax import errors

COMMAND = (sys.executable, "-m", "sr2_jax.main")

_POLL_SECONDS = 0.1
_SECONDS_BETWEEN_SAMPLES = 5.0
_SECONDS_BETWEEN_OVERALL = 300.0
# Lines of a failed run's log that its outcome keeps.
_LAST_LINES = 3

FINISHED = "finished"
FINISHED_BEFORE = "finished before"
FAILED = "failed"
SKIPPED = "skipped"
STOPPED = "stopped"
NOT_STARTED = "not started"


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What became of a job.

  Attributes:
    name: of the run.
    state: one of the words above.
    seconds: that it took here; None if it was not started.
    reason: why it has not finished.
  """

  name: str
  state: str
  seconds: float | None = None
  reason: str = ""

  @property
  def is_good(self) -> bool:
    """Whether the run has finished, now or before."""
    return self.state in (FINISHED, FINISHED_BEFORE)


class Signals:
  """Signals to stop that have arrived, for whoever asks."""

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


def run(
  jobs: Sequence[jobs_lib.Job], workdir: pathlib.Path, signals: Signals
) -> list[Outcome]:
  """Runs every job that has not finished; goes on past those that fail.

  Jobs that evaluate again are all run.

  Args:
    jobs: in their order; a job's source stands before it, or is left out.
    workdir: gets the logs and the measured speeds.
    signals: being listened to. The first ends the sweep after the running job,
      to which all are passed on.
  """
  speeds = estimate.Speeds(workdir / "speeds.json")
  outcomes: dict[str, Outcome] = {}
  for number, job in enumerate(jobs, 1):
    source = outcomes.get(job.source or "")
    if signals.received:
      outcome = Outcome(job.name, NOT_STARTED)
    elif job.mode == "train" and source is not None and not source.is_good:
      outcome = Outcome(
        job.name,
        SKIPPED,
        reason=f"it starts from {source.name}, which has not finished",
      )
    else:
      outcome = _run_unless_finished(
        job,
        f"[{number}/{len(jobs)}] {job.name}",
        workdir / f"{job.name}.log",
        jobs=jobs,
        speeds=speeds,
        signals=signals,
      )
    outcomes[job.name] = outcome
    if outcome.reason:
      _say(f"{job.name} {outcome.state}: {outcome.reason}")
  return list(outcomes.values())


def _run_unless_finished(
  job: jobs_lib.Job,
  title: str,
  log: pathlib.Path,
  *,
  jobs: Sequence[jobs_lib.Job],
  speeds: estimate.Speeds,
  signals: Signals,
) -> Outcome:
  if job.folder.is_claimed:
    _say(f"{title}: a run still works in {job.folder.path}; waiting for it")
    while job.folder.is_claimed and not signals.received:
      time.sleep(_POLL_SECONDS)
    if signals.received:
      return Outcome(job.name, NOT_STARTED)
  try:
    if job.mode == "train" and jobs_lib.is_finished(job):
      return Outcome(job.name, FINISHED_BEFORE)
  except errors.UserError as error:
    return Outcome(job.name, FAILED, reason=str(error))
  if job.mode == "eval" and not job.folder.is_done:
    reason = "it has not finished training; without --mode=eval it goes on"
    return Outcome(job.name, FAILED, reason=reason)
  is_training = job.mode == "train"
  progress = estimate.overall(jobs, speeds) if is_training else "evaluating"
  _say(f"{title}: {progress}")
  begin = time.monotonic()
  try:
    code, output = _run_process(
      job, log, jobs=jobs, speeds=speeds, signals=signals
    )
  finally:
    # A full disk, which may be why the run has failed, costs an estimate.
    with contextlib.suppress(OSError):
      speeds.save()
  seconds = time.monotonic() - begin
  if code == 0:
    return Outcome(job.name, FINISHED, seconds)
  if signals.received or code in (130, 143):
    return Outcome(job.name, STOPPED, seconds, _last_lines(output))
  reason = f"exit code {code}, see {log}\n{_last_lines(output)}"
  return Outcome(job.name, FAILED, seconds, reason)


def _run_process(
  job: jobs_lib.Job,
  log: pathlib.Path,
  *,
  jobs: Sequence[jobs_lib.Job],
  speeds: estimate.Speeds,
  signals: Signals,
) -> tuple[int, str]:
  """Exit code (as a shell gives it) and what the process has printed."""
  with log.open("ab") as written, log.open("rb") as shown:
    shown.seek(0, os.SEEK_END)
    process = subprocess.Popen(
      (*COMMAND, *job.arguments),
      stdin=subprocess.DEVNULL,
      stdout=written,
      stderr=written,
      env={**os.environ, "PYTHONUNBUFFERED": "1"},
      # Ctrl-C reaches a whole session: the run would get it twice, here and
      # from the terminal, and stop without saving.
      start_new_session=True,
    )
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    output, num_passed_on = "", 0
    sampled_at = shown_at = time.monotonic()
    done = jobs_lib.steps_done(job)
    while True:
      has_ended = process.poll() is not None
      text = decoder.decode(shown.read())
      _show(text)
      output = (output + text)[-4096:]
      now = time.monotonic()
      is_due = has_ended or now - sampled_at >= _SECONDS_BETWEEN_SAMPLES
      # Evaluating again takes no steps that a speed could be of.
      if is_due and job.mode == "train":
        done = _count(job, done, now - sampled_at, speeds)
        sampled_at = now
      if has_ended:
        break
      if now - shown_at >= _SECONDS_BETWEEN_OVERALL:
        if job.mode == "train":
          _say(f"{job.name}: {estimate.overall(jobs, speeds)}")
        shown_at = now
        # A kill of the sweep costs few minutes of what it has measured.
        with contextlib.suppress(OSError):
          speeds.save()
      for number in signals.received[num_passed_on:]:
        # A run knows of no SIGHUP.
        is_hangup = number == signal.SIGHUP
        process.send_signal(signal.SIGTERM if is_hangup else number)
        num_passed_on += 1
      time.sleep(_POLL_SECONDS)
  code = process.returncode
  return (code if code >= 0 else 128 - code), output


def _count(
  job: jobs_lib.Job,
  before: dict[str, int],
  seconds: float,
  speeds: estimate.Speeds,
) -> dict[str, int]:
  """Counts the steps since `before`, and their time, and returns all steps.

  Time without a step belongs to the phase that comes next, or to the last.
  """
  after = jobs_lib.steps_done(job)
  parts = jobs_lib.parts(job) or []
  moved = [p for p in parts if after[p.phase] > before.get(p.phase, 0)]
  unfinished = [p for p in parts if after[p.phase] < p.num_steps]
  for part in moved or (unfinished or parts[-1:])[:1]:
    steps = max(after[part.phase] - before.get(part.phase, 0), 0)
    share = seconds / max(len(moved), 1)
    speeds.add(part.kind, share, steps * part.num_members)
  return after


def _last_lines(output: str) -> str:
  lines = [line for line in output.splitlines() if line.strip()]
  return "\n".join(lines[-_LAST_LINES:])


def _say(text: str) -> None:
  _show(f"{text}\n")


def _show(text: str) -> None:
  """For whoever watches: a terminal that is gone stops nothing."""
  with contextlib.suppress(OSError):
    sys.stderr.write(text)
    sys.stderr.flush()
