import pathlib

import pytest

from launch import estimate, slices, status
from launch import jobs as jobs_lib
from tests.launch import test_jobs, test_status

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def jobs(tmp_path, monkeypatch):
  """20 steps of pretrain, then 8 of a control's joint; two members each."""
  monkeypatch.chdir(ROOT)
  return jobs_lib.load(test_jobs.PAIR, tmp_path)


@pytest.fixture
def speeds(tmp_path):
  return estimate.Speeds(tmp_path / "speeds.json")


def test_seconds_per_step(speeds):
  assert speeds.seconds_per_step("a") is None
  speeds.add("a", 60.0, 0)  # compiling
  assert speeds.seconds_per_step("a") is None
  speeds.add("a", 30.0, 30)
  speeds.add("b", 10.0, 90)
  assert speeds.seconds_per_step("a") == 3.0
  assert speeds.seconds_per_step("b") == pytest.approx(1 / 9)
  assert speeds.seconds_per_step("c") == pytest.approx(100 / 120)
  assert [speeds.is_known(kind) for kind in "abc"] == [True, True, False]


def test_speeds_outlive_the_sweep(speeds, tmp_path):
  speeds.add("a", 60.0, 30)
  speeds.save()
  again = estimate.Speeds(tmp_path / "speeds.json")
  again.add("a", 60.0, 10)
  assert again.seconds_per_step("a") == 3.0


@pytest.mark.parametrize(
  "text", ["", "{", "[1]", '{"a": 1}', '{"a": ["x", 1]}']
)
def test_a_damaged_file_costs_an_estimate_and_no_more(tmp_path, text):
  (tmp_path / "speeds.json").write_text(text)
  speeds = estimate.Speeds(tmp_path / "speeds.json")
  assert speeds.seconds_per_step("a") is None


def test_overall_says_what_it_is_based_on(jobs, speeds):
  first, control = jobs
  assert estimate.overall(jobs, speeds) == (
    "0 % of all steps done, time left unknown before the first steps"
  )
  speeds.add(status.parts(first)[0].kind, 20.0, 10)
  assert estimate.overall(jobs, speeds) == (
    "0 % of all steps done, about 1:52 min left at the speeds measured here "
    "(29 % of it for kinds not yet run)"
  )
  test_status.begin(first, ("pretrain", 10))
  speeds.add(status.parts(control)[0].kind, 100.0, 10)
  assert estimate.overall(jobs, speeds) == (
    "36 % of all steps done, about 3:20 min left at the speeds measured here"
  )
  for job in jobs:
    test_status.begin(job, done=True)
  assert estimate.overall(jobs, speeds) == (
    "100 % of all steps done, about 0:00 min left at the speeds measured here"
  )


@pytest.mark.parametrize(
  ("seconds", "text"),
  [(4.6, "0:05 min"), (754, "12:34 min"), (11045, "3:04:05 h")],
)
def test_duration(seconds, text):
  assert estimate.duration(seconds) == text


def test_slices_have_speeds_of_their_own(tmp_path):
  slice_ = slices.find("v5e", "2x4", cut="2x2")
  there = estimate.Speeds.of(tmp_path, slice_)
  there.add("a", 1.0, 1.0)
  there.save()
  assert (tmp_path / "speeds.v5e-2x4-2x2.json").is_file()
  assert not estimate.Speeds.of(tmp_path, None).is_known("a")
  assert estimate.Speeds.of(tmp_path, slice_).is_known("a")


@pytest.mark.parametrize(
  "text",
  [
    "", "3", "[]", "[" * 9999, '{"a": 3}', '{"a": [1]}', '{"a": ["x", 1]}',
    '{"a": [NaN, 1]}', '{"a": [1, Infinity]}', '{"a": [-1, 1]}',
    '{"a": [1, 2, 3]}', '{"a": null}',
  ],
)  # fmt: skip
def test_speeds_of_a_file_that_is_damaged_are_lost(tmp_path, text):
  (tmp_path / "speeds.json").write_text(text)
  speeds = estimate.Speeds(tmp_path / "speeds.json")
  assert speeds.seconds_per_step("a") is None
