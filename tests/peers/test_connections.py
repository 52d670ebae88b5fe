import contextlib
import socket
import time

import pytest

from sr2_jax.peers import connections
from sr2_jax.peers import link as link_lib


@pytest.fixture
def listener():
  with socket.create_server(("127.0.0.1", 0)) as listener:
    yield listener


@pytest.fixture
def serve():
  """Makes connections that are closed at the end."""
  with contextlib.ExitStack() as stack:

    def make(*arguments):
      served = connections.Connections(*arguments)
      stack.callback(served.close)
      return served

    yield make


def events_until(served, is_enough):
  found, limit = [], time.monotonic() + 20
  while not is_enough(found):
    assert time.monotonic() < limit
    found += served.turn()
  return found


def connected(served, listener):
  other = link_lib.Link(socket.create_connection(listener.getsockname()))
  before = len(served.links)
  events_until(served, lambda _: len(served.links) > before)
  return other


def test_messages_bytes_and_losses_are_events(listener, serve):
  served = serve(30, listener)
  other = connected(served, listener)
  [link] = served.links
  other.send("hello", number=1)
  [event] = events_until(served, bool)
  assert event == (link, {"kind": "hello", "number": 1}, "", 0)
  served.wake(15)
  assert events_until(served, bool) == [connections.Event(None, byte=15)]
  other.close()
  [event] = events_until(served, bool)
  assert event.link is link
  assert event.loss == "its connection closed without a word"
  assert served.links == []


def test_other_words_are_a_loss(listener, serve):
  served = serve(30, listener)
  with socket.create_connection(listener.getsockname()) as other:
    other.sendall(b"GET / HTTP/1.1\r\n\r\n")
    [event] = events_until(served, bool)
  assert event.loss == connections.FOREIGN


def test_silence_is_a_loss_and_heartbeats_are_not(listener, serve):
  served = serve(0.6, listener)
  silent = connected(served, listener)
  beating = serve(0.6, None)
  beating.add(connected(served, listener))
  first, second = served.links
  found, limit = [], time.monotonic() + 20
  while not any(event.loss for event in found):
    assert time.monotonic() < limit
    found += served.turn()
    beating.turn()
  silent.close()
  [loss] = [event for event in found if event.loss]
  assert loss.link is first
  assert "nothing was heard from it for 0.6 s" in loss.loss
  assert served.links == [second]


def test_what_has_arrived_counts_though_this_process_was_stopped(
  listener, serve
):
  served = serve(0.4, listener)
  other = connected(served, listener)
  time.sleep(0.2)
  other.send("beat")
  time.sleep(0.4)
  assert [event.loss for event in served.turn()] == [""]
  other.close()


def test_nobody_comes_once_the_door_is_closed(listener, serve):
  address = listener.getsockname()
  served = serve(30, listener)
  served.stop_accepting()
  with pytest.raises(OSError, match="refused"):
    socket.create_connection(address)
  served.wake()
  assert served.turn() == []
