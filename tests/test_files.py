"""A file is the old one or the new one, whatever happens in between."""

import contextlib
import os
import pathlib
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest

from sr2_jax import errors, files
from sr2_jax.records import metrics_log, timing_log


def _names(folder):
  return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_and_replaced(tmp_path):
  path = tmp_path / "new" / "folder" / "file"
  for data in (b"long enough", b"new", b""):
    files.write_atomically(path, data)
    assert path.read_bytes() == data
  assert _names(path.parent) == ["file"]


def test_what_was_written_can_be_read_and_changed(tmp_path):
  with files.replacing(tmp_path / "file") as file:
    file.write(b"??data")
    file.seek(2)
    assert file.read() == b"data"
    file.seek(0)
    file.write(b"ok")
  assert (tmp_path / "file").read_bytes() == b"okdata"


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, shared, error):
  path = tmp_path / "file"
  path.write_bytes(b"old")

  def fail():
    with files.replacing(path, shared=shared) as file:
      file.write(b"new")
      raise error

  with pytest.raises(error):
    fail()
  assert path.read_bytes() == b"old"
  assert _names(tmp_path) == ["file"]


@contextlib.contextmanager
def largest_file(size):
  """As `ulimit -f` sets it."""
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _write_arrays(path):
  with files.replacing(path) as file:
    np.savez(file, a=np.zeros(9999))


def _log(path):
  log = metrics_log.Writer(path.parent, tensorboard=False)
  line = {"kind": "train", "phase": "pretrain", "step": 1, "seed": 0, "l2": 0.0,
          "loss_weight": None}  # fmt: skip
  with contextlib.closing(log):
    log.write([{**line, "loss": 1.0}] * 99)


def _time(path):
  log = timing_log.TimingLog(path.parent)
  for _ in range(99):
    log.write("train", 1)


@pytest.mark.parametrize(
  ("name", "write"),
  [
    ("a", lambda path: files.write_atomically(path, b"new" * 9999)),
    ("a", lambda path: files.write_atomically(path, b"n" * 9999, shared=True)),
    ("a", _write_arrays),
    ("metrics.jsonl", _log),
    ("timing.jsonl", _time),
  ],
)
def test_a_file_that_may_not_be_so_large_is_named(tmp_path, name, write):
  path = tmp_path / name
  path.write_bytes(b"")
  with (
    pytest.raises(OSError, match="File too large") as caught,
    largest_file(2000),
  ):
    write(path)
  assert caught.value.filename == str(path)
  assert files.way_to_room(caught.value.errno).startswith("Allow larger files")
  assert _names(tmp_path) == [name]


def test_what_a_kill_leaves_behind_is_taken_by_the_next_write(tmp_path):
  path = tmp_path / "file"
  path.write_bytes(b"old")
  program = (
    "import os, signal, sys; from sr2_jax import files\n"
    "with files.replacing(sys.argv[1]) as file:\n"
    "  file.write(b'new'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
  )
  killed = subprocess.run([sys.executable, "-c", program, path], check=False)
  assert killed.returncode == -signal.SIGKILL
  assert path.read_bytes() == b"old"
  assert _names(tmp_path) == ["file", "file.tmp"]
  files.write_atomically(path, b"newer")
  assert path.read_bytes() == b"newer"
  assert _names(tmp_path) == ["file"]


def test_two_may_write_a_shared_file_at_once(tmp_path):
  path = tmp_path / "file"
  with files.replacing(path, shared=True) as first:
    first.write(b"first")
    with files.replacing(path, shared=True) as second:
      second.write(b"second")
    assert path.read_bytes() == b"second"
  assert path.read_bytes() == b"first"
  assert _names(tmp_path) == ["file"]


def test_data_then_name_are_on_disk(tmp_path, monkeypatch):
  path = tmp_path / "file"
  seen = []
  fsync = os.fsync

  def watched(descriptor):
    is_folder = os.path.samestat(os.fstat(descriptor), tmp_path.stat())
    seen.append((is_folder, path.exists()))
    fsync(descriptor)

  monkeypatch.setattr(os, "fsync", watched)
  files.write_atomically(path, b"data")
  assert seen == [(False, False), (True, True)]


@pytest.mark.parametrize(
  ("variables", "expected"),
  [
    ({"SR2_JAX_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b"}, "/a/data"),
    ({"SR2_JAX_CACHE_DIR": "", "XDG_CACHE_HOME": "/b"}, "/b/sr2_jax/data"),
    ({"XDG_CACHE_HOME": ""}, "/home/user/.cache/sr2_jax/data"),
    ({}, "/home/user/.cache/sr2_jax/data"),
    ({"SR2_JAX_CACHE_DIR": "~/mine"}, "/home/user/mine/data"),
  ],
)
def test_the_environment_chooses_the_cache_folder(
  monkeypatch, variables, expected
):
  monkeypatch.delenv("SR2_JAX_CACHE_DIR", raising=False)
  monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
  monkeypatch.setenv("HOME", "/home/user")
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  assert files.cache_folder("data") == pathlib.Path(expected)


