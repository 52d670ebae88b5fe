"""The processes of a run: they meet, agree, and end together; no JAX.

`current` is what the program calls, whether it has one process or several.
"""

import contextlib
import re
import sys
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn

from sr2_jax import errors
from sr2_jax.peers import meeting, watch

# In seconds: after which a process that waits says so; in which a lost process
# shows after an error that may come from it.
_PATIENCE, _GRACE = 10.0, 2.0
# What libraries say if another process does not answer.
_FROM_OTHERS = re.compile(
  "gloo|nccl|coordination|collective|barrier|heartbeat|peer|socket|"
  "DEADLINE_EXCEEDED|UNAVAILABLE|ABORTED|CANCELLED",
  re.IGNORECASE,
)


class Alone:
  """A run of one process: it agrees with itself."""

  index, count = 0, 1

  def consult(
    self, topic: str, value: Any, answer: Callable[[list[Any]], Sequence[Any]]
  ) -> Any:
    """As `Group.consult`."""
    return answer([value])[0]

  def names(self) -> list[str]:
    """As `Group.names`."""
    return ["this process"]

  def explain(self, error: BaseException) -> None:
    """As `Group.explain`: nobody else can be the reason."""

  def leave(
    self, code: int, text: str = "", *, summary: str = "", together: bool
  ) -> int:
    """Prints a text and returns the code."""
    del summary, together
    if text:
      print(text, file=sys.stderr, flush=True)
    return code


