"""Which jobs are ready; for many of them as well."""

import dataclasses
import pathlib

import pytest

from launch import attempts, schedule
from launch import jobs as jobs_lib
from sr2_jax.records import folder as folder_lib
from tests.launch import test_jobs, test_status

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
  monkeypatch.chdir(ROOT)


def end(plan, job, how, now, **keywords):
  given = {
    "seconds": 1.0, "chips": 4, "steps": 1, "codes": [0], "reason": "",
    "is_stopping": False, **keywords,
  }  # fmt: skip
  return plan.ended(job, attempts.End(how), now=now, **given)


def test_ready_running_and_over(tmp_path):
  first, control = jobs = jobs_lib.load(test_jobs.PAIR, tmp_path)
  plan = schedule.Schedule(jobs, tmp_path, policy=attempts.Policy())
  assert plan.ready(0.0) == [first]
  plan.started(first, "slice-a")
  assert plan.ready(0.0) == []
  assert plan.in_words() == "2 runs: 1 running, 1 waiting"
  assert end(plan, first, "finished", 5.0) == "finished"
  assert plan.ready(5.0) == [control]
  plan.started(control, "slice-b")
  assert "starts again in 10 s" in end(plan, control, "crashed", 7.0)
  assert plan.ready(16.0) == []
  assert plan.ready(17.0) == [control]
  assert not plan.is_over
  plan.stop()
  assert plan.is_over
  assert [str(o.state) for o in plan.in_order()] == ["finished", "stopped"]


def test_what_a_killed_sweep_has_counted_is_kept(tmp_path):
  jobs = jobs_lib.load(test_jobs.PAIR, tmp_path)
  policy = attempts.Policy(retries=1)
  for expected in ("crashed, starts again in 10 s (1 of 1 retries)", "failed"):
    plan = schedule.Schedule(jobs, tmp_path, policy=policy)
    plan.started(jobs[0], "slice-a")
    assert end(plan, jobs[0], "crashed", 0.0) == expected
  assert plan.tallies["first"].chip_seconds == 8.0


def test_finished_before(tmp_path):
  first, control = jobs = jobs_lib.load(test_jobs.PAIR, tmp_path)
  test_status.begin(first, done=True)
  plan = schedule.Schedule(jobs, tmp_path, policy=attempts.Policy())
  assert plan.ready(0.0) == [control]


def test_a_thousand_runs(tmp_path):
  """From the first start to the last end, on eight slices."""
  [first, _] = jobs_lib.load(test_jobs.PAIR, tmp_path)
  jobs = [
    dataclasses.replace(
      first, name=f"r{i}", folder=folder_lib.RunFolder(tmp_path / f"r{i}")
    )
    for i in range(1000)
  ]
  plan = schedule.Schedule(jobs, tmp_path, policy=attempts.Policy())
  seen, now = [], 0.0
  while not plan.is_over:
    now += 60.0
    for job in plan.ready(now)[:8]:
      plan.started(job, "slice")
      crashes = len(job.name) == 3 and job.name not in seen
      end(plan, job, "crashed" if crashes else "finished", now)
      seen.append(job.name)
  assert len(seen) == 1000 + 90
  assert {str(o.state) for o in plan.in_order()} == {"finished"}
  again = schedule.Schedule(jobs, tmp_path, policy=attempts.Policy())
  assert sum(t.starts for t in again.tallies.values()) == len(seen)