@pytest.mark.parametrize("name", ["SR2_JAX_CACHE_DIR", "XDG_CACHE_HOME"])
def test_cache_in_a_bucket_is_refused(monkeypatch, name):
  monkeypatch.delenv("SR2_JAX_CACHE_DIR", raising=False)
  monkeypatch.setenv(name, "gs://bucket/cache")
  with pytest.raises(errors.UserError, match=f"^{name}=gs://bucket/cache: is"):
    files.cache_folder("data")


def test_what_can_be_made_again_is_not_waited_for(tmp_path, monkeypatch):
  monkeypatch.setattr(files.os, "fsync", lambda _: pytest.fail("waited"))
  with files.replacing(tmp_path / "a", durable=False) as file:
    file.write(b"new")
  assert (tmp_path / "a").read_bytes() == b"new"


def test_one_at_a_time(tmp_path):
  lock = tmp_path / "new" / "lock"
  program = (
    "import pathlib, sys\n"
    "from sr2_jax import files\n"
    "waits = lambda: print('waits', flush=True)\n"
    "with files.one_at_a_time(pathlib.Path(sys.argv[1]), waits):\n"
    "  print('in', flush=True)\n"
    "  sys.stdin.readline()\n"
  )

  def start():
    return subprocess.Popen(
      (sys.executable, "-c", program, str(lock)),
      cwd=pathlib.Path(__file__).parents[1],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )

  first = start()
  assert first.stdout.readline() == "in\n"
  second, third = start(), start()
  for process in (second, third):
    assert process.stdout.readline() == "waits\n"
  first.kill()  # The lock goes with the process.
  first.wait()
  for process in (second, third):  # Either may be next.
    process.stdin.write("go\n")
    process.stdin.flush()
  for process in (second, third):
    assert process.communicate(timeout=60)[0] == "in\n"
  assert not lock.exists()
  first.stdin.close()
  first.stdout.close()


def test_who_cannot_lock_goes_on(tmp_path):
  (tmp_path / "file").touch()
  with files.one_at_a_time(tmp_path / "file" / "lock", lambda: 1 / 0):
    pass


@pytest.fixture
def others(tmp_path):
  """What is no file, by name, and a file outside that a link leads to."""
  (tmp_path / "folder").mkdir()
  os.mkfifo(tmp_path / "FIFO")
  (tmp_path / "outside").write_bytes(b"mine")
  (tmp_path / "link").symlink_to("outside")
  (tmp_path / "nowhere").symlink_to("gone")
  (tmp_path / "device").symlink_to("/dev/zero")
  return tmp_path


@pytest.mark.parametrize("kind", ["folder", "FIFO", "device"])
def test_what_is_no_file_is_named_and_never_waited_for(others, kind):
  with pytest.raises(OSError, match=f"it is a {kind}, not a file"):
    files.read(others / kind)
  kind = "link" if kind == "device" else kind
  for mode in ("ab", "a+b", "wb", "r+b"):
    with pytest.raises(OSError, match=f"it is a {kind}, not a file"):
      files.open_regular(others / kind, mode)


def test_a_link_is_followed_to_read_and_never_to_write(others):
  assert files.read(others / "link") == b"mine"
  for name in ("link", "nowhere"):
    with pytest.raises(OSError, match="it is a link, not a file"):
      files.open_regular(others / name, "ab")
  with pytest.raises(FileNotFoundError):
    files.read(others / "nowhere")
  # The name is replaced, not what it leads to; nor by way of what a kill left.
  (others / "file.tmp").symlink_to("outside")
  files.write_atomically(others / "file", b"new")
  files.write_atomically(others / "link", b"new")
  assert (others / "outside").read_bytes() == b"mine"
  assert files.read(others / "link") == files.read(others / "file") == b"new"


def test_a_file_has_a_most(tmp_path):
  (tmp_path / "file").write_bytes(b"12345")
  assert files.read(tmp_path / "file", most=5) == b"12345"
  with pytest.raises(OSError, match="has 5 bytes; at most 4 make sense"):
    files.read(tmp_path / "file", most=4)


def test_what_is_set_aside_takes_nobodys_name(tmp_path):
  for text in "abc":
    (tmp_path / "x_1").write_text(text)
    files.set_aside(tmp_path / "x_1", tmp_path / "damaged" / "x_1")
  found = {x.name: x.read_text() for x in (tmp_path / "damaged").iterdir()}
  assert found == {"x_1": "a", "x_1_2": "b", "x_1_3": "c"}


def test_nothing_is_set_aside_where_a_link_leads(tmp_path):
  (tmp_path / "outside").mkdir()
  (tmp_path / "damaged").symlink_to("outside")
  (tmp_path / "x").write_text("a")
  with pytest.raises(OSError, match="it is a link, not a folder"):
    files.set_aside(tmp_path / "x", tmp_path / "damaged" / "x")
  assert (tmp_path / "x").read_text() == "a"


def test_a_file_with_two_names_is_appended_to_under_one(tmp_path):
  (tmp_path / "a").write_bytes(b"1")
  os.link(tmp_path / "a", tmp_path / "b")
  for data in (b"2", b"3"):
    with files.open_to_append(tmp_path / "b") as file:
      file.write(data)
  assert (tmp_path / "a").read_bytes() == b"1"
  assert (tmp_path / "b").read_bytes() == b"123"
