"""Watches the other processes of a run, in a thread of its own; no JAX.

Process 0 has a connection to each other one. The thread serves them whatever
the main thread does: it may be compiling, waiting in a collective, or stuck in
a library. A connection that closes without a last word is a process that is
gone; one that is silent is a machine that is gone. The thread then says so and
ends this process as kill -9 does, which a run survives.

Last words have a manner:

* "left": every process ends like this one, each on its own.
* "verdict": all end with the same code and message.
* "stopped": a signal came, and nothing has to be saved.
* "failed": an error; the others cannot go on.
"""

import contextlib
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar, NoReturn

from sr2_jax import errors
from sr2_jax.peers import connections, meeting, stopping
from sr2_jax.peers import link as link_lib

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# In seconds: for last words to arrive; in which a signal is the same one.
_LAST_WORDS, _ONE_SIGNAL = 3.0, 0.5
_AGAIN = "The same command, in all processes, goes on from the last checkpoint."


def tell(text: str) -> None:
  """Writes to standard error, whatever another thread is printing."""
  with contextlib.suppress(OSError):
    os.write(2, f"{text}\n".encode(errors="replace"))


class Watcher:
  """The connections of a process, and the thread that serves them.

  Args:
    place: of this process.

  Attributes:
    place: of this process.
    this: this process.
    changed: guards the attributes below; told of changes.
    connections: to other processes.
    others: connections of the processes that have said who they are.
    has_met: whether all processes have come.
    jax_port: where JAX's own service listens, in process 0.
    left: those that have ended as all do.
    asked: on process 0, what each process has asked and not been told.
    reply: what process 0 has replied, until it is read.
    steps: of the training in this process.
    is_leaving: whether this process has done its part; what becomes of others
      no longer matters.

  Raises:
    UserError: if process 0 cannot listen.
  """

  def __init__(self, place: meeting.Place) -> None:
    self.place = place
    self.this = meeting.this_process(place)
    self.changed = threading.Condition()
    self.connections = connections.Connections(
      place.heartbeat_timeout, None if place.index else meeting.listen(place)
    )
    self.others: dict[int, link_lib.Link] = {}
    self.has_met = False
    self.jax_port = 0
    self.left: list[link_lib.Peer] = []
    self.asked: dict[int, dict[str, Any]] = {}
    self.reply: dict[str, Any] | None = None
    self.steps = stopping.Steps(self.changed)
    self._done: dict[int, int] = {}
    self._signal_at: float | None = None
    self.is_leaving = False
    self._is_ending = False
    self.listen_to_signals()
    self._thread = threading.Thread(target=self._run, daemon=True)
    self._thread.start()

  def listen_to_signals(self) -> None:
    """Lets the thread have Ctrl-C and SIGTERM, in the place of any handler."""
    # Written by the C handler, so even while the main thread is in C++.
    signal.set_wakeup_fd(
      self.connections.wake_descriptor, warn_on_full_buffer=False
    )
    # nohup lets a program ignore that the terminal is closed. A shell lets what
    # it starts in the background ignore Ctrl-C, which counts all the same.
    others = [
      number
      for number in stopping.AS_SIGTERM
      if signal.getsignal(number) is not signal.SIG_IGN
    ]
    for number in (*_SIGNALS, *others):
      signal.signal(number, self._on_python_signal)

  def name(self, index: int) -> str:
    """A process as messages name it."""
    if index == self.place.index:
      return str(self.this)
    link = self.others.get(index)
    return str((link and link.peer) or f"process {index}")

  def end(
    self,
    code: int,
    text: str,
    manner: str = "verdict",
    *,
    about: int | None = None,
    printed: str | None = None,
  ) -> NoReturn:
    """Ends this process at once, and what it can of the run.

    Args:
      code: exit code of this process.
      text: for the others.
      manner: of the end; see above.
      about: the process that is the reason; this one unless given.
      printed: what this process prints, `text` unless given.
    """
    is_watcher = threading.current_thread() is self._thread
    with self.changed:
      is_first, self._is_ending, self.is_leaving = (
        not self._is_ending, True, True,
      )  # fmt: skip
    if not is_first and not is_watcher:
      threading.Event().wait()  # The thread is ending this process.
    printed = text if printed is None else printed
    if printed:
      tell(printed)
    about = self.place.index if about is None else about
    self.connections.tell_all(
      "end", manner=manner, about=about, code=code, text=text
    )
    limit = time.monotonic() + _LAST_WORDS
    # The others close a connection on which they have read a last word.
    while self.connections.links and time.monotonic() < limit:
      if is_watcher:
        for event in self.connections.turn():
          if event.message and event.link and event.message["kind"] == "end":
            self.connections.drop(event.link)
      else:
        time.sleep(0.01)
    os._exit(code)

  # What follows runs in the thread.

  def _run(self) -> None:
    try:
      while True:
        if self.has_met:
          self._close_the_door()
        for event in self.connections.turn():
          self._on(event)
    except BaseException:
      tell(traceback.format_exc())
      os._exit(1)

  def _close_the_door(self) -> None:
    self.connections.stop_accepting()
    for link in self.connections.links:
      if link.peer is None:  # A stranger.
        self.connections.drop(link)

  def _on(self, event: connections.Event) -> None:
    if event.link is None:
      if event.byte in _SIGNALS:
        self._on_signal(event.byte)
      elif event.byte in stopping.AS_SIGTERM:
        self._on_signal(signal.SIGTERM)
    elif event.message is None:
      self._on_loss(event.link, event.loss)
    elif event.message["kind"] in self._HANDLERS:
      kind = event.message["kind"]
      try:
        if not self.place.index and not event.link.peer and kind != "hello":
          raise link_lib.ForeignError  # A stranger may only introduce itself.
        self._HANDLERS[kind](self, event.link, event.message)
      except link_lib.ForeignError:
        self.connections.drop(event.link)
        self._on_loss(event.link, connections.FOREIGN)

  def _on_loss(self, link: link_lib.Link, reason: str) -> None:
    """Ends the run if a link was that of a process which had not left."""
    with self.changed:
      self.changed.notify_all()
    is_new = link.peer is None
    if self.is_leaving or link.peer in self.left:
      return
    if is_new and not self.place.index:
      return  # A stranger.
    address = self.place.coordinator
    if is_new and reason == connections.FOREIGN:
      self.end(
        errors.TO_FIX,
        f"--coordinator={address}: what answers there is not process 0 of a "
        "run.\nGive the address of process 0, and a port that is free there.",
      )
    who = f"process 0 at {address}" if is_new else str(link.peer)
    self.end(
      errors.PEER_GONE,
      f"{who} is gone: {reason}.\n{_AGAIN}",
      about=link.peer.index if link.peer else 0,
    )

  def _on_hello(self, link: link_lib.Link, message: dict[str, Any]) -> None:
    if self.place.index or link.peer is not None or self.has_met:
      raise link_lib.ForeignError
    peer = meeting.introduced(message)
    present = {0: self.this}
    for index, other in self.others.items():
      present[index] = other.peer or self.this
    text = meeting.objection(message, self.place, present)
    if text:
      self.end(errors.TO_FIX, text)
    with self.changed:
      link.peer = peer
      self.others[peer.index] = link
      self.changed.notify_all()

  def _on_welcome(self, link: link_lib.Link, message: dict[str, Any]) -> None:
    with self.changed:
      link.peer = link_lib.Peer(0, message["host"], message["pid"])
      self.others[0] = link
      self.jax_port = message["jax_port"]
      self.has_met = True
      self.changed.notify_all()

  def _on_ask(self, link: link_lib.Link, message: dict[str, Any]) -> None:
    assert link.peer is not None
    with self.changed:
      self.asked[link.peer.index] = message
      self.changed.notify_all()

  def _on_reply(self, link: link_lib.Link, message: dict[str, Any]) -> None:
    with self.changed:
      self.reply = message
      self.changed.notify_all()

  def _on_end(self, link: link_lib.Link, message: dict[str, Any]) -> None:
    about, code, text = (message[name] for name in ("about", "code", "text"))
    self.connections.drop(link)
    with self.changed:
      if link.peer is not None:
        self.left.append(link.peer)
      self.changed.notify_all()
    if self.is_leaving:
      return
    match message["manner"]:
      case "left":
        self._decide_where_to_stop()
        return
      case "failed":
        first = text.partition("\n")[0][:500] or f"exit code {code}"
        code, text = errors.PEER_GONE, f"{self.name(about)} has failed: {first}"
      case "stopped":
        signal_name = stopping.name(code - 128)
        text = f"{self.name(about)} was stopped by {signal_name}.\n{_AGAIN}"
    self.end(code, text, about=about)

  # Signals.

  def _on_python_signal(self, number: int, _: FrameType | None) -> None:
    # The C handler has written the byte, perhaps long ago, unless a library
    # has taken the wakeup descriptor for itself.
    own = self.connections.wake_descriptor
    if signal.set_wakeup_fd(own, warn_on_full_buffer=False) != own:
      self.connections.wake(number)

  def _on_signal(self, number: int) -> None:
    now, before = time.monotonic(), self._signal_at
    if before is not None and now - before < _ONE_SIGNAL:
      return
    self._signal_at = now
    if self.is_leaving:
      os._exit(128 + number)  # It was leaving anyway.
    if not self.has_met:
      self.end(128 + number, "", "stopped", printed=_stopped(number))
    if before is not None and number == signal.SIGINT:
      text = f"stopped without saving.\n{_AGAIN}"
      self.end(128 + number, "", "stopped", printed=text)
    if self.place.index:
      self.others[0].send("signal", number=number)
    else:
      self._hold_all(number)

  def _hold_all(self, number: int) -> None:
    """Process 0 asks all how many steps they have done."""
    if self.steps.signal is None:
      self._done = {0: self.steps.hold(number)}
      self.connections.tell_all("hold", number=number)
      self._decide_where_to_stop()

  def _on_number(self, link: link_lib.Link, message: dict[str, Any]) -> None:
    self._hold_all(message["number"])

  def _on_hold(self, link: link_lib.Link, message: dict[str, Any]) -> None:
    link.send("done", steps=self.steps.hold(message["number"]))

  def _on_done(self, link: link_lib.Link, message: dict[str, Any]) -> None:
    assert link.peer is not None
    self._done[link.peer.index] = message["steps"]
    self._decide_where_to_stop()

  def _decide_where_to_stop(self) -> None:
    """Process 0 tells all, once those that are there have answered."""
    links = self.connections.links
    present = {0} | {link.peer.index for link in links if link.peer}
    if self._done and not self.steps.last and present <= self._done.keys():
      last = stopping.last_step([self._done[index] for index in present])
      self.connections.tell_all("stop", last=last)
      self._stop(last)

  def _on_stop(self, link: link_lib.Link, message: dict[str, Any]) -> None:
    self._stop(message["last"])

  def _stop(self, last: int) -> None:
    self.steps.stop_after(last)
    if not last:
      number = self.steps.signal or signal.SIGTERM
      self.end(128 + number, "", "stopped", printed=_stopped(number))

  _HANDLERS: ClassVar[dict[str, Callable[..., None]]] = {
    "hello": _on_hello,
    "welcome": _on_welcome,
    "ask": _on_ask,
    "reply": _on_reply,
    "end": _on_end,
    "signal": _on_number,
    "hold": _on_hold,
    "done": _on_done,
    "stop": _on_stop,
  }


def _stopped(number: int) -> str:
  return f"stopped by {stopping.name(number)}.\n{_AGAIN}"
