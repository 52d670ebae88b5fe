"""A connection to another process of a run: messages as lines of JSON; no JAX.

What arrives is data: nothing of it is executed, and its length has a limit.
"""

import dataclasses
import json
import socket
import threading
import time
from typing import Any

# Longest message. A config, names of packages and digests of files need far
# less.
_MOST_BYTES = 2**24
# How long a message may take to fit into the buffers of the connection.
_SEND_SECONDS = 10.0
_CHUNK = 2**16


@dataclasses.dataclass(frozen=True)
class Peer:
  """A process of a run. As text: "process 1 on HOST".

  Attributes:
    index: its number, from 0.
    host: name of its machine.
    pid: its number on that machine.
  """

  index: int
  host: str
  pid: int

  def __str__(self) -> str:
    return f"process {self.index} on {self.host}"


class ClosedError(Exception):
  """The other side has closed the connection, or is no longer there."""


class ForeignError(Exception):
  """What the other side sends is not what sr2_jax sends."""


class Link:
  """One connection.

  One thread reads. Any thread may send.

  Args:
    connection: a connected socket; the link owns it from now on.

  Attributes:
    peer: who is on the other side, once it is known.
    heard_at: `time.monotonic` when something arrived last.
  """

  def __init__(self, connection: socket.socket) -> None:
    self.peer: Peer | None = None
    self.heard_at = time.monotonic()
    self._connection = connection
    self._received = b""
    self._sending = threading.Lock()
    connection.settimeout(_SEND_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

  def fileno(self) -> int:
    """For `select`; -1 once the link is closed."""
    return self._connection.fileno()

  def send(self, kind: str, **fields: Any) -> bool:
    """Sends a message; returns whether that was possible."""
    line = json.dumps({"kind": kind, **fields}).encode() + b"\n"
    try:
      with self._sending:
        self._connection.sendall(line)
    except OSError:
      # That the process is gone shows where the link is read.
      return False
    return True

  def receive(self) -> list[dict[str, Any]]:
    """The messages that have arrived. Call it when `select` says so.

    Raises:
      ClosedError: if none will arrive any more.
      ForeignError: if this is no connection between processes of sr2_jax.
    """
    try:
      data = self._connection.recv(_CHUNK)
    except OSError as error:
      raise ClosedError from error
    if not data:
      raise ClosedError
    self.heard_at = time.monotonic()
    *lines, self._received = (self._received + data).split(b"\n")
    if len(self._received) > _MOST_BYTES or self._received[:1] not in (
      b"",
      b"{",
    ):
      raise ForeignError
    return [_message(line) for line in lines]

  def close(self) -> None:
    """Closes the connection; the other side sees that at once."""
    self._connection.close()


def _message(line: bytes) -> dict[str, Any]:
  try:
    message = json.loads(line)
  except (ValueError, RecursionError) as error:
    raise ForeignError from error
  if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
    raise ForeignError
  return message
