"""Engines in a process of their own; each is a few lines."""

import os
import pathlib
import signal
import time

import pytest

from launch import driver, engine
from launch import jobs as jobs_lib
from sr2_jax import errors
from tests.launch import test_jobs, test_status

ROOT = pathlib.Path(__file__).parents[2]
# A sweep has no threads and no JAX when it forks; a worker of pytest has both.
pytestmark = [
  pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
  pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),
]


def test_outcomes_come_back():
  # More than fits into a pipe.
  outcomes = [engine.Outcome("a", engine.State.FAILED, 1.0, "x" * 10**6)]
  assert driver.run(lambda: outcomes, engine.Signals()) == outcomes


def test_mistakes_come_back():
  def work():
    raise errors.UserError("--address=x: there is no Ray cluster")

  with pytest.raises(errors.UserError, match="there is no Ray cluster"):
    driver.run(work, engine.Signals())


@pytest.mark.parametrize(
  "work",
  [lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: os._exit(0)],
)
def test_an_engine_that_has_just_ended(work):
  with pytest.raises(driver.NoOutcomesError, match="the head of the cluster"):
    driver.run(work, engine.Signals())


def test_an_engine_that_has_failed(capfd):
  """Which is no fault of the cluster's, and says where it was."""

  def work():
    raise OSError(116, "Stale file handle")

  with pytest.raises(driver.NoOutcomesError) as caught:
    driver.run(work, engine.Signals())
  assert str(caught.value) == (
    "The engine has failed: OSError: [Errno 116] Stale file handle"
  )
  assert "in work" in capfd.readouterr().err


def test_signals_are_passed_on_once():
  signals = engine.Signals()
  before = signal.signal(signal.SIGALRM, lambda *_: signals._catch(15, None))

  def work():
    deadline = time.monotonic() + 60
    while not signals.received and time.monotonic() < deadline:
      time.sleep(0.01)
    time.sleep(3 * driver._POLL_SECONDS)
    return [engine.Outcome(str(signals.received), engine.State.STOPPED)]

  try:
    with signals.listening():
      signal.setitimer(signal.ITIMER_REAL, 0.5)
      [outcome] = driver.run(work, signals)
  finally:
    signal.signal(signal.SIGALRM, before)
  assert outcome.name == "[15]"


def test_outcomes_by_the_folders(tmp_path, monkeypatch):
  monkeypatch.chdir(ROOT)
  jobs = first, control = jobs_lib.load(test_jobs.PAIR, tmp_path)

  def states():
    return [str(o.state) for o in driver.outcomes_without_it(jobs)]

  assert states() == ["not started"] * 2
  test_status.begin(first, done=True)
  test_status.begin(control, ("joint", 3))
  assert states() == ["finished before", "stopped"]
