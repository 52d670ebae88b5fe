import json
import os
import socket

import pytest
import yaml

from launch import bucket as bucket_lib
from launch import engine, jobs, status, sweep
from sr2_jax import errors
from sr2_jax.buckets import address, fetch, owner, sending, state
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


def elsewhere(monkeypatch, machine, name="a", **contents):
  """What a run does on another machine; this one is as it was afterwards."""
  here = os.environ["SR2_JAX_SCRATCH_DIR"]
  on(monkeypatch, machine)
  run(name, **contents)
  on(monkeypatch, here)


def record_of(name="a"):
  return worlds.read(bucket_lib.Record(f"{URL}/{name}").folder)


def test_a_record_of_a_run_elsewhere(bucket, monkeypatch, tmp_path):
  """Where no process has the files of the run, only a few are brought."""
  record = bucket_lib.Record(f"{URL}/a")
  record.bring()
  record.bring(is_over=True)
  assert record_of() == {}
  small = {"metrics.jsonl": "1", "config.json": "{}"}
  elsewhere(monkeypatch, tmp_path / "second", state="1", **small)
  record.bring()
  assert record_of() == small
  elsewhere(monkeypatch, tmp_path / "second", DONE="")
  record.bring()
  assert record_of() == {**small, "DONE": ""}
  assert not address.scratch(address.parse(f"{URL}/a", "x")).exists()


def test_looks_ask_for_little_where_nothing_is_new(
  bucket, monkeypatch, tmp_path
):
  elsewhere(monkeypatch, tmp_path / "second", **{"config.json": "{}"})
  record = bucket_lib.Record(f"{URL}/a")
  record.bring()
  store = bucket.stores["sweep/a"]
  store.requests.clear()
  for _ in range(3):
    record.bring()
  assert store.requests == [("get", owner.KEY)] * 3


def test_the_last_look_sees_what_the_owner_has_not_named(
  bucket, monkeypatch, tmp_path
):
  """It is killed between a list and the next beat."""
  elsewhere(monkeypatch, tmp_path / "second", **{"config.json": "{}"})
  store = bucket.stores["sweep/a"]
  data, _ = store.get(owner.KEY)
  elsewhere(monkeypatch, tmp_path / "second", DONE="")
  store.put(owner.KEY, data)
  record = bucket_lib.Record(f"{URL}/a")
  record._number = owner.last_list(json.loads(data))
  record.bring()
  assert record_of() == {}
  record.bring(is_over=True)
  assert record_of() == {"config.json": "{}", "DONE": ""}


@pytest.mark.parametrize("is_known", [True, False])
def test_the_next_start_waits_only_where_an_end_is_not_certain(
  bucket, monkeypatch, tmp_path, is_known
):
  """On another machine, after a kill."""
  monkeypatch.setattr(owner, "STALE", 0.3)
  monkeypatch.setattr(owner, "LOOK", 0.05)
  elsewhere(monkeypatch, tmp_path / "second", state="1")
  store = bucket.stores["sweep/a"]
  found = json.loads(store.get(owner.KEY)[0])
  left = {**found, "session": "killed", "stale_after": 0.3}
  store.put(owner.KEY, json.dumps(left).encode())
  process = socket.gethostname(), os.getpid()
  bucket_lib.Record(f"{URL}/a").bring(
    is_over=True, gone=process if is_known else None
  )
  said = []
  monkeypatch.setattr(sending, "tell", said.append)
  elsewhere(monkeypatch, tmp_path / "third", more="2")
  watched = [text for text in said if "watching for" in text]
  assert bool(watched) == (not is_known)


def test_a_look_while_the_bucket_is_away(bucket, monkeypatch, tmp_path):
  elsewhere(monkeypatch, tmp_path / "second", DONE="")
  record = bucket_lib.Record(f"{URL}/a")
  bucket.faults.append(memory.away())
  with pytest.raises(errors.UserError, match="cannot be used"):
    record.bring(is_over=True)
  bucket.faults.clear()
  record.bring()
  assert record_of() == {"DONE": ""}


def test_a_sweep_whose_runs_are_elsewhere(bucket, monkeypatch, tmp_path):
  elsewhere(monkeypatch, tmp_path / "second", DONE="", state="1")
  elsewhere(monkeypatch, tmp_path / "second", "b", **{"config.json": "{}"})
  with bucket_lib.claimed(URL):
    worlds.write(bucket_lib.local(URL), **{"a.log": "l"})
  on(monkeypatch, tmp_path / "driver")
  found = bucket_lib.bring(URL, is_remote=True)
  # No run that starts on this machine works in what is kept of them.
  assert not found.is_relative_to(bucket_lib.local(URL))
  assert worlds.read(found) == {"a/DONE": "", "b/config.json": "{}"}
  assert worlds.read(bucket_lib.local(URL)) == {"a.log": "l"}
  bucket.stores["sweep/a"].objects.clear()  # Somebody deletes it.
  bucket_lib.bring(URL, is_remote=True)
  assert worlds.read(found) == {"b/config.json": "{}"}
  assert [path.name for path in found.iterdir()] == ["b"]


