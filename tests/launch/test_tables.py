"""What is printed of a sweep, by what is in its folders."""

import dataclasses
import pathlib
import re

import pytest

from launch import attempts, engine, estimate, fill, slices, status, tables
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
      "run", "state", "step", "starts", "crashes", "time", "left", "where",
    ]  # fmt: skip
    assert [row.split() for row in rows] == [
      ["first", "running", "pretrain", "7/20", "2", "1", "1:15", "min",
       "-", "slice-a"],
      ["control", "not", "started", "-", "-", "-", "-", "-", "-"],
    ]  # fmt: skip
    [part] = status.parts(first)
    speeds.add(part.kind, 60.0, 13 * part.num_members)
    assert " 1:00 min  slice-a" in lines()[3]
  assert "1 unfinished, 1 not started" in lines()[0]
  tallies["first"].settled("failed")
  assert "1 failed, 1 not started" in lines()[0]
  test_status.begin(first, ("pretrain", 20), done=True)
  assert "1 failed, 1 not started" in lines()[0]


def test_runs_that_share_this_machine_take_longer(tmp_path):
  """All of the work takes as long as it did. On slices it takes half."""
  first, second = jobs_lib.load(test_jobs.PAIR, tmp_path)
  second = dataclasses.replace(second, source=None)
  speeds = estimate.Speeds(tmp_path / "speeds.json")
  for job in (first, second):
    test_status.begin(job)
    for part in status.parts(job):
      speeds.add(part.kind, 60.0, part.num_steps * part.num_members)

  def times(**options):
    head, _, _, *rows = tables.progress([first, second], speeds, {}, **options)\
      .splitlines()  # fmt: skip
    return re.findall(r"\d+:\d\d min", "\n".join([head, *rows]))

  assert times() == ["2:00 min", "1:00 min", "1:00 min"]
  with first.folder.claim(), second.folder.claim():
    assert times() == ["2:00 min", "2:00 min", "2:00 min"]
    of_slices = times(slice_="v5e-2x4", chips=8)
    assert of_slices == ["1:00 min", "1:00 min", "1:00 min"]


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
  titles, first, control, _, gets, needs, disk, advice = tables.plan(
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
  assert needs == (
    "2 runs in 2 waves; chip-hours to go unknown for 2 runs before the first "
    "steps."
  )
  assert disk == (
    "About 0.1 GB on disk at most, and 0.0 GB once all are done; 0.0 GB with "
    "--set checkpoint.keep_finished=true."
  )
  assert "--topology=2x2 is enough" in advice
  speeds.add("fsrcnn_x4 mnist5k", 3600.0, 40.0)
  lines = tables.plan(fill.plan(jobs, slice_, speeds), slice_).splitlines()
  assert "1:00:00 h" in lines[1]
  assert "11.2 chip-hours to go." in lines[5]
  text = tables.plan(fill.plan(jobs, slice_, speeds), slice_, 1.2)
  assert "chip-hours to go (13.44 at 1.20 per chip-hour)." in text


def test_a_time_that_is_only_estimated_is_marked(tmp_path):
  jobs = jobs_lib.load(
    "experiments/paper.py:paper", tmp_path, only=["mnist_wdsr_x2"]
  )
  slice_ = slices.find("v5e", "2x2")
  plans = fill.plan(jobs, slice_, estimate.Speeds(tmp_path / "speeds.json"))
  _, row, *_, needs, _ = tables.plan(plans, slice_).splitlines()
  # 2 phases of 90,000 steps of 3,482,700 cycles at 1.5 GHz
  assert "  ~6:58 min  " in row
  assert "as the TPU compiler estimates the steps alone" in needs


def test_chip_hours_of_a_cluster(tmp_path):
  jobs = jobs_lib.load(test_jobs.PAIR, tmp_path)
  speeds = estimate.Speeds(tmp_path / "speeds.json")
  tallies = {"first": attempts.Tally(1, chip_seconds=7200.0, last="finished")}
  test_status.begin(jobs[0], ("pretrain", 20), done=True)
  speeds.add(status.parts(jobs[1])[0].kind, 225.0, 1.0)
  line, _, titles, first, control = tables.progress(
    jobs, speeds, tallies, slice_="v5e-2x4", chips=8, price=2.0
  ).splitlines()
  assert line.endswith(
    "; 2.0 chip-hours used (4.00 at 2.00 per chip-hour), 8.0 chip-hours to go "
    "(16.00 at 2.00 per chip-hour)"
  )
  assert titles.endswith("  where  chip-hours")
  assert (first.split()[-1], control.split()[-1]) == ("2.0", "0.0")
  outcomes = [engine.Outcome("first", engine.State.FINISHED, 900.0)]
  text = tables.summary(outcomes, tallies, slice_="v5e-2x4", price=2.0)
  assert text.splitlines()[1:] == [
    "run    state     time       chip-hours",
    "first  finished  15:00 min  2.0",
    "",
    "1/1 runs finished; 2.0 chip-hours used (4.00 at 2.00 per chip-hour)",
  ]


def test_an_emulated_cluster_is_called_so(tmp_path):
  jobs = jobs_lib.load(test_jobs.PAIR, tmp_path)
  speeds = estimate.Speeds(tmp_path / "speeds.json")
  line, _, titles, *_ = tables.progress(
    jobs, speeds, {}, slice_=slices.emulated(2, 2).name, chips=4
  ).splitlines()
  assert "] emulated: 2 runs" in line
  assert "where (emulated)" in titles
  outcomes = [engine.Outcome("a", engine.State.FINISHED, 1.0)]
  text = tables.summary(outcomes, {}, slice_="emulated-2x2").splitlines()
  assert "time (emulated)" in text[1]
  assert text[-1].startswith("emulated: 1/1 runs finished")
