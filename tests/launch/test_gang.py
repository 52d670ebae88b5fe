"""What does not need a cluster; `test_cluster` has the rest."""

import errno
import os
import pathlib
import socket
import sys
import time

import pytest

from launch import jobs as jobs_lib
from launch import seats
from sr2_jax import errors
from tests.launch import test_jobs

ray = pytest.importorskip("ray")
gang = pytest.importorskip("launch.gang")

SEAT = seats.Seat("a", ("n0", "n1"), [{}, {}], [{}, {}])


def first(workdir):
  return jobs_lib.load(test_jobs.PAIR, workdir)[0]


class Gang(gang.Gang):
  """Has hosts, but no slice."""

  def __init__(self, workdir, *hosts):
    self._job, self._seat = first(workdir), SEAT
    self._hosts, self.codes, self._asked = list(hosts), {}, {}
    self.logs = [workdir / f"first.{i}.log" for i in range(len(hosts))]


def test_why_a_start_fails(tmp_path):
  job = first(tmp_path)
  silent = ray.exceptions.GetTimeoutError("No answer.")
  lost = gang._why_not(job, SEAT, silent)
  assert isinstance(lost, TimeoutError)
  assert str(lost) == "a does not answer"
  raised = ray.exceptions.RayTaskError("start", "Traceback\nno 'launch'", None)
  mistake = gang._why_not(job, SEAT, raised)
  assert isinstance(mistake, errors.UserError)
  assert str(mistake).startswith("first cannot start on a: no 'launch'\n")


def test_a_folder_that_cannot_be_written_costs_one_start(tmp_path, monkeypatch):
  """A `UserError`, as where a host does not see the folder: others go on."""

  def stale(*_, **__):
    raise OSError(errno.ESTALE, "Stale file handle")

  monkeypatch.setattr(pathlib.Path, "touch", stale)
  with pytest.raises(errors.UserError) as caught:
    Gang(tmp_path)._check_storage(tmp_path)
  assert str(caught.value) == (
    f"first cannot start: --workdir={tmp_path} cannot be written (Stale file "
    "handle)."
  )


def test_a_folder_that_goes_away_is_not_shared(tmp_path, monkeypatch):
  def stale(*_, **__):
    raise OSError(errno.ESTALE, "Stale file handle")

  monkeypatch.setattr(pathlib.Path, "unlink", stale)
  monkeypatch.setattr(gang.storage, "lock", lambda _: ("absent", None))
  with pytest.raises(errors.UserError, match="is not shared by all hosts of a"):
    Gang(tmp_path)._check_storage(tmp_path)


class Host:
  """An actor of a host that answers, or an error, or never.

  An answer is an exit code, or one and what the process has printed.
  """

  def __init__(self, *answers):
    self.answers, self.poll, self.asked = list(answers), self, 0

  def remote(self):
    self.asked += 1
    return self


class Answers:
  """Ray's part, at a clock that the test turns."""

  def __init__(self, monkeypatch):
    self.now, self.waited = 1000.0, 0.0
    monkeypatch.setattr(gang.time, "monotonic", lambda: self.now)
    monkeypatch.setattr(gang.ray, "wait", self.wait)
    monkeypatch.setattr(gang.ray, "get", self.get)

  def wait(self, hosts, *, num_returns, timeout):
    assert num_returns == len(hosts) > 0
    silent = [host for host in hosts if not host.answers]
    self.waited += timeout if silent else 0.0
    return [host for host in hosts if host.answers], silent

  def get(self, host):
    answer = host.answers.pop(0)
    if isinstance(answer, Exception):
      raise answer
    return answer if isinstance(answer, tuple) else (answer, "")


def test_codes_come_in_the_order_of_ends(tmp_path, monkeypatch):
  Answers(monkeypatch)
  crash = ray.exceptions.RayActorError
  hosts = [
    Host(None, None, 0), Host(None, 143), Host(crash()),
    Host(ray.exceptions.OutOfMemoryError("Full.")),
  ]  # fmt: skip
  processes = Gang(tmp_path, *hosts)
  for _ in range(5):
    processes.poll()
  assert list(processes.codes.items()) == [
    (2, None), (3, 137), (1, 143), (0, 0),
  ]  # fmt: skip
  assert [host.asked for host in hosts] == [3, 2, 1, 1]


def test_hosts_that_are_silent_delay_nobody(tmp_path, monkeypatch):
  answers = Answers(monkeypatch)
  talks, *silent = hosts = [Host(*[None] * 9), *(Host() for _ in range(5))]
  processes = Gang(tmp_path, *hosts)
  for _ in range(3):
    processes.poll()
    answers.now += 20
  assert answers.waited == 0
  assert processes.codes == {}
  assert (talks.asked, silent[0].asked) == (3, 1)
  answers.now += 1
  processes.poll()
  assert processes.codes == dict.fromkeys(range(1, 6))
  assert answers.waited == gang._SECONDS_FOR_THE_LAST  # Once for all of them.


def test_output_comes_with_the_answers(tmp_path, monkeypatch):
  Answers(monkeypatch)
  hosts = [Host((None, "one\ntw"), (0, "o ü\n")), Host((None, ""), (0, ""))]
  processes = Gang(tmp_path, *hosts)
  while len(processes.codes) < 2:
    processes.poll()
  assert processes.logs[0].read_text() == "one\ntwo ü\n"
  assert not processes.logs[1].exists()  # Its host has written it.


def test_a_full_disk_costs_the_output(tmp_path, monkeypatch):
  Answers(monkeypatch)
  processes = Gang(tmp_path, Host((0, "one")))
  processes.logs = [tmp_path / "none" / "first.log"]
  while not processes.codes:
    processes.poll()
  assert processes.codes == {0: 0}


def polled(actor):
  """Exit code and output of an actor's process."""
  deadline, text = time.monotonic() + 60, ""
  while True:
    code, more = actor.poll()
    text += more
    if code is not None:
      return code, text
    assert time.monotonic() < deadline
    time.sleep(0.01)


def test_a_host_tells_what_its_process_prints(tmp_path, monkeypatch):
  """Down to the last word, and leaves no file."""
  monkeypatch.setattr(gang.tempfile, "tempdir", str(tmp_path))
  actor = gang.Host()
  assert actor.poll() == (None, "")
  program = "import os, sys; print(os.environ['A'], os.getcwd()); sys.exit('ü')"
  command = (sys.executable, "-c", program)
  where = actor.start(command, "", str(tmp_path), {"A": "b"})
  assert where == (socket.gethostname(), actor._process.pid)
  with actor._tail:
    assert polled(actor) == (1, f"b {tmp_path}\nü\n")
  assert os.listdir(tmp_path) == []


def test_a_host_writes_a_log_that_is_shared(tmp_path):
  actor, log = gang.Host(), tmp_path / "a.log"
  command = (sys.executable, "-c", "print(1)")
  actor.start(command, str(log), str(tmp_path), {})
  assert polled(actor) == (0, "")
  assert log.read_text() == "1\n"
