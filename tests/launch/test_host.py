"""Processes of this host, with small programs."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from launch import host
from sr2_jax.records import folder as folder_lib

ROOT = pathlib.Path(__file__).parents[2]
TIMEOUT = 60  # seconds
linux = pytest.mark.skipif(
  not sys.platform.startswith("linux"), reason="needs Linux"
)


def python(program):
  return (sys.executable, "-c", program)


def wait_for(condition):
  deadline = time.monotonic() + TIMEOUT
  while not condition():
    assert time.monotonic() < deadline
    time.sleep(0.01)


def code_of(process):
  wait_for(lambda: process.poll() is not None)
  return process.poll()


def test_output_code_and_environment(tmp_path):
  log = tmp_path / "a.log"
  log.write_text("before\n")
  program = (
    "import os; print(os.environ['A'], os.getcwd()); raise SystemExit(7)"
  )
  environment = {**os.environ, "A": "b"}
  process = host.Process(
    python(program), log, cwd=str(tmp_path), env=environment
  )
  assert code_of(process) == 7
  assert log.read_text() == f"before\nb {tmp_path}\n"
  process.send(signal.SIGTERM)  # has ended: nothing happens


def test_codes_of_signals_are_a_shells(tmp_path):
  for number, code in ((signal.SIGTERM, 143), (signal.SIGKILL, 137)):
    process = host.Process(python("input; import time; time.sleep(99)"),
                           tmp_path / "a.log")  # fmt: skip
    process.send(number)
    assert code_of(process) == code
  process = host.Process(python("import time; time.sleep(99)"), tmp_path / "b")
  process.kill()
  assert process.poll() == 137


def test_arguments_reach_no_shell(tmp_path):
  hostile = f"$(touch {tmp_path}/x); touch {tmp_path}/x"
  program = "import sys; print(sys.argv[1])"
  for is_tied in (False, True):
    log = tmp_path / f"{is_tied}.log"
    process = host.Process((*python(program), hostile), log, is_tied=is_tied)
    assert code_of(process) == 0
    assert log.read_text() == f"{hostile}\n"
  assert not (tmp_path / "x").exists()


# Starts a process that says its id and sleeps, and is then killed itself.
STARTER = """
import pathlib, sys, time
from launch import host
program = "import os, time; print(os.getpid(), flush=True); time.sleep(99)"
host.Process(
  (sys.executable, "-c", program), pathlib.Path(sys.argv[1]),
  is_tied=sys.argv[2] == "tied",
)
time.sleep(99)
"""


def is_alive(pid):
  try:
    status = pathlib.Path(f"/proc/{pid}/stat").read_text()
  except OSError:
    return False
  return status.rpartition(")")[2].split()[0] != "Z"


@linux
@pytest.mark.parametrize("kind", ["tied", "free"])
def test_only_a_tied_process_ends_with_who_started_it(tmp_path, kind):
  """The other one shows that the test would notice."""
  log = tmp_path / "log"
  log.touch()
  starter = subprocess.Popen((*python(STARTER), str(log), kind), cwd=ROOT)
  wait_for(lambda: log.read_text().endswith("\n"))
  pid = int(log.read_text())
  assert is_alive(pid)
  starter.kill()
  starter.wait()
  try:
    if kind == "tied":
      wait_for(lambda: not is_alive(pid))
    else:
      time.sleep(0.3)
      assert is_alive(pid)
  finally:
    if is_alive(pid):
      os.kill(pid, signal.SIGKILL)


@linux
def test_a_tied_process_hears_what_its_starter_blocks(tmp_path):
  """As Ray blocks SIGINT."""
  # A shell's background jobs, such as these tests may be, ignore SIGINT.
  command = python(
    "import signal, time\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "print('here', flush=True); time.sleep(99)"
  )
  before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
  try:
    log = tmp_path / "log"
    process = host.Process(command, log, is_tied=True)
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
  wait_for(lambda: log.read_text())
  process.send(signal.SIGINT)
  assert code_of(process) == 130


def test_tail_reads_what_is_added(tmp_path):
  log = tmp_path / "a.log"
  log.write_text("of an earlier attempt\n")
  with host.Tail(log) as tail, log.open("ab", buffering=0) as file:
    assert tail.read() == ""
    file.write("grün".encode()[:3])  # half a letter
    assert tail.read() == "gr"
    file.write("grün\n".encode()[3:])
    assert tail.read() == "ün\n"
    file.write(b"x" * 10_000)
    assert len(tail.read()) == 10_000
    assert len(tail.output) == 4096
  with host.Tail(tmp_path / "new.log") as tail:
    assert tail.read() == ""


def test_last_lines():
  assert host.last_lines("a\n\nb\n \nc\nd\n") == "b\nc\nd"
  assert host.last_lines("") == ""


def test_signs_of_life(tmp_path):
  folder = folder_lib.RunFolder(tmp_path / "run")
  log = tmp_path / "run.log"
  seen = [host.signs_of_life(folder, [log])]

  def look():
    seen.append(host.signs_of_life(folder, [log]))

  log.write_text("hello")
  look()
  for name in ("metrics.jsonl", "timing.jsonl", "results.jsonl"):
    folder.path.mkdir(exist_ok=True)
    (folder.path / name).write_text("{}\n")
    look()
  (folder.path / "checkpoints" / "joint" / "last").mkdir(parents=True)
  look()
  (folder.path / "checkpoints" / "joint" / "last" / "3").mkdir()
  look()
  assert len(set(seen)) == len(seen)
  assert host.signs_of_life(folder, [log]) == seen[-1]


def test_signs_of_life_on_a_disk_that_is_away(tmp_path, monkeypatch):
  def stale(*_, **__):
    raise OSError(errno.ESTALE, "Stale file handle")

  folder = folder_lib.RunFolder(tmp_path)
  log = tmp_path / "run.log"
  log.write_text("hello")
  for name in ("glob", "stat"):
    monkeypatch.setattr(pathlib.Path, name, stale)
    signs = host.signs_of_life(folder, [log])
    assert len(signs) == (name == "glob")


def test_all_hosts_have_the_same_caches(tmp_path, monkeypatch):
  for name in ("SR2_JAX_CACHE_DIR", "TFDS_DATA_DIR"):
    monkeypatch.delenv(name, raising=False)
  assert host.caches(tmp_path) == {
    "SR2_JAX_CACHE_DIR": str(tmp_path / ".cache")
  }
  assert host.caches(None) == {}
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", "/mnt/cache")
  monkeypatch.setenv("TFDS_DATA_DIR", "/mnt/tfds")
  assert host.caches(tmp_path) == {
    "SR2_JAX_CACHE_DIR": "/mnt/cache", "TFDS_DATA_DIR": "/mnt/tfds",
  }  # fmt: skip
  assert host.caches(None) == host.caches(tmp_path)
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", "")
  cache = host.caches(tmp_path)["SR2_JAX_CACHE_DIR"]
  assert cache == str(tmp_path / ".cache")
