"""Runs the jobs of a sweep on this machine, one after another.

Each is a process of its own, whose log is shown here as it grows. A run
outlives a sweep that is killed; the next sweep waits for it.
"""

import codecs
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from launch import engine, estimate, status
from launch import jobs as jobs_lib
from sr2_jax import errors

COMMAND = (sys.executable, "-m", "sr2_jax.main")

_POLL_SECONDS = 0.1
_SECONDS_BETWEEN_SAMPLES = 5.0
_SECONDS_BETWEEN_OVERALL = 300.0
# A folder may be taken between the look at it and the start of a run there.
_MOST_STARTS = 3
# Lines of a failed run's log that go into its outcome.
_LAST_LINES = 3


def run(
  jobs: Sequence[jobs_lib.Job],
  workdir: pathlib.Path,
  *,
  signals: engine.Signals,
) -> list[engine.Outcome]:
  """Runs the jobs one after another, as an `engine.Engine`.

  The logs and the measured speeds are kept in `workdir`.
  """
  speeds = estimate.Speeds(workdir / "speeds.json")
  outcomes: dict[str, engine.Outcome] = {}
  for number, job in enumerate(jobs, 1):
    source = outcomes.get(job.source or "")
    if signals.received:
      outcome = engine.Outcome(job.name, engine.State.NOT_STARTED)
    elif job.mode == "train" and source is not None and not source.is_good:
      outcome = engine.Outcome(
        job.name,
        engine.State.SKIPPED,
        reason=f"it starts from {source.name}, which has not finished",
      )
    else:
      title = f"[{number}/{len(jobs)}] {job.name}"
      log = workdir / f"{job.name}.log"
      outcome = engine.Outcome(job.name, engine.State.IN_USE)
      for _ in range(_MOST_STARTS):
        if outcome.state == engine.State.IN_USE:
          outcome = _run_unless_finished(
            job, title, log, jobs=jobs, speeds=speeds, signals=signals
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
  signals: engine.Signals,
) -> engine.Outcome:
  if job.folder.is_claimed:
    _say(
      f"{title}: a run is still at work in {job.folder.path}"
      f"{job.folder.owner}; waiting for it"
    )
    while job.folder.is_claimed and not signals.received:
      time.sleep(_POLL_SECONDS)
    if signals.received:
      return engine.Outcome(job.name, engine.State.NOT_STARTED)
  try:
    if job.mode == "train" and status.is_finished(job):
      if not status.has_diverged(job):
        return engine.Outcome(job.name, engine.State.FINISHED_BEFORE)
      reason = f"{job.folder.path / 'DONE'} lists the members that diverged"
      return engine.Outcome(job.name, engine.State.DIVERGED, reason=reason)
  except errors.UserError as error:
    return engine.Outcome(job.name, engine.State.FAILED, reason=str(error))
  if job.mode == "eval" and not job.folder.is_done:
    reason = "it has not finished training; to train it, leave out --mode=eval"
    return engine.Outcome(job.name, engine.State.FAILED, reason=reason)
  is_training = job.mode == "train"
  progress = estimate.overall(jobs, speeds) if is_training else "evaluating"
  _say(f"{title}: {progress}")
  begin = time.monotonic()
  try:
    code, output = _run_process(
      job, log, jobs=jobs, speeds=speeds, signals=signals
    )
  finally:
    # On a full disk this fails too; only an estimate is lost.
    with contextlib.suppress(OSError):
      speeds.save()
  seconds = time.monotonic() - begin
  state = engine.state_after(code, job)
  if state in (engine.State.FAILED, engine.State.IN_USE) and signals.received:
    state = engine.State.STOPPED
  reason = {
    engine.State.FINISHED: "",
    engine.State.STOPPED: _last_lines(output),
  }.get(state, f"exit code {code}, see {log}\n{_last_lines(output)}")
  return engine.Outcome(job.name, state, seconds, reason)


def _run_process(
  job: jobs_lib.Job,
  log: pathlib.Path,
  *,
  jobs: Sequence[jobs_lib.Job],
  speeds: estimate.Speeds,
  signals: engine.Signals,
) -> tuple[int, str]:
  """The exit code, as a shell gives it, and the end of the output."""
  with log.open("ab") as written, log.open("rb") as shown:
    shown.seek(0, os.SEEK_END)
    process = subprocess.Popen(
      (*COMMAND, *job.arguments),
      stdin=subprocess.DEVNULL,
      stdout=written,
      stderr=written,
      env={**os.environ, "PYTHONUNBUFFERED": "1"},
      # A terminal sends Ctrl-C to its whole session. The run would get it
      # twice, from there and from here, and stop without saving.
      start_new_session=True,
    )
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    output, num_passed_on = "", 0
    sampled_at = shown_at = time.monotonic()
    done = status.steps_done(job)
    while True:
      has_ended = process.poll() is not None
      text = decoder.decode(shown.read())
      _show(text)
      output = (output + text)[-4096:]
      now = time.monotonic()
      is_due = has_ended or now - sampled_at >= _SECONDS_BETWEEN_SAMPLES
      # Evaluating takes no steps, so it has no speed.
      if is_due and job.mode == "train":
        done = _count(job, done, now - sampled_at, speeds)
        sampled_at = now
      if has_ended:
        break
      if now - shown_at >= _SECONDS_BETWEEN_OVERALL:
        if job.mode == "train":
          _say(f"{job.name}: {estimate.overall(jobs, speeds)}")
        shown_at = now
        # If the sweep is killed, only the last minutes' speeds are lost.
        with contextlib.suppress(OSError):
          speeds.save()
      for number in signals.received[num_passed_on:]:
        # A run would not save on SIGHUP.
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
  """Adds the steps since `before` to the speeds; returns the steps until now.

  Time without steps is charged to the next unfinished phase, else the last.
  """
  after = status.steps_done(job)
  parts = status.parts(job) or []
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
  """Prints immediately; a closed terminal does not stop the sweep."""
  with contextlib.suppress(OSError):
    sys.stderr.write(text)
    sys.stderr.flush()