def test_jobs_have_urls(bucket):
  found = jobs.load("tests/tiny_sweep.py", bucket_lib.local(URL), url=URL)
  by_name = {job.name: job for job in found}
  control = by_name["control"]
  assert f"--workdir={URL}/control" in control.arguments
  assert f"--config.init_from={URL}/first" in control.arguments
  assert control.folder.path == bucket_lib.local(f"{URL}/control")


def test_a_run_that_is_done_but_not_sent_starts_again(bucket):
  [job, *_] = jobs.load("tests/tiny_sweep.py", bucket_lib.local(URL), url=URL)
  worlds.write(job.folder.path, DONE="", **{"config.json": '{"config": {}}'})
  assert status.is_finished(job)
  state.mark(job.folder.path, is_unsent=True)
  assert not status.is_finished(job)


@pytest.mark.parametrize(
  "flags",
  [
    ("--emit=rayjob", "--accelerator=v5e", "--topology=2x4"),
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


def test_a_script_for_slurm(bucket, capsys):
  words = ["sweep", "--sweep=tests/tiny_sweep.py", f"--workdir={URL}"]
  words += ["--emit=sbatch", "--accelerator=h100", "--gpus=1"]
  assert sweep.main(words) == errors.DONE
  text = capsys.readouterr().out
  assert f"--workdir={URL}/control" in text
  assert f"--config.init_from={URL}/first" in text
  assert "/process_0/gs/bucket/sweep\n" in text
  assert "SR2_JAX_CACHE_DIR" not in text


def test_a_job_of_ray(bucket, capsys):
  """The whole command, and no volume."""
  words = ["sweep", "--sweep=tests/tiny_sweep.py", f"--workdir={URL}"]
  words += ["--emit=rayjob", "--accelerator=v5e", "--topology=4x4"]
  assert sweep.main([*words, "--image=registry/sr2_jax:1"]) == errors.DONE
  text = capsys.readouterr().out
  job = yaml.safe_load(text)["spec"]
  assert f"--workdir={URL} " in job["entrypoint"]
  assert "--engine=ray" in job["entrypoint"]
  assert "volume" not in text
  assert "SR2_JAX_CACHE_DIR" not in text


def test_a_sweep_on_ray(bucket, monkeypatch, tmp_path):
  """Knows of the runs what the bucket says, and of its own what is here."""
  any_config = {"config.json": '{"config": {}}'}
  elsewhere(monkeypatch, tmp_path / "second", "first", DONE="", **any_config)
  seen = []

  def no_engine(asked, found, signals):
    worlds.write(asked.workdir, **{"first.log": "l"})
    seen.extend(found)
    return [engine.without_a_start(job) for job in found if job.folder.is_done]

  monkeypatch.setattr(sweep, "_run", no_engine)
  words = ["sweep", "--sweep=tests/tiny_sweep.py", f"--workdir={URL}"]
  words += ["--engine=ray", "--accelerator=v5e", "--topology=2x4"]
  assert sweep.main(words) == errors.DONE
  assert [job.folder.is_done for job in seen] == [True, False]
  assert f"--workdir={URL}/control" in seen[1].arguments
  on(monkeypatch, tmp_path / "third")
  bucket_lib.bring(URL, is_remote=True)
  assert (bucket_lib.local(URL) / "first.log").read_text() == "l"


def status_of(capsys, name, *flags):
  """The state of a run, and where it is, as `--status` says."""
  words = ["sweep", "--sweep=tests/tiny_sweep.py", f"--workdir={URL}"]
  capsys.readouterr()
  assert sweep.main([*words, "--status", *flags]) == errors.DONE
  lines = capsys.readouterr().out.splitlines()
  [row] = [line for line in lines if line.startswith(f"{name} ")]
  cells = [cell.strip() for cell in row.split("  ") if cell]
  return cells[1].partition(",")[0], cells[7]


ON_RAY = ("--engine=ray", "--address=emulate:1x1x1")


@pytest.mark.parametrize("flags", [(), ON_RAY])
def test_status_tells_a_run_at_work_from_one_that_was_killed(
  bucket, monkeypatch, tmp_path, capsys, flags
):
  """They are on another machine, so no lock says it."""
  here, there = tmp_path / "first", tmp_path / "second"
  found = {}

  def look():
    on(monkeypatch, here)
    found["status"] = status_of(capsys, "first", *flags)
    found["owner"] = bucket.stores["sweep/first"].get(owner.KEY)[0]

  on(monkeypatch, there)
  run("first", lambda: None, **{"metrics.jsonl": "1"})
  run("first", look)
  state, where = found["status"]
  assert state == "running"
  assert where.startswith(f"process {os.getpid()} on {socket.gethostname()}, ")
  assert status_of(capsys, "first", *flags) == ("unfinished", "-")
  store = bucket.stores["sweep/first"]
  store.put(owner.KEY, found["owner"])  # As a kill leaves it.
  store.ages[owner.KEY] = 1200.0
  killed = status_of(capsys, "first", *flags)
  assert killed == ("unfinished", f"{where}; silent for 20:00 min")
