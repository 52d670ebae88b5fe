import errno
import os
import pathlib
import re
import signal
import subprocess
import sys
import types

import pytest

import sr2_jax
from sr2_jax import agreement, errors
from sr2_jax import main as main_lib
from sr2_jax.config import command_line, experiment_file
from sr2_jax.peers import group, meeting

ROOT = pathlib.Path(__file__).parents[1]
QUICKSTART = "--config=experiments/quickstart.py"


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
  monkeypatch.chdir(ROOT)


@pytest.fixture
def calls(monkeypatch):
  """Replaces training by a record of its calls; `calls.error` is raised."""
  record = types.SimpleNamespace(made=[], error=None)

  def note(name):
    def call(*arguments):
      record.made.append((name, *arguments))
      if record.error and "evaluate" in name:
        raise record.error

    return call

  fakes = {
    "cluster": ["initialize"],
    "train": ["train_and_evaluate", "evaluate_checkpoint"],
  }
  for module, functions in fakes.items():
    fake = types.SimpleNamespace(**{name: note(name) for name in functions})
    monkeypatch.setitem(sys.modules, f"sr2_jax.{module}", fake)
    monkeypatch.setattr(sr2_jax, module, fake, raising=False)
  monkeypatch.setattr(group, "Group", FakeGroup)
  monkeypatch.setattr(group, "_current", group.Alone())
  monkeypatch.setattr(
    agreement, "on_program", lambda command: note("on_program")()
  )
  return record


class FakeGroup(group.Alone):
  """Several processes, of which only this one is there."""

  count = 2

  def __init__(self, place):
    self.place = place
    self.explained = []
    self.left = []

  def meet(self):
    pass

  def explain(self, error):
    self.explained.append(error)

  def leave(self, code, text="", *, summary="", together):
    self.left.append((code, text, summary, together))
    return code


def test_train(calls):
  assert main_lib.main(["main.py", QUICKSTART]) == 0
  config = command_line.parse(["main.py", QUICKSTART]).config
  workdir = pathlib.Path("runs/quickstart")
  assert calls.made == [("train_and_evaluate", config, workdir)]


def test_evaluate_in_several_processes(calls):
  arguments = [
    QUICKSTART,
    "--mode=eval",
    "--coordinator=localhost:1234",
    "--num_processes=2",
    "--process_id=1",
  ]
  assert main_lib.main(["main.py", *arguments]) == 0
  processes = group.current()
  assert processes.place == meeting.Place("localhost:1234", 2, 1, 300, 30)
  assert calls.made[:2] == [("on_program",), ("initialize", processes)]
  assert [name for name, *_ in calls.made[2:]] == ["evaluate_checkpoint"]
  assert processes.left == [(0, "", "", True)]


def test_coordinator_that_the_cluster_knows(calls, monkeypatch):
  monkeypatch.setattr(
    sr2_jax.cluster,
    "find",
    lambda timeout: (f"a:{timeout}", 8, 3),
    raising=False,
  )
  arguments = [QUICKSTART, "--coordinator=auto", "--peer_timeout=60"]
  assert main_lib.main(["main.py", *arguments]) == 0
  assert group.current().place == meeting.Place("a:60", 8, 3, 60, 30)


def test_a_coordinator_that_the_cluster_says_wrong(calls, monkeypatch, capsys):
  """Half a cluster: a job's variables without all that belong to them."""
  for name, value in (
    ("find", lambda timeout: ("host:1", 2, 5)),
    ("WITHOUT", "Give the place instead."),
  ):
    monkeypatch.setattr(sr2_jax.cluster, name, value, raising=False)
  assert main_lib.main(["main.py", QUICKSTART, "--coordinator=auto"]) == 2
  first, second = capsys.readouterr().err.splitlines()
  assert first.startswith("--coordinator=auto")
  assert "not 5 of 2" in first
  assert second == "Give the place instead."


SEVERAL = [
  QUICKSTART, "--coordinator=a:1", "--num_processes=2", "--process_id=1",
]  # fmt: skip


@pytest.mark.parametrize(
  ("error", "code", "is_explained", "together"),
  [
    (errors.UserError("what to fix"), 2, False, False),
    (errors.DisagreementError("another seed"), 2, False, True),
    (errors.NoRoomError("too large"), 2, False, True),
    (errors.SaveFailedError("cannot be written"), 2, True, False),
    (errors.DivergedError("seed 3, step 7"), 3, False, True),
    (errors.Stopped(signal.SIGTERM, "saved step 7"), 143, False, True),
    (ZeroDivisionError("a bug"), 1, True, False),
  ],
)
def test_end_of_one_of_several(
  calls, monkeypatch, error, code, is_explained, together
):
  calls.error = error
  monkeypatch.setattr(os, "_exit", lambda code: None)
  assert main_lib.main(["main.py", *SEVERAL]) == code
  processes = group.current()
  assert processes.explained == [error] * is_explained
  [(left_with, text, summary, left_together)] = processes.left
  assert (left_with, left_together) == (code, together)
  if code == 1:
    assert text.startswith("Traceback")
    assert summary == "ZeroDivisionError: a bug"
  else:
    assert text == str(error)


@pytest.mark.parametrize(
  ("error", "code"),
  [
    (errors.UserError("what to fix"), 2),
    (errors.DivergedError("seed 3, step 7"), 3),
    (errors.FolderInUseError("runs/a: another run is using this folder"), 4),
    (errors.Stopped(signal.SIGINT, "saved step 7"), 130),
    (errors.Stopped(signal.SIGTERM, "saved step 7"), 143),
  ],
)
def test_end_with_a_message(calls, capsys, error, code):
  calls.error = error
  assert main_lib.main(["main.py", QUICKSTART]) == code
  assert capsys.readouterr().err == f"{error}\n"


