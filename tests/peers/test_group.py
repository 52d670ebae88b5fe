"""Real processes on the loopback; they load no JAX."""

import re
import signal
import socket
import time

import pytest

from sr2_jax.peers import group, meeting
from tests.peers import children


def test_a_run_of_one_process_agrees_with_itself(capsys):
  alone = group.current()
  assert isinstance(alone, group.Alone)
  assert alone.consult("", 7, lambda values: [[*values, 1]]) == [7, 1]
  alone.explain(RuntimeError("gloo"))
  assert alone.leave(3, "what", together=True) == 3
  assert capsys.readouterr().err == "what\n"


def test_everyone_gets_its_answer():
  body = """
for turn in range(20):
  told = processes.consult(
    f"turn {turn}", [index] * turn, lambda values: [
      [len(value), value[:1], place] for place, value in enumerate(values)
    ])
  assert told == [turn, [index] * bool(turn), index], told
# Longer than what a connection buffers.
long = processes.consult("long", "x" * 3_000_000, lambda values: values)
assert len(long) == 3_000_000
"""
  codes, texts = children.ended(*[body] * 3)
  assert codes == [0, 0, 0], texts
  assert texts == [""] * 3


def test_processes_that_ask_different_things_do_not_hang():
  codes, texts = children.ended(
    "processes.consult('to eat', 0, list)",
    "processes.consult('to drink', 0, list)",
  )
  assert codes == [1, 5], texts
  assert f"process 1 on {children.HOST} is about to drink" in texts[0]


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize(
  "body", [children.IN_C, "processes.consult('', 0, list)"]
)
def test_who_is_killed_is_named_by_all_others(victim, body):
  bodies = [body] * 3
  bodies[1] = children.IN_C
  bodies[victim] = "time.sleep(50)"
  with children.started(*bodies) as started:
    for child in started:
      child.has_met()
    started[victim].process.kill()
    for index, child in enumerate(started):
      if index != victim:
        code, text, seconds = child.wait()
        assert code == 5, text
        assert text.splitlines()[0].startswith(
          f"process {victim} on {children.HOST} is gone: its connection closed"
        )
        assert seconds < children.PROMPT


@pytest.mark.parametrize("victim", [0, 1])
def test_who_fails_keeps_its_code_and_the_others_quote_it(victim):
  bodies = [children.IN_C] * 3
  bodies[victim] = "processes.leave(4, 'it is locked\\nwait', together=False)"
  codes, texts = children.ended(*bodies)
  assert [codes.pop(victim), *codes] == [4, 5, 5]
  assert texts.pop(victim) == "it is locked\nwait\n"
  failed = f"process {victim} on {children.HOST} has failed: it is locked\n"
  assert texts == [failed] * 2


@pytest.mark.parametrize("victim", [0, 1])
def test_a_silent_process_is_lost(victim):
  """It has not ended: it answers nothing, as a machine that is cut off."""
  bodies = [children.IN_C] * 2
  with children.started(*bodies, heartbeat_timeout=2) as started:
    for child in started:
      child.has_met()
    started[victim].process.send_signal(signal.SIGSTOP)
    code, text, seconds = started[1 - victim].wait()
    started[victim].process.send_signal(signal.SIGCONT)
    late, *_ = started[victim].wait()
  assert code == late == 5
  assert (
    f"process {victim} on {children.HOST} is gone: nothing was heard" in text
  )
  assert "2 s (--heartbeat_timeout)" in text
  assert seconds < 2 + children.PROMPT


def test_no_silence_while_both_are_at_work():
  codes, texts = children.ended(*["time.sleep(4)"] * 2, heartbeat_timeout=2)
  assert codes == [0, 0], texts


WAIT_BRIEFLY = "group._PATIENCE = 0.5"


def test_waiting_says_for_whom_and_ends():
  codes, texts = children.ended(
    "", "", indices=(0, 2), count=(3, 3), peer_timeout=5, before=WAIT_BRIEFLY
  )
  assert codes == [5, 5]
  first, second, way_out = texts[0].splitlines()
  # The other one may have come after that.
  assert re.fullmatch(
    r"waiting for (process 1|processes 1, 2), at most 5 s .*", first
  )
  assert second == "gave up waiting for process 1 after 5 s (--peer_timeout)."
  assert way_out.startswith("Start all processes")
  assert "process 0 is there" in texts[1]
  assert second in texts[1]


