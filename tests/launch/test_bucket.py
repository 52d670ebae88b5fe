import pytest

from launch import bucket as bucket_lib
from launch import jobs, status, sweep
from sr2_jax import errors
from sr2_jax.buckets import address, fetch, sending, state
from sr2_jax.buckets import store as store_lib
from sr2_jax.records import folder as folder_lib
from tests.buckets import memory, several, worlds

URL = "gs://bucket/sweep"


@pytest.fixture
def bucket(monkeypatch, tmp_path):
  worlds.fast(monkeypatch)
  monkeypatch.setattr(sending, "PATIENCE", 0.2)
  found = several.Bucket()
  monkeypatch.setattr(store_lib, "connect", found.connect)
  on(monkeypatch, tmp_path / "first")
  return found


def on(monkeypatch, machine):
  """From here on, this is another machine."""
  monkeypatch.setenv("SR2_JAX_SCRATCH_DIR", str(machine))


def run(name, last=lambda: None, **contents):
  """What a run of the sweep does, on the machine that this is now."""
  url = f"{URL}/{name}"
  folder = address.scratch(address.parse(url, "x"))
  with sending.sending(fetch.connected(address.parse(url, "x")), folder, url):
    worlds.write(folder, **contents)
    last()


def test_a_path():
  assert str(bucket_lib.local("runs/a")) == "runs/a"


def test_the_sweeps_own_files_are_mirrored(bucket, monkeypatch, tmp_path):
  with bucket_lib.claimed(URL):
    run("a", state="1", DONE="")
    worlds.write(bucket_lib.local(URL), **{"events.jsonl": "e", "a.log": "l"})
  on(monkeypatch, tmp_path / "second")
  bucket_lib.bring(URL)
  found = worlds.read(bucket_lib.local(URL))
  assert found == {"events.jsonl": "e", "a.log": "l", "a/DONE": ""}
  # A run that starts here has all of it, and the sweep goes on.
  with bucket_lib.claimed(URL):
    run("a", more="2")
  found = worlds.read(bucket_lib.local(URL))
  assert {"a/state", "a/DONE", "a/more", "a.log"} <= found.keys()


def test_two_sweeps(bucket):
  with (
    bucket_lib.claimed(URL),
    pytest.raises(errors.FolderInUseError),
    bucket_lib.claimed(URL),
  ):
    pass


def test_what_is_here_and_not_in_the_bucket_stays(bucket):
  run("a", state="1")
  folder = bucket_lib.local(f"{URL}/a")
  away = memory.away("put")
  with pytest.raises(errors.UserError, match="lacks DONE"):
    run("a", lambda: bucket.faults.append(away), DONE="")
  bucket.faults.clear()
  bucket_lib.bring(URL)
  assert (folder / "DONE").exists()
  assert state.is_unsent(folder)


def test_a_run_that_went_on_elsewhere(bucket, monkeypatch, tmp_path):
  run("a", state="1")
  on(monkeypatch, tmp_path / "second")
  run("a", DONE="")
  on(monkeypatch, tmp_path / "first")
  folder = bucket_lib.local(f"{URL}/a")
  assert not (folder / "DONE").exists()
  bucket_lib.bring(URL)
  assert (folder / "DONE").exists()


def test_a_run_that_is_at_work_here_is_left_alone(bucket):
  run("a", state="1")
  folder = bucket_lib.local(f"{URL}/a")
  state.forget(folder)
  with folder_lib.RunFolder(folder).claim():
    (folder / "config.json").write_text("{}")
    bucket_lib.bring(URL)
    assert (folder / "config.json").exists()


def test_jobs_have_urls(bucket):
  found = jobs.load("tests/tiny_sweep.py", bucket_lib.local(URL), url=URL)
  by_name = {job.name: job for job in found}
  control = by_name["control"]
  assert f"--workdir={URL}/control" in control.arguments
  assert f"--config.init_from={URL}/first" in control.arguments
  assert control.folder.path == bucket_lib.local(f"{URL}/control")


def test_a_run_that_is_done_but_not_sent_starts_again(bucket):
  [job, *_] = jobs.load("tests/tiny_sweep.py", bucket_lib.local(URL), url=URL)
  job.folder.path.mkdir(parents=True)
  job.folder.record({"config": {}})
  job.folder.set_done()
  assert status.is_finished(job)
  state.mark(job.folder.path, is_unsent=True)
  assert not status.is_finished(job)


@pytest.mark.parametrize(
  "flags",
  [
    ("--engine=ray", "--accelerator=v5e", "--topology=2x4"),
    ("--emit=sbatch", "--accelerator=h100", "--gpus=1"),
    ("--emit=rayjob", "--accelerator=v5e", "--topology=2x4", "--image=i"),
    ("--emit=jobset", "--accelerator=v5e", "--topology=2x4"),
    ("--emit=jobset", "--accelerator=v5e", "--topology=2x4", "--image=i",
     "--volume=a:/b"),
  ],
)  # fmt: skip
def test_what_does_not_go_with_a_bucket(bucket, flags, capsys):
  words = ["sweep", "--sweep=tests/tiny_sweep.py", f"--workdir={URL}", *flags]
  assert sweep.main(words) == errors.TO_FIX
  assert len(capsys.readouterr().err.splitlines()) <= 2


@pytest.mark.parametrize("kind", ["commands", "jobset", "xpk"])
@pytest.mark.parametrize("topology", ["2x2", "4x4"])
def test_files_for_schedulers(bucket, kind, topology, capsys):
  image = [] if kind == "commands" else ["--image=registry/sr2_jax:1"]
  words = ["sweep", "--sweep=tests/tiny_sweep.py", f"--workdir={URL}"]
  words += [f"--emit={kind}", "--accelerator=v5e", f"--topology={topology}"]
  assert sweep.main([*words, *image]) == errors.DONE
  text = capsys.readouterr().out
  assert f"--workdir={URL}/control" in text
  assert f"--config.init_from={URL}/first" in text
  assert "SR2_JAX_CACHE_DIR" not in text
  assert "shared" not in text