def test_ctrl_c_outside_training(calls, capsys):
  calls.error = KeyboardInterrupt()
  assert main_lib.main(["main.py", QUICKSTART]) == 130
  assert "Ctrl-C" in capsys.readouterr().err


def test_full_disk_is_no_bug(calls, capsys):
  calls.error = OSError(errno.ENOSPC, "No space left on device", "runs/a")
  assert main_lib.main(["main.py", QUICKSTART]) == 2
  first, second = capsys.readouterr().err.splitlines()
  assert first == "runs/a: No space left on device."
  assert second.startswith("Make room")
  calls.error = OSError(errno.EFBIG, "File too large", "runs/a")
  assert main_lib.main(["main.py", QUICKSTART]) == 2
  first, second = capsys.readouterr().err.splitlines()
  assert first == "runs/a: File too large."
  assert second.startswith("Allow larger files (ulimit -f); the same command")
  calls.error = FileNotFoundError(errno.ENOENT, "No such file", "runs/a")
  with pytest.raises(FileNotFoundError):
    main_lib.main(["main.py", QUICKSTART])


def test_too_little_memory_is_no_bug(calls, capsys):
  calls.error = MemoryError("Unable to allocate 7.28 TiB.")
  assert main_lib.main(["main.py", QUICKSTART]) == 2
  first, second = capsys.readouterr().err.splitlines()
  assert first == "Out of memory: Unable to allocate 7.28 TiB."
  assert second.startswith("Give this process more memory")


def test_a_bug_keeps_its_traceback(calls):
  calls.error = ZeroDivisionError("a bug")
  with pytest.raises(ZeroDivisionError, match="a bug"):
    main_lib.main(["main.py", QUICKSTART])


def test_messages_have_a_greatest_length():
  long = errors.UserError("a" * 589_000 + "\x1b\nway out")
  first, last = str(long).split("\n")
  assert len(first) <= errors.LONGEST_LINE
  assert first.startswith("aaa")
  assert first.endswith(r"\x1b")
  assert last == "way out"
  lines = str(errors.UserError("\n".join(map(str, range(589_000))))).split("\n")
  assert len(lines) <= 100
  assert (lines[0], lines[-1]) == ("0", "588999")
  assert lines[-2].endswith("more lines")
  assert str(errors.UserError("± 名前")) == "± 名前"


def test_help_names_every_flag_and_exit_code(capsys):
  assert main_lib.main(["main.py", QUICKSTART, "--help"]) == 0
  text = capsys.readouterr().out
  for flag in command_line.define_flags():
    assert f"--{flag}" in text
  for code in ("0  ", "2  ", "3  ", "4  ", "5  ", "130", "143"):
    assert f"\n  {code}" in text
  *lines, last = text.splitlines()
  assert max(map(len, lines)) <= 80
  assert last.endswith(f": {experiment_file.SHIPPED}")


def test_documentation_has_the_meaning_of_every_exit_code():
  text = (ROOT / "docs" / "runs.md").read_text()
  rows = dict(re.findall(r"^\| (\d+) \| ([^|]*) \|", text, re.MULTILINE))
  assert {int(code) for code in rows} == errors.MEANINGS.keys()
  for code, meaning in errors.MEANINGS.items():
    first = meaning.partition(";")[0]
    assert rows[str(code)].startswith(first)
  readme = (ROOT / "README.md").read_text().partition("[Exit codes]")[2]
  for code in errors.MEANINGS:
    assert re.search(rf"\b{code}\b", readme[:300])


@pytest.mark.usefixtures("end_of_process")
def test_the_command_line_is_that_of_the_process(monkeypatch, capsys):
  """As a console script calls it."""
  monkeypatch.setattr(sys, "argv", ["sr2-train", QUICKSTART, "--config.sed=1"])
  assert main_lib.main() == 2
  assert "config.sed" in capsys.readouterr().err


def _run(*arguments):
  return subprocess.run(
    [sys.executable, *arguments],
    check=False,
    capture_output=True,
    text=True,
    cwd=ROOT,
  )


def test_help_as_a_program():
  done = _run("-m", "sr2_jax.main", "--help")
  assert done.returncode == 0
  assert done.stderr == ""
  assert "python -m sr2_jax.main --config=experiments/quickstart.py" in (
    done.stdout
  )


def test_failed_save_ends_whatever_its_threads_wait_for():
  program = (
    "import sys, threading, time\n"
    "from sr2_jax import errors, main\n"
    "def fail(command):\n"
    "  threading.Thread(target=time.sleep, args=(300,)).start()\n"
    "  raise errors.SaveFailedError('cannot be written')\n"
    "main.run = fail\n"
    f"main.main(['main.py', '{QUICKSTART}'])\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", program],
    check=False,
    capture_output=True,
    text=True,
    cwd=ROOT,
    timeout=120,
  )
  assert done.returncode == 2
  assert done.stderr == "cannot be written\n"


def test_mistake_as_a_program():
  done = _run("-m", "sr2_jax.main", QUICKSTART, "--config.sed=1")
  assert done.returncode == 2
  assert done.stdout == ""
  assert done.stderr == "There is no config.sed; did you mean config.seed?\n"
