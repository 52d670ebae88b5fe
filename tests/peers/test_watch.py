"""Signals in real processes; `test_group` has the other ends."""

import os
import signal
import time

import pytest

from sr2_jax.peers import watch
from tests.peers import children

# SIGUSR1 counts as SIGTERM, as all of `stopping.AS_SIGTERM` do.
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 143}


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("victim", [0, 1])
def test_a_signal_ends_all_wherever_they_are(number, victim):
  bodies = [children.IN_C, "processes.consult('', 0, list)", children.IN_C]
  bodies[victim] = children.IN_C
  with children.started(*bodies) as started:
    for child in started:
      child.has_met()
    started[victim].process.send_signal(number)
    ends = [child.wait() for child in started]
  assert [code for code, *_ in ends] == [CODES[number]] * 3
  word = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
  for _, text, seconds in ends:
    assert f"stopped by {word}.\n" in text
    assert seconds < children.PROMPT


@pytest.mark.parametrize("index", [0, 1])
def test_a_signal_while_it_waits_for_others(index):
  with children.started(
    "", indices=(index,), count=(2,), before="group._PATIENCE = 0.2"
  ) as [child]:
    assert "waiting for process" in child.process.stderr.readline()
    child.process.send_signal(signal.SIGTERM)
    code, text, seconds = child.wait()
  assert (code, seconds < children.PROMPT) == (143, True)
  assert text.startswith("stopped by SIGTERM.")


def test_a_signal_to_one_while_all_wait_for_a_third():
  with children.started(
    "", "", indices=(0, 1), count=(3, 3),
    before="group._PATIENCE = 0.5",
  ) as started:  # fmt: skip
    while "process 0 is there" not in started[1].process.stderr.readline():
      assert started[1].process.poll() is None
    started[1].process.send_signal(signal.SIGTERM)
    codes = [child.wait()[0] for child in started]
  assert codes == [143, 143]


# Each step takes its time; nobody starts one before all have ended the last.
TRAIN = """
for step in range(1, 2000):
  processes.consult("step", 0, lambda values: values)
  time.sleep(0.01 * (index + 1))
  if step == 2: print("step", flush=True)
  number = processes.steps.after_step()
  if number:
    processes.leave(128 + number, f"saved {step}", together=True)
"""


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("victim", [0, 2])
def test_all_stop_after_the_same_step(number, victim):
  with children.started(*[TRAIN] * 3) as started:
    for child in started:
      child.has_met()
      child.process.stdout.readline()
    started[victim].process.send_signal(number)
    ends = [child.wait() for child in started]
  assert [code for code, *_ in ends] == [CODES[number]] * 3
  [text] = {text for _, text, _ in ends}
  assert text.startswith("saved ")


def test_a_second_ctrl_c_does_not_wait():
  body = "processes.steps.after_step()\nprint(1, flush=True)\n" + children.IN_C
  with children.started(body, body) as started:
    for child in started:
      child.has_met()
      child.process.stdout.readline()
    started[1].process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert started[1].process.poll() is None
    started[1].process.send_signal(signal.SIGINT)
    ends = [child.wait() for child in started]
  assert [code for code, *_ in ends] == [130, 130]
  assert "stopped without saving" in ends[1][1]
  assert f"process 1 on {children.HOST} was stopped by Ctrl-C" in ends[0][1]


def test_one_ctrl_c_in_a_long_step_is_not_two():
  """Python's own handler comes when the main thread is back from C."""
  in_c = (
    # No signal cuts the sleep short: another thread gets it.
    "  if step == 3: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]);"
    "ctypes.CDLL(None).sleep(2)\n"
  )
  body = TRAIN.replace("  number =", f"{in_c}  number =")
  with children.started(f"import ctypes\n{body}", TRAIN) as started:
    for child in started:
      child.has_met()
      child.process.stdout.readline()
    time.sleep(0.1)
    started[0].process.send_signal(signal.SIGINT)
    ends = [child.wait() for child in started]
  assert [code for code, *_ in ends] == [130, 130]
  [text] = {text.splitlines()[-1] for _, text, _ in ends}
  assert text.startswith("saved ")


def test_a_bug_in_the_thread_is_no_hang():
  body = "processes._watcher._on_signal = None\nprint(1, flush=True)\n"
  body += children.IN_C
  with children.started(body, children.IN_C) as started:
    for child in started:
      child.has_met()
    started[0].process.stdout.readline()
    started[0].process.send_signal(signal.SIGTERM)
    (code, text, _), (other, *_) = [child.wait() for child in started]
  assert (code, other) == (1, 5)
  assert "Traceback" in text


def test_words_go_to_standard_error_itself(capfd):
  watch.tell("wörd")
  assert capfd.readouterr().err == "wörd\n"
  kept = os.dup(2)
  try:
    os.close(2)
    watch.tell("nobody hears it")
  finally:
    os.dup2(kept, 2)
    os.close(kept)
