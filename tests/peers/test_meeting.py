import socket

import pytest

from sr2_jax import errors
from sr2_jax.peers import link as link_lib
from sr2_jax.peers import meeting
from tests.peers import children


def make_place(port, index=0, count=2, host="127.0.0.1"):
  return meeting.Place(f"{host}:{port}", count, index, 1, 30)


def test_a_port_that_is_taken_is_one_line():
  with socket.create_server(("127.0.0.1", 0)) as listener:
    port = listener.getsockname()[1]
    with pytest.raises(errors.UserError, match="cannot listen") as caught:
      meeting.listen(make_place(port))
  assert caught.value.exit_code == errors.IN_USE
  message = str(caught.value)
  assert f"--coordinator=127.0.0.1:{port}" in message
  assert "Address already in use" in message
  assert "\n" not in message


def test_a_port_that_is_held_is_for_who_asks_for_it():
  with meeting.hold_port() as held:
    port = held.getsockname()[1]
    with pytest.raises(OSError, match="in use"), socket.socket() as other:
      other.bind(("", port))
    with meeting.listen(make_place(port, host=socket.gethostname())):
      pass


@pytest.mark.parametrize("host", ["localhost", socket.gethostname()])
def test_who_listens_can_be_reached(host):
  place = make_place(meeting.free_port(), host=host)
  with meeting.listen(place):
    link = meeting.connect(place, is_late=lambda _: True)
    assert link is not None
    link.close()


def test_connecting_is_tried_until_it_is_late():
  reasons = []

  def is_late(reason):
    reasons.append(reason)
    return len(reasons) == 3

  place = make_place(meeting.free_port(), index=1)
  assert meeting.connect(place, is_late=is_late) is None
  assert reasons == ["Connection refused"] * 3


def test_an_address_in_brackets():
  assert make_place(7, host="[::1]").address == ("::1", 7)


def test_a_process_introduces_itself():
  place = make_place(7, index=1)
  peer = meeting.introduced(meeting.hello(place))
  assert peer == meeting.this_process(place)
  assert peer.host == socket.gethostname()
  with pytest.raises(link_lib.ForeignError):
    meeting.introduced({"index": "1", "host": "a", "pid": 2})


FIRST = link_lib.Peer(0, "a", 10)


@pytest.mark.parametrize(
  ("change", "parts"),
  [
    ({}, []),
    ({"protocol": 0}, ["process 1 on b", "another version", "on a"]),
    ({"count": 4}, ["--num_processes is 2 in process 0 on a, but 4", "on b"]),
    ({"index": 2}, ["--process_id is 2 of 2", "on b (process number 20"]),
    ({"index": -1}, ["--process_id is -1 of 2"]),
    (
      {"index": 0},
      ["--process_id is 0 in two", "on a (process number 10",
       "on b (process number 20"],
    ),
  ],
)  # fmt: skip
def test_who_cannot_take_part(change, parts):
  message = {"protocol": 1, "index": 1, "count": 2, "host": "b", "pid": 20}
  text = meeting.objection(message | change, make_place(7), {0: FIRST})
  assert bool(text) == bool(parts)
  for part in parts:
    assert part in text


@pytest.mark.parametrize(
  ("indices", "count", "word"),
  [
    ((0, 1, 1), (3, 3, 3), "--process_id is 1 in two processes"),
    ((0, 2), (2, 2), "--process_id is 2 of 2"),
    ((0, 1), (2, 3), "--num_processes is 2"),
  ],
)
def test_all_processes_end_if_one_cannot_take_part(indices, count, word):
  codes, texts = children.ended(
    *[""] * len(indices), indices=indices, count=count
  )
  assert codes == [2] * len(indices)
  for text in texts:
    assert text.startswith(word)
    assert "Traceback" not in text


def test_two_first_processes():
  port = meeting.free_port()
  with children.started("", indices=(0,), count=(2,), port=port) as [first]:
    while True:
      try:
        socket.create_connection(("127.0.0.1", port)).close()
        break
      except OSError:
        assert first.process.poll() is None
    [code], [text] = children.ended("", indices=(0,), count=(2,), port=port)
  assert code == 1  # The program of the test prints the error.
  assert "cannot listen at port" in text


def test_what_answers_is_no_process_0():
  with socket.create_server(("127.0.0.1", 0)) as listener:
    port = listener.getsockname()[1]
    with children.started("", indices=(1,), count=(2,), port=port) as [other]:
      connection, _ = listener.accept()
      connection.sendall(b"220 mail.example.org ESMTP\r\n")
      code, text, _ = other.wait()
      connection.close()
  assert code == 2
  assert "is not process 0 of a run" in text
