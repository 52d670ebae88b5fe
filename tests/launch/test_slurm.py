"""The script for Slurm, with programs that stand in for Slurm's."""

import os
import pathlib
import subprocess

import pytest

from launch import slurm
from sr2_jax import errors

# Says what it was asked, and answers as the test wants.
STAND_INS = {
  "sbatch": 'echo sbatch "$@" >>calls; env | grep ^SR2_JAX >variables; '
  "echo $(($(wc -l <calls) + 100))",
  "scontrol": 'echo scontrol "$@" >>calls',
  "srun": 'printf "%s\\n" "$@" >words; env | grep ^SR2_JAX >variables; '
  'echo said; exit "$CODE"',
  "sleep": ":",
}
ODD = "it's; touch x $(touch x)"


BUCKET = "s3://bucket/a b/sweep"


@pytest.fixture(params=["folder", "bucket"])
def places(request, tmp_path):
  """A sweep's folder, that of its logs, and that of its runs on a node."""
  if request.param == "folder":
    return tmp_path / "runs", tmp_path / "runs", tmp_path / "runs"
  scratch = tmp_path / "node" / f"sr2_jax_{os.getuid()}"
  runs = scratch / "process_0/s3/bucket/a b/sweep"
  return BUCKET, tmp_path / "mine_logs", runs


@pytest.fixture
def call(tmp_path, places):
  """Runs the script of a sweep: a source, two after it, and one alone."""
  workdir, _, folder = places
  for name, body in STAND_INS.items():
    program = tmp_path / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/usr/bin/env bash\n{body}\n")
    program.chmod(0o755)
  runs = [
    slurm.Run("a", ("run", ODD, "a b"), None),
    slurm.Run("b", ("run", "b"), "a"),
    slurm.Run("c", ("run", "c"), None),
    slurm.Run("d", ("run", "d"), "b"),
    slurm.Run("e", ("run", "e"), "left out"),
  ]
  script = tmp_path / "script.sh"
  script.write_text(
    slurm.script(
      runs, name="mine", workdir=str(workdir), gpus=2, retries=1,
      at_once=3, partition="fast", grace_seconds=90,
    )
  )  # fmt: skip
  subprocess.run(["bash", "-n", str(script)], check=True)

  def run(task=None, code=0):
    (tmp_path / "calls").write_text("")
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    variables = {
      **os.environ, "PATH": path, "CODE": str(code),
      "SLURM_TMPDIR": str(tmp_path / "node"),
    }  # fmt: skip
    for name in ("SR2_JAX_CACHE_DIR", "SR2_JAX_SCRATCH_DIR"):
      variables.pop(name, None)
    if task is not None:
      (folder / "abcde"[task]).mkdir(parents=True, exist_ok=True)
      variables["SLURM_ARRAY_TASK_ID"] = str(task)
      variables["SLURM_ARRAY_JOB_ID"] = "7"
    done = subprocess.run(["bash", str(script)], cwd=tmp_path, env=variables)
    return done.returncode, (tmp_path / "calls").read_text().splitlines()

  return run


def test_submitting_keeps_the_order(call, tmp_path):
  code, calls = call()
  assert code == 0
  # A job inherits what is exported here, and its node has other folders.
  assert (tmp_path / "variables").read_text() == ""
  script = str(tmp_path / "script.sh")
  after = "sbatch --parsable --array={} --kill-on-invalid-dep=yes --dependency="
  assert calls == [
    f"sbatch --parsable --array=0,2,4%3 {script}",
    f"{after.format(1)}afterok:101_0 {script}",
    f"{after.format(3)}afterok:102_1 {script}",
  ]
  head = (tmp_path / "script.sh").read_text().split("set -uo")[0]
  for flag in (
    "--job-name=mine", "--gpus-per-node=2", "--requeue", "--signal=TERM@90",
    "--partition=fast",
  ):  # fmt: skip
    assert f"#SBATCH {flag}\n" in head


def script(workdir):
  return slurm.script(
    [slurm.Run("a", ("run",), None)], name="mine", workdir=str(workdir), gpus=1,
    retries=1, at_once=0, partition="", grace_seconds=90,
  )  # fmt: skip


def test_a_folder_does_not_end_the_head(tmp_path):
  log = "#SBATCH --output=/mnt/a\\ 5%%/mine.%a.log\n"
  assert log in script(pathlib.Path("/mnt/a 5%"))
  for end in ("\n", "\r", "\x85"):
    with pytest.raises(errors.UserError, match="odd characters"):
      script(tmp_path / f"a{end}touch x")


def test_logs_of_slurm_are_beside_those_of_runs():
  """Slurm opens its own file before the script can make a folder."""
  assert "#SBATCH --output=mine_logs/mine.%a.log\n" in script(BUCKET)
  assert "#SBATCH --output=/mnt/a/mine.%a.log\n" in script("/mnt/a")


def test_caches_and_scratch_folders(call, tmp_path, places):
  """Nodes share caches in a folder; with a bucket each works on its own."""
  assert call(0) == (0, [])
  words = (tmp_path / "variables").read_text().splitlines()
  found = dict(word.split("=", 1) for word in words)
  if places[0] == BUCKET:
    scratch = tmp_path / "node" / f"sr2_jax_{os.getuid()}"
    assert found == {"SR2_JAX_SCRATCH_DIR": str(scratch)}
  else:
    assert found == {"SR2_JAX_CACHE_DIR": str(tmp_path / "runs" / ".cache")}


def test_a_task_runs_its_command_and_nothing_else(call, tmp_path, places):
  assert call(0) == (0, [])
  assert (tmp_path / "words").read_text() == f"run\n{ODD}\na b\n"
  assert not (tmp_path / "x").exists()
  assert (places[1] / "a.log").read_text() == "said\n"


@pytest.mark.parametrize("code", [4, 130, 143])
def test_waits_and_preemptions_are_not_counted(call, code):
  for _ in range(5):
    assert call(2, code) == (0, ["scontrol requeue 7_2"])


@pytest.mark.parametrize("code", [1, 5, 137])
def test_crashes_are_counted(call, code):
  for _ in range(2):  # Submitted again after it has failed.
    assert call(2, code) == (0, ["scontrol requeue 7_2"])
    assert call(2, code) == (code, [])


def test_what_is_never_tried_again(call, places):
  assert call(1, 2) == (2, [])
  assert call(1, 3) == (3, [])
  # The other members have finished: the runs after it can start.
  (places[2] / "b" / "DONE").touch()
  assert call(1, 3) == (0, [])
