"""Runs in buckets as their users start them: real processes, real kills."""

import json
import time

import pytest

from sr2_jax.peers import meeting
from tests.buckets import machines, remote, servers

pytestmark = pytest.mark.buckets


@pytest.fixture(scope="module", params=["s3", "gs"])
def server(request):
  remote.need(request.param)
  with servers.running(request.param) as found:
    yield found


@pytest.fixture
def machine(server, tmp_path, programs_of_runs):
  return lambda name: machines.Machine(
    server, tmp_path / name, programs_of_runs
  )


def test_killed_on_one_machine_and_resumed_on_another(server, machine):
  url = f"{server.url}/runs/killed"
  first, second = machine("first"), machine("second")
  flags = ("--config=tests/tiny.py", machines.ONLY_PRETRAIN, f"--workdir={url}")
  with first.started(*flags) as process:
    until = time.monotonic() + machines.TIMEOUT

    def has_saved():
      found = machines.newest(url)
      return found and any("/last/000000" in name for name in found.files)

    while not has_saved():
      assert process.poll() is None, first.log
      assert time.monotonic() < until, first.log
      time.sleep(0.05)
    process.kill()  # As a machine that is gone.
    process.wait()
  text = second.train(url)
  assert "taking over" in text
  assert "resuming pretrain at step" in text
  whole = machine("whole")
  whole.train(f"{server.url}/runs/whole")
  resumed = machines.files(second.path(url))
  assert resumed == machines.files(whole.path(f"{server.url}/runs/whole"))
  assert len(resumed) > 4
  # The first machine finds that all is done.
  assert "Nothing to do" in first.train(url)
  if url.startswith("s3"):  # One store is enough.
    check_reading(server, url, machine("reader"))


def check_reading(server, url, reader):
  """Everything that reads a run takes its URL."""
  module = ("-m", "sr2_jax.report")
  out = reader.folder / "report"
  text = reader.run(url, "--out", str(out), program=module)
  assert (out / "report.html").is_file(), text
  # The folder of runs has both.
  table = reader.folder / "rows.csv"
  above = f"{server.url}/runs"
  text = reader.run(above, "--csv", str(table), program=module)
  assert "2 files" in text
  shown = reader.run(
    "--example", f"--weights={url}", f"--out={reader.folder / 'digits'}",
    program=("-m", "sr2_jax.predict"),
  )  # fmt: skip
  assert len(list((reader.folder / "digits").iterdir())) == 4, shown
  copies = reader.folder / "scratch/copies"
  assert not list(copies.rglob("checkpoints"))
  joint = reader.run(
    "--config=tests/tiny.py", f"--config.init_from={url}",
    "--config.joint.num_epochs=1", f"--workdir={server.url}/runs/joint",
  )  # fmt: skip
  assert f"starting from the weights of {url}" in joint
  evaluated = reader.train(
    url, "--mode=eval", "--config.eval.splits=validation"
  )
  assert "validation" in evaluated
  rows = (reader.path(url) / "results.jsonl").read_text().splitlines()
  assert {json.loads(row)["split"] for row in rows} == {"test", "validation"}
  assert "results.jsonl" in machines.newest(url).files


def test_two_processes_on_two_machines(server, machine):
  """None sees what the other one writes, but in the bucket."""
  if server.url.startswith("s3"):
    pytest.skip("one store is enough")
  url = f"{server.url}/runs/two"
  address = f"--coordinator=127.0.0.1:{meeting.free_port()}"
  flags = (
    "--config=tests/tiny.py", f"--workdir={url}", address, "--num_processes=2",
    "--config.pretrain.num_epochs=2", "--config.joint.num_epochs=1",
  )  # fmt: skip
  first, second = machine("first"), machine("second")
  with (
    first.started(*flags, "--process_id=0") as zero,
    second.started(*flags, "--process_id=1") as one,
  ):
    assert zero.wait(machines.TIMEOUT) == 0, first.log
    assert one.wait(machines.TIMEOUT) == 0, second.log
  assert "DONE" in machines.newest(url).files
  mine = second.folder / "scratch/process_1"
  assert list(mine.rglob("checkpoints/joint/last/*/files.sha256"))
  assert not (second.folder / "scratch/process_0").exists()


def test_mistakes_and_a_store_that_is_away(server, machine):
  one = machine("one")
  text = one.train(f"{server.url}-not/a", expect=2)
  assert f"{server.url}-not/a cannot be used" in text
  text = one.train(f"{server.url}/none", "--mode=eval", expect=2)
  assert "is not a run folder" in text
  name = next(x for x in server.environment if "ENDPOINT" in x or "HOST" in x)
  one.environment[name] = remote.SILENT
  text = one.train(f"{server.url}/a", expect=2)
  assert "cannot be used" in text