class Group:
  """The processes of a run as one of them sees them.

  Args:
    place: of this process.

  Attributes:
    index: number of this process.
    count: how many processes there are.
    steps: of training, which a signal ends in all processes.

  Raises:
    UserError: if process 0 cannot listen for the others.
  """

  def __init__(self, place: meeting.Place) -> None:
    self.place = place
    self.index, self.count = place.index, place.count
    self._watcher = watch.Watcher(place)
    self.steps = self._watcher.steps
    self.listen_to_signals = self._watcher.listen_to_signals

  @property
  def jax_address(self) -> tuple[str, int]:
    """Host and port where JAX's own service is, in process 0."""
    return self.place.address[0], self._watcher.jax_port

  def names(self) -> list[str]:
    """All processes, as messages name them; process 0 knows them all."""
    return [self._watcher.name(index) for index in range(self.count)]

  def meet(self) -> None:
    """Returns when all processes are here; ends this one if some never come."""
    watcher = self._watcher
    if self.index:
      self._go_to_first()
      # Process 0 gives up earlier, and says for whom it has waited.
      self._wait(
        lambda: watcher.has_met,
        lambda: "the other processes; process 0 is there",
        self.place.peer_timeout + 2 * _PATIENCE,
      )
      return
    everyone = set(range(1, self.count))
    self._wait(
      lambda: watcher.others.keys() == everyone,
      lambda: _processes(everyone - watcher.others.keys()),
      self.place.peer_timeout,
    )
    watcher.jax_port = meeting.free_port()
    with watcher.changed:
      watcher.has_met = True
    watcher.connections.tell_all(
      "welcome",
      host=watcher.this.host,
      pid=watcher.this.pid,
      jax_port=watcher.jax_port,
    )

  def consult(
    self, topic: str, value: Any, answer: Callable[[list[Any]], Sequence[Any]]
  ) -> Any:
    """Process 0's answer to what all processes bring.

    Args:
      topic: the same in all processes, in words: "to load the data".
      value: what this process brings: anything that JSON can hold.
      answer: process 0 calls it with the values of all, by their numbers; it
        returns what each process is answered.
    """
    watcher = self._watcher
    if self.index:
      watcher.others[0].send("ask", topic=topic, value=value)
      self._wait(
        lambda: watcher.reply is not None or watcher.left,
        lambda: f"the other processes {topic}",
        self.place.peer_timeout + 2 * _PATIENCE,
      )
      self._check_presence()
      reply, watcher.reply = watcher.reply, None
      assert reply is not None
      return reply["value"]
    everyone = set(range(1, self.count))
    self._wait(
      lambda: watcher.asked.keys() == everyone or watcher.left,
      lambda: f"{_processes(everyone - watcher.asked.keys())} {topic}",
      self.place.peer_timeout,
    )
    self._check_presence()
    with watcher.changed:
      asked, watcher.asked = watcher.asked, {}
    for index in sorted(asked):
      if asked[index]["topic"] != topic:
        raise RuntimeError(
          f"{watcher.name(index)} is about {asked[index]['topic']}, but this "
          f"process is about {topic}"
        )
    replies = answer([value, *(asked[k]["value"] for k in sorted(asked))])
    for index, link in watcher.others.items():
      link.send("reply", value=replies[index])
    return replies[0]

  def explain(self, error: BaseException) -> None:
    """Waits a moment for a lost process, which may be the reason of an error.

    If there is one, this process ends, and says so.
    """
    words = "".join(map(repr, _chain(error)))
    if not _FROM_OTHERS.search(words):
      time.sleep(_GRACE)
      return
    watcher = self._watcher
    with watcher.changed:
      watcher.changed.wait_for(
        lambda: watcher.left, 1.5 * self.place.heartbeat_timeout
      )
    self._check_presence()

  def leave(
    self, code: int, text: str = "", *, summary: str = "", together: bool
  ) -> NoReturn:
    """Prints a text and ends this process without waiting in any barrier.

    Args:
      code: exit code.
      text: printed.
      summary: a line that the other processes show; the first of `text` unless
        given.
      together: whether every process comes to this end by itself.
    """
    watcher = self._watcher
    for stream in (sys.stdout, sys.stderr):
      # Nobody may be reading it any more, or it was closed from the start.
      with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.flush()
    watcher.is_leaving = together
    if together and self.index == 0:
      # JAX's service, which the others need to their end, is in process 0.

      def have_left() -> bool:
        return not watcher.connections.links

      with watcher.changed:
        if not watcher.changed.wait_for(have_left, _PATIENCE):
          watch.tell(
            f"waiting for the other processes to end, at most "
            f"{self.place.limit}"
          )
          watcher.changed.wait_for(have_left, self.place.peer_timeout)
    manner = "left" if together else "failed"
    watcher.end(code, summary or text, manner, printed=text)

  def _go_to_first(self) -> None:
    begin, has_told, last = time.monotonic(), False, ""
    whom, limit = f"process 0 at {self.place.coordinator}", self.place.limit

    def is_late(reason: str) -> bool:
      nonlocal has_told, last
      last = reason
      waited = time.monotonic() - begin
      if waited > _PATIENCE and not has_told:
        has_told = True
        watch.tell(f"waiting for {whom} ({reason}), at most {limit}")
      return waited > self.place.peer_timeout

    link = meeting.connect(self.place, is_late=is_late)
    if link is None:
      self._watcher.end(
        errors.PEER_GONE,
        f"{whom} has not come within {limit} ({last}).\n"
        "Start all processes of the run, or give more time.",
      )
    self._watcher.connections.add(link)
    link.send("hello", **meeting.hello(self.place))

  def _wait(
    self, is_over: Callable[[], Any], whom: Callable[[], str], limit: float
  ) -> None:
    """Waits, says for whom, and ends the process after a limit."""
    changed = self._watcher.changed
    with changed:
      if changed.wait_for(is_over, min(limit, _PATIENCE)):
        return
      watch.tell(f"waiting for {whom()}, at most {self.place.limit}")
      if changed.wait_for(is_over, limit - min(limit, _PATIENCE)):
        return
      who = whom()
    self._watcher.end(
      errors.PEER_GONE,
      f"gave up waiting for {who} after {self.place.limit}.\n"
      "Start all processes of the run, or give more time.",
    )

  def _check_presence(self) -> None:
    """Ends this process if one has left that it needs."""
    if self._watcher.left:
      peer = self._watcher.left[0]
      self._watcher.end(
        errors.PEER_GONE, f"{peer} has ended before {self._watcher.this}."
      )


def _processes(indices: Collection[int]) -> str:
  """Numbers of processes in words."""
  some = sorted(indices)
  more = f" and {len(some) - 8} more" if len(some) > 8 else ""
  listed = ", ".join(map(str, some[:8]))
  return f"{'process' if len(some) == 1 else 'processes'} {listed}{more}"


def _chain(error: BaseException | None) -> list[BaseException]:
  """An error and those that led to it."""
  found: list[BaseException] = []
  while error is not None and error not in found:
    found.append(error)
    error = error.__cause__ or error.__context__
  return found


_current: Alone | Group = Alone()


def current() -> Alone | Group:
  """The processes of this run."""
  return _current


def join(place: meeting.Place) -> None:
  """Makes this process one of several; returns when all have come.

  Raises:
    UserError: if process 0 cannot listen for the others.
  """
  global _current
  _current = Group(place)
  _current.meet()
