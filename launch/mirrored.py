"""The processes of a run whose folder is in a bucket.

Their hosts share nothing with this machine, which knows of the run what the
bucket says. A thread looks there, so that the sweep never waits for a bucket.
"""

import concurrent.futures
import time
from typing import Protocol

from launch import fleet
from sr2_jax import errors

# In seconds: how often to look, how soon to look again after a failure, and
# when to report that a run has ended without having looked.
_EVERY, _AGAIN, _LONGEST = 60.0, 5.0, 180.0
# What these mean depends on DONE.
_WITH_DONE = (errors.DONE, errors.DIVERGED)


class OnHosts(fleet.Gang, Protocol):
  """Processes that know where the first one is.

  Attributes:
    first: host of process 0, and its id there.
  """

  first: tuple[str, int]


class Look(Protocol):
  """Brings what a bucket says of a run to this machine.

  Called in a thread; may raise anything.
  """

  def __call__(
    self, *, is_over: bool = False, gone: tuple[str, int] | None = None
  ) -> None:
    """Looks.

    Args:
      is_over: whether the run has ended.
      gone: host and id of process 0, if that has ended for certain.
    """
    ...


class Gang:
  """The processes of a run in a bucket, as a `fleet.Gang`.

  The end of the last process is reported once this machine has fetched what it
  left in the bucket.

  Args:
    gang: the processes.
    look: brings what the bucket says of their run.
    name: of the run, for messages.
  """

  def __init__(self, gang: OnHosts, look: Look, name: str) -> None:
    self._gang, self._look, self._name = gang, look, name
    self.size, self.logs = gang.size, gang.logs
    self.codes: dict[int, int | None] = {}
    self._pool = concurrent.futures.ThreadPoolExecutor(1)
    self._answer: concurrent.futures.Future[None] | None = None
    self._is_last_look = self._is_told = False
    self._look_at = time.monotonic() + _EVERY
    self._ended_at: float | None = None

  def poll(self) -> None:
    """Brings `codes` up to date; looks into the bucket now and then."""
    self._gang.poll()
    now = time.monotonic()
    has_ended = len(self._gang.codes) == self.size
    if has_ended and self._ended_at is None:
      self._ended_at = self._look_at = now
    if self._answer is not None and self._answer.done():
      self._take(self._answer.exception(), now)
    if self._answer is None and not self._is_told and now >= self._look_at:
      self._start_look(is_over=has_ended)
    self._tell(has_ended=has_ended)

  def _take(self, error: BaseException | None, now: float) -> None:
    """Takes note of a look that is over."""
    self._answer = None
    self._look_at = now + (_EVERY if error is None else _AGAIN)
    if self._ended_at is None:
      return
    if not self._is_last_look:
      self._look_at = now  # It began before the end.
    elif error is None:
      self._is_told, self.codes = True, self._gang.codes
    elif now - self._ended_at > _LONGEST:
      # The next start finds out whether there is anything left to do.
      fleet.say(f"{self._name}: how it has ended is not known: {error}")
      self._is_told = True
      self.codes = {
        index: None if code in _WITH_DONE else code
        for index, code in self._gang.codes.items()
      }

  def _start_look(self, *, is_over: bool) -> None:
    # A process whose host was lost may still be at work there.
    is_gone = is_over and self._gang.codes[0] is not None
    self._is_last_look = is_over
    self._answer = self._pool.submit(
      self._look, is_over=is_over, gone=self._gang.first if is_gone else None
    )

  def _tell(self, *, has_ended: bool) -> None:
    """Tells of the ends that need no look."""
    if self._is_told:
      return
    codes = {
      index: code
      for index, code in self._gang.codes.items()
      if code not in _WITH_DONE
    }
    if has_ended and len(codes) == self.size:
      codes.popitem()
    self.codes = codes

  def send(self, number: int) -> None:
    """Sends every process a signal."""
    self._gang.send(number)

  def close(self) -> None:
    """Kills what is left, and gives the slice back."""
    self._gang.close()
    self._pool.shutdown(wait=False, cancel_futures=True)
