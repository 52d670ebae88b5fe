"""Machines that share nothing but a bucket, as processes of this one."""

import contextlib
import os
import pathlib
import subprocess
import sys

from sr2_jax.buckets import address, lists
from sr2_jax.buckets import store as store_lib

ROOT = pathlib.Path(__file__).parents[2]
TIMEOUT = 400  # seconds; compiling on a busy machine takes long
ONLY_PRETRAIN = "--config.joint.num_epochs=0"
# Sooner than users have it, so that the tests need not wait.
_SOONER = """
import sys
from sr2_jax.buckets import fetch, owner, sending
owner.BEAT, owner.STALE, owner.LOOK = 0.3, 4.0, 0.1
sending.PATIENCE = sending.PATIENCE_OF_A_STOP = 2.0
fetch._PATIENCE = 2.0
"""
PROGRAM = f"""{_SOONER}
from sr2_jax import main
sys.exit(main.main(sys.argv))
"""
SWEEP = f"""{_SOONER}
from launch import host, sweep
host.COMMAND = (sys.executable, "-c", {PROGRAM!r})
sys.exit(sweep.main())
"""


class Machine:
  """A separate machine, which sees nothing that the others wrote to disk."""

  def __init__(self, server, folder, programs):
    self.folder = folder
    folder.mkdir(parents=True)
    self.environment = {
      **os.environ,
      **server.environment,
      "SR2_JAX_CACHE_DIR": str(programs),
      "SR2_JAX_SCRATCH_DIR": str(folder / "scratch"),
      "JAX_PLATFORMS": "cpu",
      "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }

  @property
  def log(self):
    return (self.folder / "log").read_text()

  @contextlib.contextmanager
  def started(self, *arguments, program=("-c", PROGRAM)):
    with (self.folder / "log").open("a") as log:
      process = subprocess.Popen(
        (sys.executable, *program, *arguments),
        cwd=ROOT,
        env=self.environment,
        stdout=log,
        stderr=log,
      )
      try:
        yield process
      finally:
        process.kill()
        process.wait()

  def train(self, workdir, *arguments, expect=0):
    """Output of a run that has ended with the expected code."""
    flags = (ONLY_PRETRAIN, f"--workdir={workdir}", *arguments)
    return self.run("--config=tests/tiny.py", *flags, expect=expect)

  def run(self, *arguments, expect=0, **more):
    before = len(self.log) if (self.folder / "log").exists() else 0
    with self.started(*arguments, **more) as process:
      code = process.wait(TIMEOUT)
    assert code == expect, self.log
    assert "Traceback" not in self.log, self.log
    return self.log[before:]

  def path(self, url):
    place = address.parse(url, "x")
    return self.folder.joinpath("scratch/process_0", *place[:2], place.key)


def newest(url):
  store = store_lib.connect(address.parse(url, "x"))
  return next(lists.newest_first(store), None)


def files(folder):
  """The files that two runs must have in common, byte for byte."""
  names = ["metrics.jsonl", "results.jsonl"]
  names += [str(x.relative_to(folder)) for x in folder.glob("weights/*/*/*")]
  return {name: (folder / name).read_bytes() for name in names}
