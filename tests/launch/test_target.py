"""Commands of runs, as hosts of a cluster get them."""

import pathlib
import shlex

import pytest

from launch import jobs as jobs_lib
from launch import slices
from launch import target as target_lib

WORKDIR = pathlib.Path("/mnt/shared/my runs")


def target(slice_):
  return target_lib.Target(slice_, "mine", WORKDIR, 2)


@pytest.fixture
def jobs(tmp_path, monkeypatch):
  """A run and its control, loaded elsewhere than where they will be."""
  monkeypatch.chdir(tmp_path)
  only = ["*k_fsrcnn_x4", "*continued_fsrcnn_x4"]
  return jobs_lib.load("experiments/paper.py:smoke", tmp_path, only=only)


def test_folders_are_those_of_the_target(jobs, tmp_path):
  source, control = (
    target_lib.command(job, target(slices.find("h100", gpus=1))) for job in jobs
  )
  name = jobs[0].name
  assert source[:3] == ["python", "-m", "sr2_jax.main"]
  assert f"--workdir={WORKDIR}/{name}" in source
  assert f"--config.init_from={WORKDIR}/{name}" in control
  assert "--config=experiments/fsrcnn_x4.py" in source
  assert str(tmp_path) not in " ".join([*source, *control])


def test_processes_find_each_other_where_there_are_several(jobs):
  for topology, flags in (("2x4", []), ("4x4", ["--coordinator=auto"])):
    command = target_lib.command(jobs[0], target(slices.find("v5e", topology)))
    assert [w for w in command if "coordinator" in w] == flags


def test_a_shared_cache(jobs):
  slice_ = target(slices.find("v5e", "4x4"))
  words = shlex.split(target_lib.with_cache(jobs[0], slice_))
  assert words[:2] == ["env", f"SR2_JAX_CACHE_DIR={WORKDIR}/.cache"]
  assert words[2:] == target_lib.command(jobs[0], slice_)
