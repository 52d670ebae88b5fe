import socket

import pytest

from sr2_jax.peers import relay


def test_bytes_pass_both_ways_and_a_loss_stays_hidden():
  with socket.create_server(("127.0.0.1", 0)) as listener:
    port = relay.start(listener.getsockname())
    near = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
    far = [listener.accept()[0] for _ in near]
  for number in range(2):
    for source, target in ((near, far), (far, near)):
      data = bytes([number]) * 100_000
      source[number].sendall(data)
      received = b""
      while len(received) < len(data):
        received += target[number].recv(65536)
      assert received == data
  for end in far:
    end.close()
  for end in near:
    end.settimeout(0.3)
    with pytest.raises(TimeoutError):  # A closed connection would give b"".
      end.recv(1)
    end.close()


def test_nobody_there_is_a_closed_connection():
  with socket.create_server(("127.0.0.1", 0)) as listener:
    target = listener.getsockname()
  with socket.create_connection(("127.0.0.1", relay.start(target))) as near:
    near.settimeout(10)
    assert near.recv(1) == b""
