import pathlib

import pytest

from launch import grid
from launch import jobs as jobs_lib
from sr2_jax import errors

ROOT = pathlib.Path(__file__).parents[2]
TINY = "tests/tiny.py"


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
  monkeypatch.chdir(ROOT)


def load(tmp_path, **axes):
  axes = {field.replace("__", "."): value for field, value in axes.items()}
  return jobs_lib.load(TINY, tmp_path, grid=axes)


def test_what_can_train_side_by_side_is_one_run(tmp_path):
  [job] = load(
    tmp_path, seed="3..12", joint__loss_weight=".11,9", loss__l2="0,1e-5"
  )
  assert job.name == "tiny"
  config = job.config
  assert (config.seed, config.num_seeds) == (3, 10)
  assert config.joint.loss_weight == (0.11, 9.0)
  assert config.loss.l2 == (0.0, 1e-5)


def test_other_fields_make_runs(tmp_path):
  jobs = load(
    tmp_path, batch_size="8,16", loss__super_resolution="mse,l1", seed="0,1"
  )
  assert [job.name for job in jobs] == [
    "tiny_batch_size_8_loss.super_resolution_mse",
    "tiny_batch_size_8_loss.super_resolution_l1",
    "tiny_batch_size_16_loss.super_resolution_mse",
    "tiny_batch_size_16_loss.super_resolution_l1",
  ]
  assert [job.config.batch_size for job in jobs] == [8, 8, 16, 16]
  assert {job.config.num_seeds for job in jobs} == {2}
  assert {job.config.experiment for job in jobs} == {j.name for j in jobs}


def test_seeds_with_gaps_are_runs_of_their_own(tmp_path):
  jobs = load(tmp_path, seed="0,5")
  assert [job.config.seed for job in jobs] == [0, 5]


@pytest.mark.parametrize(
  ("axes", "expected"),
  [
    ({"sed": "1"}, "config.seed?"),
    ({"experiment": "a,b"}, "each run has its own"),
    ({"seed": ""}, "different values"),
    ({"seed": "1,1"}, "different values"),
    ({"seed": "9..0"}, "has to go upwards"),
    ({"seed": "0..99999"}, "at most 10000"),
    ({"seed": "0..9", "num_seeds": "1,2"}, "exclude"),
    ({"data.path": "a/b,a:b"}, "two runs called tiny_data.path_a-b"),
    ({"batch_size": "0..999", "num_seeds": "1..99"}, "more than 10000"),
  ],
)
def test_mistake(axes, expected):
  with pytest.raises(errors.UserError, match=expected):
    grid.runs(TINY, axes)


@pytest.mark.parametrize("field", ["seed", "num_seeds", "batch_size"])
def test_no_setting_changes_what_the_grid_does(tmp_path, field):
  axes = {"seed": "0..9", "batch_size": "8,16"}
  with pytest.raises(errors.UserError, match=f"--set {field}: --grid sets it"):
    jobs_lib.load(TINY, tmp_path, grid=axes, settings={field: "3"})


def test_a_wrong_value_names_the_run(tmp_path):
  with pytest.raises(errors.UserError, match="tiny_batch_size_x"):
    load(tmp_path, batch_size="8,x")
