"""Requests to stop: SIGTERM and Ctrl-C end a run after the step they hit.

Where that is an epoch's last, the validation that is due comes first: a resumed
run does not come to it again. A kill in it costs what came after the checkpoint
before.
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

  With several processes all stop after the same step, whichever of them was
  signalled: JAX's own handler of SIGTERM tells the others.
  """

  def __init__(self) -> None:
    self._signal: int | None = None
    self._agreed: int | None = None
    # JAX's agreement needs a count that never falls, as a phase's steps do.
    self._num_steps = 0
    self._alone = parallel.num_processes() == 1

  @contextlib.contextmanager
  def listening(self) -> Iterator[None]:
    """Catches the signals; a second Ctrl-C ends the process at once."""
    signals = (
      (signal.SIGINT, signal.SIGTERM) if self._alone else (signal.SIGINT,)
    )
    before = {number: signal.signal(number, self._catch) for number in signals}
    try:
      yield
    finally:
      for number, handler in before.items():
        signal.signal(number, handler)

  def received(self) -> int | None:
    """The signal to stop for, or None; several processes have to agree on it
    after a step.
    """
    return self._signal if self._alone else self._agreed

  def after_step(self) -> int | None:
    """The signal to stop for, or None; every process asks after every step."""
    self._num_steps += 1
    if not self._alone and multihost_utils.reached_preemption_sync_point(
      self._num_steps
    ):
      self._agreed = self._signal or signal.SIGTERM
    return self.received()

  def _catch(self, number: int, _: FrameType | None) -> None:
    self._signal = number
    if number == signal.SIGINT:
      signal.signal(signal.SIGINT, _leave)
    if not self._alone:
      os.kill(os.getpid(), signal.SIGTERM)


def _leave(*_: object) -> None:
  """Ends the process as kill -9 does, which a run survives, but with a word.

  An exception would pass through whatever is saving, threads included, each
  with a traceback of its own.
  """
  message = "stopped without saving; the same command goes on from the last "
  # Straight to the file: whatever the signal hit may be printing itself.
  os.write(2, f"\n{message}checkpoint.\n".encode())
  os._exit(128 + signal.SIGINT)
