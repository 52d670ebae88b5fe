"""After which step the processes of a run stop, once one has got a signal.

Process 0 asks how many steps each has done. Who has answered does not end
another step until it knows the answer to this: all stop after the step that
follows the latest of them. A step may need all processes, so none may stop
before that. If one of them is not in training, all stop at once: who evaluates
or compiles comes to no end of a step, and may need the others. No JAX.
"""

import signal
import threading

# Signals that ask for the same as SIGTERM: of batch systems, before the time of
# a job is up, and of a terminal that is closed. Windows has none of them.
AS_SIGTERM: tuple[int, ...] = tuple(
  getattr(signal, name)
  for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
  if hasattr(signal, name)
)


class Steps:
  """The steps of this process, and where to stop.

  Args:
    changed: guards everything here; told of changes.

  Attributes:
    signal: that has reached this run, or None.
    last: the step after which all stop on their own; 0 if at once, None while
      it is not known.
  """

  def __init__(self, changed: threading.Condition) -> None:
    self.signal: int | None = None
    self.last: int | None = None
    self._changed = changed
    self._done = 0
    self._is_between_steps = False

  def hold(self, signal_number: int) -> int:
    """Lets no further step end; the number done, 0 outside of training."""
    with self._changed:
      self.signal = signal_number
      return self._done if self._is_between_steps else 0

  def stop_after(self, last: int) -> None:
    """Lets steps end again, until this many are done."""
    with self._changed:
      self.last = last
      self._changed.notify_all()

  def after_step(self) -> int | None:
    """Counts a step of training; the signal to stop for, or None."""
    with self._changed:
      self._done += 1
      self._is_between_steps = True
      self._changed.wait_for(
        lambda: self.signal is None or self.last is not None
      )
      is_last = self.last is not None and self._done >= self.last
      return self.signal if is_last else None

  def received(self) -> int | None:
    """The signal to stop for, or None; called where nothing is trained."""
    with self._changed:
      # Who has been asked waits here too: all have to stop at the same batch.
      self._changed.wait_for(
        lambda: self.signal is None or self.last is not None
      )
      self._is_between_steps = False
      return self.signal if self.last is not None else None


def last_step(done: list[int]) -> int:
  """After how many steps all stop; 0 is at once, as none is in training.

  Args:
    done: steps that each process has done, 0 where it is not in training.
  """
  return max(done) + 1 if all(done) else 0


def name(signal_number: int) -> str:
  """A signal as a person calls it."""
  if signal_number == signal.SIGINT:
    return "Ctrl-C"
  return signal.Signals(signal_number).name
