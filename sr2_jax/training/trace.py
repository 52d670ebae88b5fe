"""A trace of some training steps, for TensorBoard and Perfetto."""

import contextlib
from typing import Any

import jax

from sr2_jax import messages, parallel
from sr2_jax.training import run as run_lib
from sr2_jax.training import start as start_lib


class Trace:
  """Traces `log.profile_steps` of a phase in process 0.

  Whole calls are traced, because the devices take the steps of one at once. A
  trace that fails is a note: it never costs the run.

  Args:
    run: its config has the steps, counted as in metrics.jsonl, and its folder
      gets profile/<phase>.
    start: the phase, and the steps done in it before.
  """

  def __init__(self, run: run_lib.Run, start: start_lib.Start) -> None:
    phase, wanted = start.phase, run.config.log.profile_steps
    self._path = run.folder.path / "profile" / phase.name
    self._wanted = range(wanted[0], wanted[1] + 1) if wanted else range(0)
    self._begin: int | None = None
    coming = range(start.step + 1, phase.num_steps + 1)
    self._is_due = parallel.is_main_process() and bool(wanted)
    if self._is_due and not _overlap(self._wanted, coming):
      self._is_due = False
      messages.say(
        f"note: nothing to trace: {phase.name} takes the steps {coming.start:,}"
        f" to {phase.num_steps:,}, and config.log.profile_steps is "
        f"{wanted[0]},{wanted[1]}"
      )

  def close(self) -> None:
    """Ends a trace that has not come to its end."""
    if self._begin is not None:
      self._stop("the end of training")

  def before(self, call: range, on_devices: Any) -> None:
    """Starts the trace if it is due with a call; waits for earlier calls."""
    steps = range(call.start + 1, call.stop + 1)
    if not self._is_due or not _overlap(steps, self._wanted):
      return
    self._is_due = False
    with self._noting_errors():
      jax.block_until_ready(on_devices)
      jax.profiler.start_trace(self._path, create_perfetto_trace=True)
      self._begin = steps.start

  def after(self, call: range, on_devices: Any) -> None:
    """Ends the trace with the call that takes the last step of it."""
    if self._begin is not None and call.stop >= self._wanted.stop - 1:
      jax.block_until_ready(on_devices)
      self._stop(f"step {call.stop:,}")

  def _stop(self, end: str) -> None:
    begin, self._begin = self._begin, None
    with self._noting_errors():
      jax.profiler.stop_trace()
      messages.say(f"traced from step {begin:,} to {end}: {self._path}")

  def _noting_errors(self) -> contextlib.AbstractContextManager[None]:
    """For those of the profiler, or a full disk."""
    return messages.going_without(f"the trace in {self._path}")


def _overlap(a: range, b: range) -> bool:
  return max(a.start, b.start) < min(a.stop, b.stop)
