"""Finds and reports what a run folder has lost since the run last wrote to it.

The run goes on, because nothing else would bring it back: it says what is gone,
and config.json records it.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from sr2_jax import files, messages, names, paths
from sr2_jax.config import derived
from sr2_jax.records import metrics_log, row_files, timing_log
from sr2_jax.records import rows as rows_lib
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import run as run_lib

_LOGS = (metrics_log.FILE_NAME, timing_log.FILE_NAME)


def num_rows(run: run_lib.Run) -> int:
  """The rows in results.jsonl."""
  return row_files.count(run.folder.path / rows_lib.FILE_NAME)


def tell_checkpoints(
  run: run_lib.Run, phase: phase_lib.Phase, step: int, *, restored: bool
) -> None:
  """Says if a run has been further than where it starts now.

  A kill costs the steps since the last checkpoint, and says nothing. If there
  is no checkpoint, or the logs show that there were later ones, this says so.
  Log lines that a checkpoint once stood for are kept in a file beside the log.

  Args:
    run: whose log is not cut back yet.
    phase: in which it starts.
    step: after which.
    restored: whether that is a checkpoint of this run.
  """
  here = names.PHASES.index(phase.name), step
  reached = {
    name: position
    for name in _LOGS
    if (position := metrics_log.last_position(run.folder.path / name))
    and position > here
  }
  are_gone = any(_was_saved(run, phase, step, x) for x in reached.values())
  if not reached or (restored and not are_gone):
    return
  name, far = max(reached.items(), key=lambda item: item[1])
  far = f"{name} has step {far[1]:,} of {names.PHASES[far[0]]}"
  if restored:
    how = f"goes on after step {step:,} of {phase.name}"
  elif run.config.init_from:
    how = f"begins again, with the weights of {run.config.init_from}"
  else:
    how = f"begins again, at step 0 of {phase.name}"
  text = f"note: {run.folder.path}: {far}, but no checkpoint has: the run {how}"
  if are_gone:
    _record(run, [f"checkpoints: {far}"])
    if metrics_log.FILE_NAME in reached:
      kept = _keep(run.folder.path / metrics_log.FILE_NAME)
      text += f"; the lines are kept in {kept.name}"
  messages.say(text)


def _was_saved(
  run: run_lib.Run, phase: phase_lib.Phase, step: int, reached: tuple[int, int]
) -> bool:
  """Whether a log line tells that there was a checkpoint after a step."""
  here = names.PHASES.index(phase.name)
  every = run.config.checkpoint.every_steps
  # Of the last step that was to be saved before that line, a kill may have come
  # first; the one before is on disk by then.
  saved = ((reached[1] - 1) // every - 1) * every
  if reached[0] == here:
    return saved > step
  # A phase begins when the end of the one before it is on disk.
  is_own = names.PHASES[reached[0]] in derived.phases(run.config)
  return is_own and (saved > 0 or step < phase.num_steps)


def _keep(log: pathlib.Path) -> pathlib.Path:
  """Copies a log to a free name, and returns where that is."""
  copy = log.with_name(f"{log.name}.copy")
  files.write_atomically(copy, files.read(log))
  return files.set_aside(copy, log.with_name(f"{log.name}.before"))


def tell_lines(
  run: run_lib.Run,
  logs: Mapping[str, Any],
  metric_writer: metrics_log.Writer,
) -> None:
  """Says what logs and results have lost since a checkpoint.

  Args:
    run: its folder.
    logs: what the checkpoint says that they held.
    metric_writer: cut back to that step.
  """
  lost = []
  if problem := metric_writer.make_up(logs[metrics_log.FILE_NAME]):
    lost.append(f"{metrics_log.FILE_NAME}: {problem}")
  before, found = logs[rows_lib.FILE_NAME]["rows"], num_rows(run)
  if found < before:
    lost.append(
      f"{rows_lib.FILE_NAME}: {before - found:,} of {before:,} rows are gone"
    )
  if gone := sorted({*logs["files"]} - {*run.folder.written()}):
    lost.append(f"{paths.listed(gone)}: gone")
  if not lost:
    return
  messages.say(
    f"note: {run.folder.path} has changed since this step was saved: "
    f"{'; '.join(lost)}.\nOnce the run is done, --mode=eval writes again what "
    "belongs to the end of each phase."
  )
  _record(run, lost)


def _record(run: run_lib.Run, lost: Sequence[str]) -> None:
  """Notes in config.json what is gone."""
  recorded = run.folder.read()
  if recorded is not None:
    later = [*recorded.get("later", []), {"mode": "train", "lost": [*lost]}]
    run.folder.record({**recorded, "later": later})
