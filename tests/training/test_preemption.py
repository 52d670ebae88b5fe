"""Real signals, sent to the tests' own process."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from sr2_jax.peers import group, stopping
from sr2_jax.training import preemption

BOTH = (signal.SIGINT, signal.SIGTERM)


def send(number):
  os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def handlers():
  """No test may leave a handler behind, nor die of its own signals."""
  before = {number: signal.getsignal(number) for number in BOTH}
  yield before
  after = {number: signal.getsignal(number) for number in BOTH}
  for number, handler in before.items():
    signal.signal(number, handler)
  assert after == before


def test_nothing_is_received_without_a_signal():
  stop = preemption.StopRequest()
  with stop.listening():
    assert stop.received() is None
    assert stop.after_step() is None


@pytest.mark.parametrize("number", BOTH)
def test_signal_is_remembered_and_does_not_interrupt(number):
  stop = preemption.StopRequest()
  with stop.listening():
    send(number)
    assert stop.received() == number
    assert stop.after_step() == number
    assert stop.after_step() == number


IMPATIENT = """
import os, signal, threading, time
from sr2_jax.training import preemption

# Such a thread, in the middle of saving, would keep the process alive.
threading.Thread(target=time.sleep, args=(300,)).start()
with preemption.StopRequest().listening():
  os.kill(os.getpid(), signal.SIGINT)
  try:
    os.kill(os.getpid(), signal.SIGINT)
  finally:
    print("went on")
"""


def test_second_ctrl_c_ends_the_process_at_once():
  done = subprocess.run(
    [sys.executable, "-c", IMPATIENT],
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert done.returncode == 130
  assert done.stdout == ""
  assert done.stderr.strip() == (
    "stopped without saving; the same command resumes from the last checkpoint."
  )


def test_repeated_sigterm_does_not_interrupt_the_saving():
  """Schedulers repeat it; the step is being saved already."""
  stop = preemption.StopRequest()
  with stop.listening():
    send(signal.SIGTERM)
    send(signal.SIGTERM)
    send(signal.SIGINT)
    assert stop.received() is not None


@pytest.mark.parametrize("error", [None, ZeroDivisionError])
def test_handlers_of_before_are_restored(error, handlers):
  def of_the_caller(*_):
    raise AssertionError("called while listening")

  signal.signal(signal.SIGTERM, of_the_caller)
  try:
    with preemption.StopRequest().listening():
      send(signal.SIGTERM)
      send(signal.SIGINT)
      if error:
        raise error
  except ZeroDivisionError:
    assert error
  assert signal.getsignal(signal.SIGTERM) is of_the_caller
  assert signal.getsignal(signal.SIGINT) is handlers[signal.SIGINT]
  signal.signal(signal.SIGTERM, handlers[signal.SIGTERM])


def test_several_processes_ask_their_group(handlers, monkeypatch):
  """It has the signals all the time, and knows after which step to stop."""

  class Several(group.Group):
    def __init__(self):
      self.steps = stopping.Steps(threading.Condition())

  several = Several()
  monkeypatch.setattr(group, "_current", several)
  stop = preemption.StopRequest()
  with stop.listening():
    assert {number: signal.getsignal(number) for number in BOTH} == handlers
    assert stop.after_step() is None
    assert stop.received() is None
    several.steps.hold(signal.SIGTERM)
    several.steps.stop_after(2)
    assert stop.after_step() == signal.SIGTERM
    assert stop.received() == signal.SIGTERM
