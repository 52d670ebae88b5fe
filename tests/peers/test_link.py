import socket
import time

import pytest

from sr2_jax.peers import link as link_lib


@pytest.fixture
def ends():
  with socket.create_server(("127.0.0.1", 0)) as listener:
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
  near, far = link_lib.Link(near), far
  yield near, far
  near.close()
  far.close()


def test_messages_arrive_whole_and_in_order(ends):
  link, far = ends
  other = link_lib.Link(far)
  sent = [{"kind": "a", "text": "ä\n" * 30_000}, {"kind": "b", "n": [1, None]}]
  received = []
  for message in sent:
    assert other.send(**message)
    while message not in received:
      received += link.receive()
  assert received == sent


def test_parts_of_a_message_wait_for_the_rest(ends):
  link, far = ends
  far.sendall(b'{"kind"')
  assert link.receive() == []
  far.sendall(b': "x"}\n{"kind": "y"}\n')
  assert link.receive() == [{"kind": "x"}, {"kind": "y"}]


@pytest.mark.parametrize(
  "data",
  [
    b"SSH-2.0\r\n", b"SSH", b"\n", b"[]\n", b'{"kind": 1}\n', b"{}\n",
    b'{"kind": "a"\n', b"\xff\n", b'{"a": ' + b"[" * 50_000 + b"\n",
  ],
)  # fmt: skip
def test_what_sr2_jax_does_not_send(ends, data):
  link, far = ends
  far.sendall(data)
  with pytest.raises(link_lib.ForeignError):
    link.receive()


def test_an_endless_message_is_refused(ends, monkeypatch):
  monkeypatch.setattr(link_lib, "_MOST_BYTES", 1000)
  link, far = ends
  far.sendall(b"{" + b" " * 5000)
  with pytest.raises(link_lib.ForeignError):
    link.receive()


def test_a_closed_connection(ends):
  link, far = ends
  before = link.heard_at
  time.sleep(0.01)
  far.sendall(b'{"kind": "last"}\n')
  assert link.receive() == [{"kind": "last"}]
  assert link.heard_at > before
  far.close()
  with pytest.raises(link_lib.ClosedError):
    link.receive()
  link.close()
  assert link.fileno() == -1
  assert not link.send("a")


def test_a_process_has_a_name():
  assert str(link_lib.Peer(3, "node7", 12)) == "process 3 on node7"
