"""What is printed of a sweep, by what is in its folders."""

import pathlib

import pytest

from launch import attempts, engine, estimate, tables
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
