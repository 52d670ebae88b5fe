"""Runs that share a host: its GPUs, or parts of its TPU chips.

The whole command on emulated hosts: real raylets and processes, with a program
in place of the training that notes what it may use.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from launch import slices
from tests import clusters
from tests.launch import test_jobs

pytest.importorskip("ray")
pytestmark = [
  pytest.mark.clusters,
  # Ray's own.
  pytest.mark.filterwarnings("ignore"),
]

ROOT = pathlib.Path(__file__).parents[2]
TIMEOUT = 200  # seconds

# Ends when the other run is there as well, of this sweep or of another.
PROGRAM = """
import json, os, pathlib, sys, time

flags = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
folder = pathlib.Path(flags["--workdir"])
folder.mkdir(exist_ok=True)
(folder / "new").write_text(json.dumps(dict(os.environ)))
(folder / "new").rename(folder / "environment")
begin = time.monotonic()
while len(list(folder.parents[1].glob("*/*/environment"))) < 2:
  time.sleep(0.1)
  assert time.monotonic() - begin < 100
(folder / "DONE").touch()
"""
DRIVER = """
import sys
from launch import host, sweep

host.COMMAND = (sys.executable, sys.argv[1])
sys.exit(sweep.main(["sweep", *sys.argv[2:]]))
"""


def write_sweep(folder, names):
  (folder / "program.py").write_text(PROGRAM)
  return test_jobs.write_sweep(
    folder,
    f"return [runs.Run(name, 'tests/tiny.py', {{}}) for name in {names!r}]",
  )


def environment(workdir, run):
  return json.loads((workdir / run / "environment").read_text())


def environments(folder, *flags):
  """What two runs on one host are told, and what their sweep has printed."""
  sweep, workdir = write_sweep(folder, "ab"), folder / "runs"
  command = (
    sys.executable, "-c", DRIVER, str(folder / "program.py"),
    f"--sweep={sweep}", f"--workdir={workdir}", "--engine=ray", *flags,
  )  # fmt: skip
  own = {k: v for k, v in os.environ.items() if k != "SR2_JAX_CACHE_DIR"}
  done = subprocess.run(
    command,
    check=False,
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=TIMEOUT,
    env=own,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  found = [environment(workdir, name) for name in "ab"]
  return found, done.stdout + done.stderr


def test_a_gpu_each(tmp_path):
  found, printed = environments(
    tmp_path, "--address=emulate-gpu:1x2", "--gpus=1", "--price=2"
  )
  assert {env["CUDA_VISIBLE_DEVICES"] for env in found} == {"0", "1"}
  assert {env["JAX_NUM_CPU_DEVICES"] for env in found} == {"1"}
  cache = str(tmp_path / "runs" / ".cache")
  assert [env["SR2_JAX_CACHE_DIR"] for env in found] == [cache] * 2
  lines = [line for line in printed.splitlines() if " starts on " in line]
  assert len(lines) == 2
  assert all(line.startswith("emulated: ") for line in lines)
  assert "emulated: 2/2 runs finished; 0.0" in printed
  assert "at 2.00 per chip-hour" in printed


def test_all_gpus_of_a_node(tmp_path):
  found, _ = environments(tmp_path, "--address=emulate-gpu:2x2")
  assert [env["CUDA_VISIBLE_DEVICES"] for env in found] == ["0,1"] * 2
  assert {env["JAX_NUM_CPU_DEVICES"] for env in found} == {"2"}


def test_parts_of_a_tpu_host(tmp_path):
  found, _ = environments(tmp_path, "--address=emulate:1x1x8", "--cut=2x2")
  assert {env["TPU_VISIBLE_CHIPS"] for env in found} == {"0,1,2,3", "4,5,6,7"}
  assert {env["TPU_CHIPS_PER_PROCESS_BOUNDS"] for env in found} == {"2,2,1"}
  assert len({env["TPU_PROCESS_PORT"] for env in found}) == 2


@pytest.fixture(scope="module")
def host():
  """A cluster that is one host of eight chips."""
  with clusters.emulated(1, slice_=slices.emulated(1, 8)) as started:
    yield started


def part_of(host, folder, name, cut, patch=""):
  """A sweep of one run, on a part of a host."""
  own = folder / f"for_{name}"
  own.mkdir()
  return clusters.Sweep(
    host, folder / name, f"--sweep={write_sweep(own, name)}", f"--cut={cut}",
    shape="1x1x8", program=str(own / "program.py"), patch=patch,
  )  # fmt: skip


def test_two_sweeps_on_parts_of_a_host(host, tmp_path):
  """Neither knows which chips the other has; Ray does."""
  with (
    part_of(host, tmp_path, "a", "2x2") as one,
    part_of(host, tmp_path, "b", "2x2") as other,
  ):
    one.finish()
    other.finish()
  found = [environment(tmp_path / name, name) for name in "ab"]
  assert {env["TPU_VISIBLE_CHIPS"] for env in found} == {"0,1,2,3", "4,5,6,7"}
  assert len({env["TPU_PROCESS_PORT"] for env in found}) == 2


def test_chips_between_those_of_others_are_no_part(host, tmp_path):
  """A single chip is taken: the next four that are free are no square."""
  with part_of(host, tmp_path, "a", "1x1") as one:
    one.until(lambda: one.events("started", "a"), "a start")
    with part_of(
      host, tmp_path, "b", "2x2", patch="fleet._SECONDS_TO_COOL = 1.0"
    ) as other:
      word = "are no 2x2; another slice is tried"
      other.until(lambda: word in other.output, "a word")
      assert other.events("started", "b") == []
      (tmp_path / "there" / "too").mkdir(parents=True)
      (tmp_path / "there" / "too" / "environment").touch()  # Ends the first.
      one.finish()
      other.finish()
  found = environment(tmp_path / "b", "b")
  assert found["TPU_VISIBLE_CHIPS"] in ("0,1,2,3", "4,5,6,7")
