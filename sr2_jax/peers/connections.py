"""All connections of a process, their heartbeats and their losses; no JAX."""

import contextlib
import select
import socket
import threading
import time
from typing import Any, NamedTuple

from sr2_jax.peers import link as link_lib

# Heartbeats in the time after which a process counts as lost, and the longest
# time between two, in seconds.
_BEATS, _LONGEST_BEAT = 6, 5.0
FOREIGN = "it sends what sr2_jax does not send"


class Event(NamedTuple):
  """Something that has happened.

  Attributes:
    link: where; None for a call of `wake`.
    message: what has arrived.
    loss: why nothing will arrive any more.
    byte: given to `wake`.
  """

  link: link_lib.Link | None
  message: dict[str, Any] | None = None
  loss: str = ""
  byte: int = 0


class Connections:
  """Serves connections, in the thread that calls `turn`.

  Any thread may call the other methods.

  Args:
    heartbeat_timeout: seconds of silence after which a link is lost.
    listener: accepts further connections.
  """

  def __init__(
    self, heartbeat_timeout: float, listener: socket.socket | None
  ) -> None:
    self._timeout = heartbeat_timeout
    self._interval = min(heartbeat_timeout / _BEATS, _LONGEST_BEAT)
    self._listener = listener
    self._links: list[link_lib.Link] = []
    self._lock = threading.Lock()
    self._beat_at = 0.0
    self._wake, self._wakened = socket.socketpair()
    for end in (self._wake, self._wakened):
      end.setblocking(False)

  @property
  def links(self) -> list[link_lib.Link]:
    """Those that are open."""
    with self._lock:
      return list(self._links)

  @property
  def wake_descriptor(self) -> int:
    """A byte that is written here becomes an event."""
    return self._wake.fileno()

  def wake(self, byte: int = 0) -> None:
    """Ends a turn that waits, with this byte as an event unless it is 0."""
    with contextlib.suppress(OSError):
      self._wake.send(bytes([byte]))

  def add(self, link: link_lib.Link) -> None:
    """Serves a connection, from now on."""
    with self._lock:
      self._links.append(link)
    self.wake()

  def drop(self, link: link_lib.Link) -> None:
    """Closes a connection."""
    with self._lock:
      if link in self._links:
        self._links.remove(link)
    link.close()

  def tell_all(self, kind: str, **fields: Any) -> None:
    """Sends a message on every connection."""
    for link in self.links:
      link.send(kind, **fields)

  def stop_accepting(self) -> None:
    """Closes the listener; called by the thread that calls `turn`."""
    if self._listener is not None:
      self._listener.close()
      self._listener = None

  def close(self) -> None:
    """Closes all connections, and ends the service."""
    for link in self.links:
      self.drop(link)
    self.stop_accepting()
    self._wake.close()
    self._wakened.close()

  def turn(self) -> list[Event]:
    """What has happened; waits for it, but not long."""
    sources = {link.fileno(): link for link in self.links}
    ready = select.poll()
    for number in (*sources, self._wakened.fileno()):
      ready.register(number, select.POLLIN)
    if self._listener is not None:
      ready.register(self._listener.fileno(), select.POLLIN)
    events: list[Event] = []
    for number, _ in ready.poll(1000 * min(self._interval, 1.0)):
      if number in sources:
        events += self._read(sources[number])
      elif number == self._wakened.fileno():
        data = self._wakened.recv(64)
        events += [Event(None, byte=byte) for byte in data if byte]
      else:
        self._accept()
    # All that has arrived is read by now. If this process itself was stopped,
    # the others are not silent.
    return events + self._beat()

  def _accept(self) -> None:
    assert self._listener is not None
    with contextlib.suppress(OSError):
      self.add(link_lib.Link(self._listener.accept()[0]))

  def _read(self, link: link_lib.Link) -> list[Event]:
    try:
      return [Event(link, message) for message in link.receive()]
    except link_lib.ClosedError:
      reason = "its connection closed without a word"
    except link_lib.ForeignError:
      reason = FOREIGN
    self.drop(link)
    return [Event(link, loss=reason)]

  def _beat(self) -> list[Event]:
    now = time.monotonic()
    if now - self._beat_at >= self._interval:
      self._beat_at = now
      self.tell_all("beat")
    silent = [
      link for link in self.links if now - link.heard_at > self._timeout
    ]
    for link in silent:
      self.drop(link)
    seconds = f"{self._timeout:g} s (--heartbeat_timeout)"
    return [
      Event(link, loss=f"nothing was heard from it for {seconds}")
      for link in silent
    ]
