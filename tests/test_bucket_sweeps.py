"""A sweep in a bucket as its user starts it: real training, real kills."""

import os
import secrets
import shutil
import signal

import pytest

from tests import clusters
from tests.buckets import machines, remote, servers
from tests.launch import test_jobs

pytestmark = pytest.mark.buckets
RUNS = ("first", "control")
# The control takes a while: it is killed after its first checkpoint.
PAIR = (
  "one = {'num_seeds': 1, 'eval.every_epochs': 5}",
  "first = {**one, 'joint.num_epochs': 0, 'pretrain.num_epochs': 2}",
  "control = {**one, 'pretrain.num_epochs': 2, 'joint.num_epochs': 6,",
  "  'model.wiring': 'none'}",
  "return [runs.Run('first', 'tests/tiny.py', first),",
  "  runs.Run('control', 'tests/tiny.py', control, 'first')]",
)


@pytest.fixture(scope="module")
def server():
  remote.need("s3")  # One store is enough.
  with servers.running("s3") as found:
    yield found


def kill(process, url):
  """A machine that is gone, and what was on its disk as well."""
  process.kill()
  process.wait()
  for pid in clusters.commands(url):
    os.kill(pid, signal.SIGKILL)
  clusters.until(lambda: not clusters.commands(url), "the end")


def rows(folder):
  return [
    (folder / name).read_bytes() for name in ("metrics.jsonl", "results.jsonl")
  ]


def test_killed_on_one_machine_and_finished_on_another(
  server, tmp_path, programs_of_runs
):
  sweep = ("-c", machines.SWEEP)
  file = f"--sweep={test_jobs.write_sweep(tmp_path, *PAIR)}"
  first, second, whole, reader = (
    machines.Machine(server, tmp_path / name, programs_of_runs)
    for name in ("first", "second", "whole", "reader")
  )
  # By its name the run's process is found; other tests may be going on.
  url = f"{server.url}/sweep_{secrets.token_hex(4)}"

  def has_saved():
    assert process.poll() is None, first.log
    found = machines.newest(f"{url}/control")
    return found and any("joint/last/000000" in name for name in found.files)

  with first.started(file, f"--workdir={url}", program=sweep) as process:
    try:
      clusters.until(has_saved, "a checkpoint", lambda: first.log)
    finally:
      kill(process, f"{url}/control")
  assert "DONE" not in machines.newest(f"{url}/control").files
  shutil.rmtree(first.folder)
  text = second.run(file, f"--workdir={url}", program=sweep)
  assert "resuming joint at step" in text
  assert text.count("taking over") == 2  # The sweep, and its run.
  assert "2/2 runs finished" in text
  assert "resuming pretrain" not in text  # What is done is not begun again.
  plain = tmp_path / "plain"
  whole.run(file, f"--workdir={plain}", program=sweep)
  table = reader.folder / "rows.csv"
  report = ("-m", "sr2_jax.report")
  assert "2 files" in reader.run(url, "--csv", str(table), program=report)
  copies = reader.folder.joinpath("scratch/copies", *url.split("://"))
  for name in RUNS:
    assert "DONE" in machines.newest(f"{url}/{name}").files
    assert rows(copies / name) == rows(plain / name)
