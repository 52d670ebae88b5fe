"""What jobs use of slices; nothing is started."""

import json
import pathlib

import pytest

from launch import estimate, fill, slices, status
from launch import jobs as jobs_lib
from sr2_jax import errors
from tests.launch import test_jobs, test_status

ROOT = pathlib.Path(__file__).parents[2]
PAPER = "experiments/paper.py:paper"


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
  monkeypatch.chdir(ROOT)


def plans(tmp_path, slice_, sweep=PAPER, **keywords):
  jobs = jobs_lib.load(sweep, tmp_path, **keywords)
  return fill.plan(jobs, slice_, estimate.Speeds(tmp_path / "speeds.json"))


def test_each_run_of_the_paper_fits_every_slice(tmp_path):
  jobs = jobs_lib.load(PAPER, tmp_path, settings={"parallel.layout": "members"})
  speeds = estimate.Speeds(tmp_path / "speeds.json")
  for name, tpu in slices.TPUS.items():
    for topology in tpu.topologies:
      slice_ = slices.find(name, topology)
      found = fill.plan(jobs, slice_, speeds)
      assert len(found) == len(jobs) == 22
      for plan in found:
        assert plan.choice.available == slice_.chips
        assert plan.choice.hosts == slice_.hosts


def test_three_seeds_on_eight_chips(tmp_path):
  [plan] = plans(
    tmp_path,
    slices.find("v5e", "2x4"),
    only=["svhn_wdsr_x2"],
    settings={"parallel.layout": "members"},
  )
  assert (plan.choice.num_devices, plan.choice.idle) == (3, 5)
  assert plan.wave == 1
  assert plan.need.seconds is None


def test_waves(tmp_path):
  found = plans(tmp_path, slices.find("v5e", "2x2"))
  by_name = {plan.job.name: plan for plan in found}
  assert by_name["mnist_wdsr_x2"].wave == 1
  assert by_name["mnist_sr_continued_wdsr_x2"].wave == 2
  assert {plan.wave for plan in found} == {1, 2}


def test_a_part_of_a_host_is_one_process(tmp_path):
  [plan] = plans(
    tmp_path, slices.find("v5e", "2x4", cut="2x2"), only=["svhn_wdsr_x2"]
  )
  assert (plan.choice.available, plan.choice.hosts) == (4, 1)


def test_what_a_run_has_recorded_is_kept(tmp_path):
  [job] = jobs_lib.load(PAPER, tmp_path, only=["svhn_wdsr_x2"])
  test_status.begin(job)
  path = job.folder.path / "config.json"
  text = json.loads(path.read_text())
  text["config"]["parallel"] = {"layout": "data", "num_devices": 2}
  path.write_text(json.dumps(text))
  assert fill.choice_of(job, slices.find("v5e", "2x4")).num_devices == 2
  path.write_text("{")  # the run itself will say so
  assert fill.choice_of(job, slices.find("v5e", "2x4"))


def test_all_mistakes_at_once(tmp_path):
  with pytest.raises(errors.UserError) as caught:
    plans(
      tmp_path,
      slices.find("v5e", "2x4"),
      sweep=test_jobs.PAIR,
      settings={"parallel.num_devices": "9"},
    )
  lines = str(caught.value).splitlines()
  assert [line.partition(":")[0] for line in lines] == ["first", "control"]
  assert "there are 8" in lines[0]


def test_time_and_chip_hours_at_measured_speeds(tmp_path):
  speeds = estimate.Speeds(tmp_path / "speeds.json")
  slice_ = slices.find("v5e", "2x2")
  first, control = jobs_lib.load(test_jobs.PAIR, tmp_path)
  for job, numbers in ((first, (10.0, 40.0)), (control, (3600.0, 32.0))):
    *_, part = status.parts(job)
    speeds.add(part.kind, *numbers)
  test_status.begin(first, ("pretrain", 10))
  found = fill.plan([first, control], slice_, speeds)
  # 10 of 20 steps of 2 members are left; 8 of 2 in joint.
  assert found[0].need.seconds == 10 * 2 * 10 / 40
  assert found[1].need.seconds == 8 * 2 * 3600 / 32
  to_go = fill.to_go(found, slice_)
  assert to_go.hours == pytest.approx(4 * (5 + 1800) / 3600)
  assert (to_go.num_guessed, to_go.num_unknown) == (0, 0)


def test_disk(tmp_path):
  """Of the order that a real run of these networks has left: 252 MB."""
  jobs = jobs_lib.load(test_jobs.PAIR, tmp_path)
  sweep = test_jobs.write_sweep(
    tmp_path, "return [runs.Run('a', 'tests/tiny.py', {})]"
  )
  [both_phases] = jobs_lib.load(sweep, tmp_path)
  disk = fill.disk(both_phases)
  assert 252e6 < disk.most < 2 * 252e6
  # Two checkpoints of 3 copies, best, and two in weights/: 9, else 4.
  assert disk.without_state == pytest.approx(disk.with_state * 4 / 9)
  assert not disk.keeps_state
  for job in jobs:  # without a classifier
    assert fill.disk(job).most < 60e6


@pytest.mark.parametrize(
  ("arguments", "keywords", "expected"),
  [
    (("v5e", "2x4"), {}, "--topology=2x2 is enough, or --cut=2x2 for 2 runs a"),
    (("v5e", "16x16"), {}, "3 of 256 chips: --topology=2x2 is enough."),
    (("v5e", "2x2"), {}, ""),
    (("v5e", "2x4"), {"cut": "2x2"}, ""),
    (("h100",), {"gpus": 8}, "--gpus=3 starts more at once."),
  ],
)
def test_advice(tmp_path, arguments, keywords, expected):
  slice_ = slices.find(*arguments, **keywords)
  found = plans(
    tmp_path,
    slice_,
    only=["svhn_wdsr_x2"],
    settings={"parallel.layout": "members"},
  )
  text = fill.advice(found, slice_)
  assert expected in text if expected else not text


def test_no_advice_on_what_is_emulated(tmp_path):
  for slice_ in (slices.emulated(1, 64), slices.emulated_gpus(16)):
    found = plans(tmp_path, slice_, only=["svhn_wdsr_x2"])
    assert fill.advice(found, slice_) == ""


def test_the_planner_proposes_that_runs_share_a_host(tmp_path):
  slice_ = slices.find("v5e", "2x4")
  found = plans(tmp_path, slice_, only=["svhn_wdsr_x2"])
  assert "or --cut=2x2 for 2 runs a slice" in fill.advice(found, slice_)


def test_advice_is_for_most_runs(tmp_path):
  """One run of the paper has six members; the others have three at most."""
  slice_ = slices.find("v5e", "2x4")
  assert fill.advice(plans(tmp_path, slice_), slice_) == (
    "Most runs use no more than 3 of 8 chips: --topology=2x2 is enough, or "
    "--cut=2x2 for 2 runs a slice."
  )
