"""Processes of a run in a bucket, whose looks are played."""

import pathlib
import threading
import time

import pytest

from launch import mirrored
from tests.launch import test_fleet, test_status

ROOT = pathlib.Path(__file__).parents[2]
FIRST = ("host", 7)


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
  for name in ("_EVERY", "_LONGEST"):
    monkeypatch.setattr(mirrored, name, 1000.0)
  monkeypatch.setattr(mirrored, "_AGAIN", 0.0)


class Hosts:
  """Two processes that end as they are told."""

  def __init__(self):
    self.size, self.codes, self.logs, self.first = 2, {}, [], FIRST
    self.is_closed = False

  def poll(self):
    pass

  def close(self):
    self.is_closed = True


class Looks:
  """Answers each look once that is allowed; it may fail first."""

  def __init__(self, *errors):
    self.errors, self.asked = list(errors), []
    self.may_answer = threading.Event()
    self.may_answer.set()

  def __call__(self, *, is_over=False, gone=None):
    self.asked.append((is_over, gone))
    assert self.may_answer.wait(20)
    if self.errors:
      raise self.errors.pop(0)


def until(poll, condition):
  deadline = time.monotonic() + 20
  while not condition():
    assert time.monotonic() < deadline
    poll()
    time.sleep(0.005)


def test_the_last_end_is_told_after_a_look():
  hosts, looks = Hosts(), Looks()
  gang = mirrored.Gang(hosts, looks, "a")
  looks.may_answer.clear()
  hosts.codes = {1: 5}
  gang.poll()
  assert gang.codes == {1: 5}
  hosts.codes = {1: 5, 0: 137}
  for _ in range(3):
    gang.poll()
    assert gang.codes == {1: 5}
  looks.may_answer.set()
  until(gang.poll, lambda: len(gang.codes) == 2)
  assert [*gang.codes.items()] == [(1, 5), (0, 137)]
  assert looks.asked == [(True, FIRST)]
  gang.poll()
  assert len(looks.asked) == 1
  gang.close()
  assert hosts.is_closed


def test_ends_that_depend_on_what_is_there_are_not_told_early():
  """A fleet that has waited long enough for the others would go by it."""
  hosts, looks = Hosts(), Looks()
  gang = mirrored.Gang(hosts, looks, "a")
  looks.may_answer.clear()
  for codes in ({0: 3}, {0: 3, 1: 3}):
    hosts.codes = codes
    gang.poll()
    assert gang.codes == {}
  looks.may_answer.set()
  until(gang.poll, lambda: gang.codes == {0: 3, 1: 3})


def test_a_look_that_began_before_the_end_is_not_enough(monkeypatch):
  monkeypatch.setattr(mirrored, "_EVERY", 0.0)
  hosts, looks = Hosts(), Looks()
  gang = mirrored.Gang(hosts, looks, "a")
  looks.may_answer.clear()
  gang.poll()
  hosts.codes = {0: 0, 1: 0}
  gang.poll()
  looks.may_answer.set()
  until(gang.poll, lambda: gang.codes)
  assert looks.asked == [(False, None), (True, FIRST)]


def test_a_process_whose_host_was_lost_may_still_be_there():
  hosts, looks = Hosts(), Looks()
  gang = mirrored.Gang(hosts, looks, "a")
  hosts.codes = {1: 5, 0: None}
  until(gang.poll, lambda: len(gang.codes) == 2)
  assert looks.asked == [(True, None)]


def test_a_bucket_that_is_away_for_a_while():
  hosts, looks = Hosts(), Looks(OSError("503"), OSError("503"))
  gang = mirrored.Gang(hosts, looks, "a")
  hosts.codes = {0: 0, 1: 0}
  until(gang.poll, lambda: gang.codes == {0: 0, 1: 0})
  assert len(looks.asked) == 3


def test_a_bucket_that_stays_away(monkeypatch, capsys):
  """The run is started again, uncounted, and finds that all is done."""
  monkeypatch.setattr(mirrored, "_LONGEST", 0.0)
  hosts, looks = Hosts(), Looks(*[OSError("503")] * 99)
  gang = mirrored.Gang(hosts, looks, "a")
  hosts.codes = {0: 0, 1: 5}
  until(gang.poll, lambda: len(gang.codes) == 2)
  assert gang.codes == {0: None, 1: 5}
  assert "a: how it has ended is not known: 503" in capsys.readouterr().err


def test_a_fleet_goes_by_what_a_look_brings(tmp_path, monkeypatch):
  monkeypatch.chdir(ROOT)
  looks = []

  class Cluster(test_fleet.Cluster):
    def start(self, job, seat):
      started = super().start(job, seat)
      started.first = FIRST

      def look(*, is_over=False, gone=None):
        looks.append(job.name)
        test_status.begin(job, done=is_over)

      return mirrored.Gang(started, look, job.name)

  monkeypatch.setattr(test_fleet, "Cluster", Cluster)
  play = test_fleet.Play(tmp_path, "a")
  for name in ("first", "control"):
    assert play.started[-1] == name
    play.gang.codes = {0: 0, 1: 0}
    schedule = play.fleet._schedule
    until(play.step, lambda s=schedule, n=name: n not in s._running)
  assert play.states() == ["finished", "finished"]
  assert looks == ["first", "control"]
