"""Seconds by the compiler's estimate, against its own rows."""

import json
import pathlib

import pytest

from launch import estimate, fill, guess, slices
from launch import jobs as jobs_lib
from tests.launch import test_status

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "accelerators.json"
PAPER = "experiments/paper.py:paper"
V5E = slices.find("v5e", "2x2")


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
  monkeypatch.chdir(ROOT)


def left(job, slice_=V5E):
  return guess.seconds_left(job, fill.choice_of(job, slice_), slice_)


def load(tmp_path, name, **settings):
  [job] = jobs_lib.load(PAPER, tmp_path, only=[name], settings=settings)
  return job


@pytest.mark.parametrize(("trunk", "scale"), guess.CYCLES)
def test_cycles_are_those_of_the_results(trunk, scale):
  rows = {row["name"]: row for row in json.loads(RESULTS.read_text())}
  row = rows[f"v5e-4/members/{trunk}_x{scale}/loop/1/float32"]
  assert guess.CYCLES[trunk, scale] == row["step"]["cycles"]


@pytest.mark.parametrize(
  ("trunk", "scale", "most"),
  [("fsrcnn", 4, 6), ("fsrcnn", 2, 6.1), ("wdsr", 2, 6.2)],
)
def test_six_members_on_a_chip_take_hardly_longer_than_six_times_one(
  trunk, scale, most
):
  """What the estimate takes for granted."""
  rows = {row["name"]: row for row in json.loads(RESULTS.read_text())}
  six = rows[f"v5e-4/members/{trunk}_x{scale}/loop/6/float32"]["step"]["cycles"]
  assert six <= most * guess.CYCLES[trunk, scale]


def test_seconds_by_hand(tmp_path):
  """120 epochs of 750 steps in each phase; 3 members on 4 chips."""
  job = load(tmp_path, "mnist_wdsr_x2")
  assert left(job) == pytest.approx(2 * 90_000 * 3_482_700 / 1.5e9)
  # Six members in `joint`, of two loss weights: two on a chip.
  fans_out = load(tmp_path, "mnist_fsrcnn_x4")
  assert left(fans_out) == pytest.approx(3 * 90_000 * 986_344 / 1.5e9)
  test_status.begin(job, ("pretrain", 90_000), num_train_images=48_000)
  assert left(job) == pytest.approx(90_000 * 3_482_700 / 1.5e9)


@pytest.mark.parametrize(
  ("name", "settings"),
  [
    ("svhn_wdsr_x2", {}),
    ("mnist_wdsr_x4", {}),
    ("mnist_sequential_fsrcnn_x4", {}),
    ("mnist_wdsr_x2", {"batch_size": "32"}),
    ("mnist_wdsr_x2", {"model.dtype": "bfloat16"}),
    ("mnist_wdsr_x2", {"model.expansion": "4"}),
    ("mnist_wdsr_x2", {"model.classifier_strides": "2,2,2"}),
  ],
)
def test_what_was_not_compiled_is_not_guessed(tmp_path, name, settings):
  (tmp_path / "mnist_fsrcnn_x4").mkdir()  # a source
  assert left(load(tmp_path, name, **settings)) is None
  assert (
    left(load(tmp_path, "mnist_wdsr_x2"), slices.find("v6e", "2x2")) is None
  )
  assert left(load(tmp_path, "mnist_wdsr_x2"), slices.find("h100", gpus=1)) is (
    None
  )


def test_measured_speeds_come_first(tmp_path):
  job = load(tmp_path, "mnist_wdsr_x2")
  speeds = estimate.Speeds(tmp_path / "speeds.json")
  [plan] = fill.plan([job], V5E, speeds)
  assert plan.need == fill.costs.Need(left(job), is_guess=True)
  speeds.add("wdsr_x2 mnist", 1.0, 90_000.0)
  [plan] = fill.plan([job], V5E, speeds)
  assert (plan.need.seconds, plan.need.is_guess) == (pytest.approx(6.0), False)
