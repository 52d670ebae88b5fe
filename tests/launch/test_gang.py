"""What does not need a cluster; `test_cluster` has the rest."""

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
