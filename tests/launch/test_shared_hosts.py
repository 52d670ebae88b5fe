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

from tests.launch import test_jobs

pytest.importorskip("ray")
pytestmark = [
  pytest.mark.clusters,
  # Ray's own.
  pytest.mark.filterwarnings("ignore"),
]

ROOT = pathlib.Path(__file__).parents[2]
TIMEOUT = 200  # seconds

# Ends when the other run is there as well.
PROGRAM = """
import json, os, pathlib, sys, time

flags = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
folder = pathlib.Path(flags["--workdir"])
folder.mkdir(exist_ok=True)
(folder / "new").write_text(json.dumps(dict(os.environ)))
(folder / "new").rename(folder / "environment")
begin = time.monotonic()
while len(list(folder.parent.glob("*/environment"))) < 2:
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


def environments(workdir, *flags):
  """Of two runs side by side, and what the sweep has printed."""
  (workdir / "program.py").write_text(PROGRAM)
  sweep = test_jobs.write_sweep(
    workdir,
    "return [runs.Run(name, 'tests/tiny.py', {}) for name in ('a', 'b')]",
  )
  command = (
    sys.executable, "-c", DRIVER, str(workdir / "program.py"),
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
  found = [
    json.loads((workdir / name / "environment").read_text()) for name in "ab"
  ]
  return found, done.stdout + done.stderr


def test_a_gpu_each(tmp_path):
  found, printed = environments(
    tmp_path, "--address=emulate-gpu:1x2", "--gpus=1", "--price=2"
  )
  assert {env["CUDA_VISIBLE_DEVICES"] for env in found} == {"0", "1"}
  assert {env["JAX_NUM_CPU_DEVICES"] for env in found} == {"1"}
  cache = str(tmp_path / ".cache")
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