def test_process_0_that_never_comes():
  port = meeting.free_port()
  codes, [text] = children.ended(
    "", indices=(1,), count=(2,), peer_timeout=2, before=WAIT_BRIEFLY, port=port
  )
  assert codes == [5]
  first, second, _ = text.splitlines()
  whom = f"process 0 at 127.0.0.1:{port}"
  assert first == (
    f"waiting for {whom} (Connection refused), at most 2 s (--peer_timeout)"
  )
  assert second.startswith(f"{whom} has not come within 2 s")


def test_who_takes_too_long_is_named():
  codes, texts = children.ended(
    "processes.consult('to load the data', 0, list)",
    "time.sleep(50)",
    peer_timeout=5,
    before=WAIT_BRIEFLY,
  )
  assert codes == [5, 5]
  assert "waiting for process 1 to load the data" in texts[0]
  assert "gave up waiting for process 1 to load the data" in texts[1]


def test_process_0_leaves_last():
  """Only then may JAX's service, which it has, be gone."""
  body = "time.sleep(1 if index else 0)"
  with children.started(body, body) as started:
    begin = time.monotonic()
    assert started[0].wait()[0] == 0
    assert time.monotonic() - begin > 0.9
    assert started[1].wait(5)[0] == 0


@pytest.mark.parametrize("code", [0, 2, 143])
def test_an_end_of_all_is_nobodys_loss(code):
  """The others may take their time: each gives its own reason."""
  body = (
    f"time.sleep(index * 0.5); processes.leave({code}, 'all', together=True)"
  )
  codes, texts = children.ended(*[body] * 3)
  assert codes == [code] * 3
  assert texts == ["all\n"] * 3


@pytest.mark.parametrize(
  "end", ["os._exit(9)", "processes.leave(7, 'oh', together=False)"]
)
def test_a_process_that_has_finished_does_not_mind_a_loss(end):
  body = f"if index: time.sleep(1); {end}"
  codes, texts = children.ended(body, body)
  assert codes == [0, 9 if "9" in end else 7]
  assert texts[0] == ""


LOST = """
if index:
  os.kill(os.getpid(), signal.SIGKILL)
time.sleep({before})
error = RuntimeError({words!r})
processes.explain(error)
processes.leave(1, str(error), together=False)
"""


@pytest.mark.parametrize("words", ["Gloo closed", "a write failed"])
def test_an_error_that_a_lost_process_causes_is_not_reported(words):
  codes, texts = children.ended(*[LOST.format(before=0, words=words)] * 2)
  assert codes == [5, -9]
  assert words not in texts[0]
  assert f"process 1 on {children.HOST} is gone" in texts[0]


def test_an_error_of_ones_own_is_reported_soon():
  body = """
if not index:
  try:
    raise ValueError("no room")
  except ValueError as error:
    processes.explain(error)
  processes.leave(2, "no room", together=False)
time.sleep(50)
"""
  codes, texts = children.ended(body, body)
  assert codes == [2, 5]
  assert texts[0] == "no room\n"


def test_an_error_after_another_process_has_left():
  body = """
if index:
  processes.leave(0, together=True)
processes.explain(RuntimeError("Gloo closed"))
"""
  codes, texts = children.ended(body, body)
  assert codes == [5, 0]
  assert "has ended before" in texts[0]


def test_strangers_at_the_port_are_ignored():
  port = meeting.free_port()
  with children.started(
    "", indices=(0,), count=(2,), port=port
  ) as [first], socket.socket() as silent:  # fmt: skip
    for words in (
      b"GET / HTTP/1.1\r\n\r\n", b'{"kind": "hello"}\n',
      b'{"kind": "ask"}\n', b'{"kind": "end"}\n', b"[" * 99,
      b'{"kind": "signal", "number": 15}\n', b'{"kind": "signal"}\n',
      b'{"kind": "stop", "last": 0}\n', b'{"kind": "welcome"}\n',
    ):  # fmt: skip
      stranger = _connection(port)
      stranger.sendall(words)
      stranger.close()
    silent.connect(("127.0.0.1", port))
    with children.started("", indices=(1,), count=(2,), port=port) as [other]:
      assert other.wait()[0] == 0
    code, text, _ = first.wait()
  assert (code, text) == (0, "")


def _connection(port):
  deadline = time.monotonic() + children.TIMEOUT
  while True:
    try:
      return socket.create_connection(("127.0.0.1", port))
    except OSError:
      assert time.monotonic() < deadline
      time.sleep(0.05)
