"""Requests to stop: SIGTERM and Ctrl-C end a run after the current step.

If a validation is due after that step, it comes first, because a resumed run
would not repeat it. A kill during it loses what came after the last checkpoint.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from jax.experimental import multihost_utils

from sr2_jax import parallel


class StopRequest:
  """The signal that asked this run to stop, if one has.

  Several processes all stop after the same step, whichever of them got the
  signal: JAX's own SIGTERM handler tells the others.
  """

  def __init__(self) -> None:
    self._signal: int | None = None
    self._agreed: int | None = None
    # JAX's agreement needs a count that never falls; a phase's steps start
    # again at 0.
    self._num_steps = 0
    self._is_only_process = parallel.num_processes() == 1

  @contextlib.contextmanager
  def listening(self) -> Iterator[None]:
    """Catches the signals; a second Ctrl-C ends the process at once."""
    signals = (
      (signal.SIGINT, signal.SIGTERM)
      if self._is_only_process
      else (signal.SIGINT,)
    )
    before = {number: signal.signal(number, self._catch) for number in signals}
    try:
      yield
    finally:
      for number, handler in before.items():
        signal.signal(number, handler)

  def received(self) -> int | None:
    """The signal to stop for, or None.

    Several processes agree on it in `after_step`; until then it is None.
    """
    return self._signal if self._is_only_process else self._agreed

  def after_step(self) -> int | None:
    """The signal to stop for, or None; every process calls this every step."""
    self._num_steps += 1
    if (
      not self._is_only_process
      and multihost_utils.reached_preemption_sync_point(self._num_steps)
    ):
      self._agreed = self._signal or signal.SIGTERM
    return self.received()

  def _catch(self, number: int, _: FrameType | None) -> None:
    self._signal = number
    if number == signal.SIGINT:
      signal.signal(signal.SIGINT, _leave)
    if not self._is_only_process:
      os.kill(os.getpid(), signal.SIGTERM)


def _leave(*_: object) -> None:
  """Ends the process as kill -9 does, which a run survives, with a message.

  An exception would pass through everything that is saving, including threads,
  each with a traceback of its own.
  """
  message = "stopped without saving; the same command resumes from the last "
  # Straight to the file: the signal may have interrupted another print.
  os.write(2, f"\n{message}checkpoint.\n".encode())
  os._exit(128 + signal.SIGINT)
