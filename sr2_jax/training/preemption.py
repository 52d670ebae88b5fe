"""Requests to stop: SIGTERM and Ctrl-C end a run after the current step.

If a validation or an evaluation is due after that step, it comes first, because
a resumed run would not repeat it. A kill during it loses what came after the
last checkpoint.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from sr2_jax.peers import group


class StopRequest:
  """The signal that asked this run to stop, if one has.

  Several processes all stop after the same step, whichever of them got the
  signal.
  """

  def __init__(self) -> None:
    self._signal: int | None = None
    processes = group.current()
    self._several = processes if isinstance(processes, group.Group) else None

  @contextlib.contextmanager
  def listening(self) -> Iterator[None]:
    """Catches the signals; a second Ctrl-C ends the process at once.

    Several processes catch them all the time.
    """
    signals = () if self._several else (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, self._catch) for number in signals}
    try:
      yield
    finally:
      for number, handler in before.items():
        signal.signal(number, handler)

  def received(self) -> int | None:
    """The signal to stop for, or None; called outside of training."""
    return self._several.steps.received() if self._several else self._signal

  def after_step(self) -> int | None:
    """The signal to stop for, or None; every process calls this every step."""
    return self._several.steps.after_step() if self._several else self._signal

  def _catch(self, number: int, _: FrameType | None) -> None:
    self._signal = number
    if number == signal.SIGINT:
      signal.signal(signal.SIGINT, _leave)


def _leave(*_: object) -> None:
  """Ends the process as kill -9 does, which a run survives, with a message.

  An exception would pass through everything that is saving, including threads,
  each with a traceback of its own.
  """
  message = "stopped without saving; the same command resumes from the last "
  # Straight to the file: the signal may have interrupted another print.
  with contextlib.suppress(OSError):  # Nobody may be reading it any more.
    os.write(2, f"\n{message}checkpoint.\n".encode())
  os._exit(128 + signal.SIGINT)
