"""Where the processes of a run meet: at a port of process 0; no JAX."""

import dataclasses
import errno
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from sr2_jax import errors
from sr2_jax.peers import link as link_lib

# A change of the messages changes this number.
_PROTOCOL = 1
_CONNECT_SECONDS = 2.0
_PAUSE = 0.2  # seconds


@dataclasses.dataclass(frozen=True)
class Place:
  """A process's place among those of its run.

  Attributes:
    coordinator: "HOST:PORT" where process 0 can be reached.
    count: number of processes.
    index: which of them this is, from 0.
    peer_timeout: seconds to wait for another process.
    heartbeat_timeout: seconds of silence after which one counts as lost.
  """

  coordinator: str
  count: int
  index: int
  peer_timeout: float
  heartbeat_timeout: float

  @property
  def address(self) -> tuple[str, int]:
    """Host and port of process 0."""
    host, _, port = self.coordinator.rpartition(":")
    return host.strip("[]"), int(port)

  @property
  def limit(self) -> str:
    """How long this process waits, in words."""
    return f"{self.peer_timeout:g} s (--peer_timeout)"


def this_process(place: Place) -> link_lib.Peer:
  """This process as the others see it."""
  return link_lib.Peer(place.index, socket.gethostname(), os.getpid())


def listen(place: Place) -> socket.socket:
  """The socket at which process 0 waits for the others.

  Raises:
    PortInUseError: if somebody else listens there.
    UserError: if the port cannot be had.
  """
  host, port = place.address
  try:
    if host in ("localhost", "127.0.0.1"):
      return socket.create_server((host, port), backlog=place.count)
    if socket.has_dualstack_ipv6():
      return socket.create_server(
        ("", port),
        family=socket.AF_INET6,
        dualstack_ipv6=True,
        backlog=place.count,
      )
    return socket.create_server(("", port), backlog=place.count)
  except OSError as error:
    is_taken = error.errno == errno.EADDRINUSE
    kind = errors.PortInUseError if is_taken else errors.UserError
    raise kind(
      f"--coordinator={place.coordinator}: process 0 cannot listen at port "
      f"{port} ({os.strerror(error.errno or 0)}). Give another port."
    ) from error


def free_port() -> int:
  """A port that nobody on this machine uses now."""
  with socket.create_server(("", 0)) as listener:
    return listener.getsockname()[1]


def hold_port() -> socket.socket:
  """A socket that has a port which process 0 of this machine may listen at.

  While it is open and does not listen, nobody is given that port by chance.
  Whoever asks for it by number may listen there.
  """
  is_dual = socket.has_dualstack_ipv6()
  held = socket.socket(socket.AF_INET6 if is_dual else socket.AF_INET)
  held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
  if is_dual:
    held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
  # Of every address, as `listen` takes it: the port of a connection from any of
  # them would be in its way.
  held.bind(("", 0))
  return held


def connect(
  place: Place, *, is_late: Callable[[str], bool]
) -> link_lib.Link | None:
  """A connection to process 0, as soon as it listens.

  Args:
    place: of this process.
    is_late: told what the last attempt has met, says whether to give up.

  Returns:
    The connection; None if it was given up.
  """
  while True:
    reason = ""
    try:
      connection = socket.create_connection(place.address, _CONNECT_SECONDS)
      # Where nobody listens, a connection to this machine can be to itself.
      if connection.getsockname() != connection.getpeername():
        return link_lib.Link(connection)
      connection.close()
    except OSError as error:
      reason = error.strerror or str(error)
    if is_late(reason):
      return None
    time.sleep(_PAUSE)


def hello(place: Place) -> dict[str, Any]:
  """How this process introduces itself."""
  this = this_process(place)
  return {
    "protocol": _PROTOCOL,
    "index": this.index,
    "count": place.count,
    "host": this.host,
    "pid": this.pid,
  }


def introduced(message: Mapping[str, Any]) -> link_lib.Peer:
  """Who says hello.

  Raises:
    ForeignError: if it does not say it as sr2_jax does.
  """
  index, host, pid = (message.get(name) for name in ("index", "host", "pid"))
  if (
    not isinstance(index, int)
    or not isinstance(host, str)
    or not isinstance(pid, int)
  ):
    raise link_lib.ForeignError
  return link_lib.Peer(index, host[:255], pid)


def objection(
  message: Mapping[str, Any],
  place: Place,
  present: Mapping[int, link_lib.Peer],
) -> str:
  """Why a process that says hello cannot take part; empty if it can.

  Args:
    message: what it says.
    place: of process 0.
    present: those that take part already, process 0 included.
  """
  peer, this = introduced(message), present[0]
  who = f"{peer} (process number {peer.pid} there)"
  if message.get("protocol") != _PROTOCOL:
    return (
      f"{peer} runs another version of sr2_jax than {this}.\n"
      "Install the same version for all processes."
    )
  if message.get("count") != place.count:
    return (
      f"--num_processes is {place.count} in {this}, but "
      f"{message.get('count')} in {peer}.\nGive all processes the same number."
    )
  if not 0 <= peer.index < place.count:
    return f"--process_id is {peer.index} of {place.count} in {who}."
  if peer.index in present:
    other = present[peer.index]
    return (
      f"--process_id is {peer.index} in two processes: on {other.host} "
      f"(process number {other.pid} there) and on {peer.host} (process number "
      f"{peer.pid} there).\n"
      "Give every process of a run a number of its own."
    )
  return ""
