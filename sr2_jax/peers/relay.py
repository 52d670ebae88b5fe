"""Keeps JAX from aborting a process when process 0 is lost; no JAX.

JAX's client ends its process with a C++ stack trace at the moment at which its
connection to process 0 closes. Here it connects to a port of its own process
instead, whose connection stays open. So the process lives long enough to say
what has happened.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

_CHUNK = 2**16
# A socket that nothing refers to would close.
_KEPT: list[socket.socket] = []


def start(target: tuple[str, int]) -> int:
  """A local port that leads to a host and port; never closes by itself."""
  listener = socket.create_server(("127.0.0.1", 0))
  _in_background(_accept, listener, target)
  return listener.getsockname()[1]


def _accept(listener: socket.socket, target: tuple[str, int]) -> None:
  while True:
    near, _ = listener.accept()
    try:
      far = socket.create_connection(target)
    except OSError:
      near.close()  # JAX tries again.
      continue
    _KEPT.extend((near, far))
    for end in (near, far):
      end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _in_background(_copy, near, far)
    _in_background(_copy, far, near)


def _copy(source: socket.socket, target: socket.socket) -> None:
  """Passes bytes on until the source ends; the target stays open."""
  with contextlib.suppress(OSError):
    while data := source.recv(_CHUNK):
      target.sendall(data)


def _in_background(function: Callable[..., None], *arguments: Any) -> None:
  threading.Thread(target=function, args=arguments, daemon=True).start()
