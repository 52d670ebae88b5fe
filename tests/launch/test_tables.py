"""What is printed of a sweep, by what is in its folders."""

import pathlib

import pytest

from launch import attempts, engine, estimate, fill, slices, tables
from launch import jobs as jobs_lib
from tests.launch import test_jobs, test_status

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
  monkeypatch.chdir(ROOT)


def test_progress(tmp_path):
  first, control = jobs_lib.load(test_jobs.PAIR, tmp_path)
  speeds = estimate.Speeds(tmp_path / "speeds.json")
  tallies = {"first": attempts.Tally(2, 1, seconds=75.0, place="slice-a")}
  test_status.begin(first, ("pretrain", 7))

  def lines():
    return tables.progress([first, control], speeds, tallies).splitlines()

  with first.folder.claim():
    head, _, titles, *rows = lines()
    assert "] 2 runs: 1 running, 1 not started; 25 % of all steps" in head
    assert titles.split() == [
      "run", "state", "step", "starts", "crashes", "time", "where",
    ]  # fmt: skip
    assert [row.split() for row in rows] == [
      ["first", "running", "pretrain", "7/20", "2", "1", "1:15", "min",
       "slice-a"],
      ["control", "not", "started", "-", "-", "-", "-", "-"],
    ]  # fmt: skip
  assert "1 unfinished, 1 not started" in lines()[0]
  tallies["first"].settled("failed")
  assert "1 failed, 1 not started" in lines()[0]
  test_status.begin(first, ("pretrain", 20), done=True)
  assert "1 failed, 1 not started" in lines()[0]


def test_summary_has_a_line_a_run_and_the_reasons():
  assert tables.summary(
    [
      engine.Outcome("a", engine.State.FINISHED_BEFORE),
      engine.Outcome(
        "long_name", engine.State.FAILED, 75.0, "exit code 3, see x\nbecause"
      ),
      engine.Outcome(
        "c", engine.State.SKIPPED, reason="it starts from long_name"
      ),
    ]
  ).splitlines() == [
    "",
    "run        state            time",
    "a          finished before  -",
    "long_name  failed           1:15 min",
    "c          skipped          -",
    "",
    "1/3 runs finished",
    "",
    "long_name failed:",
    "  exit code 3, see x",
    "  because",
    "",
    "c skipped:",
    "  it starts from long_name",
  ]


def test_plan(tmp_path):
  jobs = jobs_lib.load(
    test_jobs.PAIR, tmp_path, settings={"parallel.layout": "members"}
  )
  slice_ = slices.find("v5e", "2x4", chips_per_host=4)
  speeds = estimate.Speeds(tmp_path / "speeds.json")
  titles, first, control, _, gets, needs, advice = tables.plan(
    fill.plan(jobs, slice_, speeds), slice_
  ).splitlines()
  assert titles.split() == ["run", "state", "wave", "devices", "time", "GB"]
  assert first.split()[:4] == ["first", "not", "started", "1"]
  assert "2 members on 2 of 8 devices in 2 processes, 6 idle" in first
  assert first.split()[-2:] == ["unknown", "0.0"]
  assert control.split()[3] == "2"
  assert gets == (
    "Each run gets v5e-2x4: 8 chips of 2 hosts; 75 % of all chips idle."
  )
  assert "2 runs in 2 waves; unknown for 2 runs before" in needs
  assert "--topology=2x2 is enough" in advice
  speeds.add("fsrcnn_x4 mnist5k", 3600.0, 40.0)
  lines = tables.plan(fill.plan(jobs, slice_, speeds), slice_).splitlines()
  assert "1:00:00 h" in lines[1]
  assert "11.2 chip-hours to go" in lines[5]
