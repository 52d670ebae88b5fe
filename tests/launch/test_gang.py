"""What does not need a cluster; `test_cluster` has the rest."""

import errno
import pathlib

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
    self._hosts, self.codes = list(hosts), {}


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
