"""Real signals, sent to the tests' own process."""

import os
import signal
import subprocess
import sys

import pytest
from jax.experimental import multihost_utils

from sr2_jax import parallel
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


class SyncPoint:
  """JAX's agreement as its documentation has it.

  A notice fixes the safe step: the next after the latest that any process has
  reported. Only a report of exactly that step is answered with yes.
  """

  def __init__(self):
    self.reported, self.safe = [], None

  def notice(self, *_):
    self.safe = max(self.reported, default=0) + 1

  def reached(self, step):
    self.reported.append(step)
    return step == self.safe


@pytest.fixture
def several(monkeypatch):
  """Two processes, of which this is one; JAX's SIGTERM handler included."""
  point = SyncPoint()
  monkeypatch.setattr(parallel, "num_processes", lambda: 2)
  monkeypatch.setattr(
    multihost_utils, "reached_preemption_sync_point", point.reached
  )
  before = signal.signal(signal.SIGTERM, point.notice)
  yield point
  signal.signal(signal.SIGTERM, before)


def test_several_processes_agree_on_a_step(several):
  """A process that was not signalled itself stops with the others."""
  stop = preemption.StopRequest()
  with stop.listening():
    assert stop.after_step() is None
    several.notice()
    assert stop.received() is None
    assert stop.after_step() == signal.SIGTERM


def test_ctrl_c_of_one_process_reaches_the_others(several):
  stop = preemption.StopRequest()
  with stop.listening():
    assert stop.after_step() is None
    send(signal.SIGINT)
    assert several.safe == 2
    assert stop.received() is None
    assert stop.after_step() is not None


def test_agreement_counts_on_from_phase_to_phase(several):
  """JAX answers yes at only one count, which must not be skipped."""
  stop = preemption.StopRequest()
  for _ in range(2):
    with stop.listening():
      for _ in range(4):
        assert stop.after_step() is None
  with stop.listening():
    send(signal.SIGTERM)
    assert stop.after_step() == signal.SIGTERM
  assert several.reported == sorted(set(several.reported))


def test_agreement_holds_from_then_on(several):
  """At a phase's last step nothing is left to stop but what follows it."""
  stop = preemption.StopRequest()
  with stop.listening():
    assert stop.after_step() is None
    several.notice()
    assert stop.after_step() == signal.SIGTERM
    assert stop.received() == signal.SIGTERM
    assert stop.after_step() == signal.SIGTERM
