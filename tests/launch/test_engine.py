import pathlib
import signal
import subprocess
import sys

import pytest

from launch import engine
from launch import jobs as jobs_lib

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("state", engine.State)
def test_a_run_that_has_finished_is_good(state):
  outcome = engine.Outcome("a", state)
  has_finished = str(state).startswith("finished") or state == "diverged"
  assert outcome.is_good == has_finished


def test_a_job_waits_for_a_source_that_has_finished(tmp_path):
  job, _ = jobs_lib.load(str(ROOT / "tests" / "tiny_sweep.py"), tmp_path)
  for state in engine.State:
    source = engine.Outcome("a", state)
    assert engine.has_to_wait(job, source) != source.is_good
  assert "it starts from a" in engine.skipped(job, source).reason


def test_signals_are_kept_in_their_order():
  signals = engine.Signals()
  with signals.listening():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
      signal.raise_signal(number)
  assert signals.received == [signal.SIGTERM, signal.SIGINT, signal.SIGTERM]


def test_handlers_are_put_back_and_nohup_is_honored():
  before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
  try:
    interrupt = signal.getsignal(signal.SIGINT)
    with engine.Signals().listening():
      assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
      assert signal.getsignal(signal.SIGINT) is not interrupt
    assert signal.getsignal(signal.SIGINT) is interrupt
  finally:
    signal.signal(signal.SIGHUP, before)


def test_an_engine_elsewhere_needs_no_local_one():
  program = "import sys, launch.engine; print('launch.local' in sys.modules)"
  done = subprocess.run(
    [sys.executable, "-c", program],
    check=True,
    capture_output=True,
    text=True,
    cwd=ROOT,
  )
  assert done.stdout == "False\n"
