"""A program's start and end, with a function in place of its work."""

import io
import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest

from sr2_jax import errors, file_locks, program


def start(work, **how):
  """Exit code of a program whose `main` does this."""
  return program.entry(**how)(lambda arguments: work())([])


def raising(error):
  def work():
    raise error

  return work


def test_a_program_returns_its_code():
  assert start(lambda: 3) == 3


@pytest.mark.parametrize(
  ("error", "code", "text"),
  [
    (errors.UserError("what to fix"), 2, "what to fix"),
    (errors.FolderInUseError("in use"), 4, "in use"),
    (errors.Stopped(signal.SIGTERM, "saved"), 143, "saved"),
    (PermissionError(13, "Permission denied", "x.png"), 2, "x.png: Permission"),
    (OSError(5, "Input/output error"), 2, "Input/output error.\n"),
    (OSError(27, "Too large", "x"), 2, "x: Too large.\nAllow larger files (ul"),
    (OSError(28, "Full", "x"), 2, "x: Full.\nMake room, and run the same"),
    (KeyboardInterrupt(), 130, "stopped by Ctrl-C; half is done"),
  ],
)
def test_what_a_user_can_fix_is_told(capsys, error, code, text):
  stopped = "stopped by {}; half is done"
  assert start(raising(error), stopped=stopped) == code
  assert capsys.readouterr().err.startswith(text)


@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), OSError("bug")])
def test_a_bug_is_raised(error):
  with pytest.raises(type(error), match="bug"):
    start(raising(error))


def test_files_are_the_business_of_a_program_that_says_so():
  with pytest.raises(FileNotFoundError):
    start(raising(FileNotFoundError(2, "none", "x")), stopped=None)
  assert start(raising(KeyboardInterrupt()), stopped=None) == 130


SIGNALS = ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"]


@pytest.mark.parametrize("name", SIGNALS)
def test_signals_stop_a_program(capsys, name):
  before = signal.getsignal(signal.SIGTERM)

  def work():
    os.kill(os.getpid(), getattr(signal, name))
    signal.sigtimedwait([], 5)  # Until the handler has raised.
    return 0

  assert start(work) == 143
  assert capsys.readouterr().err == "stopped by SIGTERM.\n"
  assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("name", SIGNALS[1:])
def test_they_are_sigterm_for_a_program_with_its_own_handler(name):
  caught = []

  def work():
    before = signal.signal(signal.SIGTERM, lambda *_: caught.append("SIGTERM"))
    try:
      signal.raise_signal(getattr(signal, name))
    finally:
      signal.signal(signal.SIGTERM, before)
    return 0

  assert start(work, stopped=None) == 0
  assert caught == ["SIGTERM"]


@pytest.mark.parametrize("name", SIGNALS[1:])
def test_they_change_no_exit_code_while_a_process_ends(name):
  work = (
    "import atexit, signal, sys\nfrom sr2_jax import program\n"
    f"atexit.register(signal.raise_signal, signal.{name})\n"
    "sys.exit(program.entry(stopped=None)(lambda _: 3)())"
  )
  assert (
    subprocess.run([sys.executable, "-c", work], check=False).returncode == 3
  )


def test_nohup_stays():
  before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
  try:
    assert start(lambda: signal.raise_signal(signal.SIGHUP) or 0) == 0
  finally:
    signal.signal(signal.SIGHUP, before)


def test_a_thread_may_start_a_program():
  codes = []
  thread = threading.Thread(target=lambda: codes.append(start(lambda: 0)))
  thread.start()
  thread.join()
  assert codes == [0]


class Full(io.StringIO):
  def write(self, text):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(("needs_output", "code"), [(True, 2), (False, 0)])
def test_output_that_is_lost(monkeypatch, capsys, needs_output, code):
  monkeypatch.setattr(sys, "stdout", Full())
  work = lambda: print("a table") or 0  # noqa: E731
  assert start(work, needs_output=needs_output) == code
  assert "No space left on device" in capsys.readouterr().err


def test_only_help_answers_where_nothing_else_works(monkeypatch, capsys):
  monkeypatch.setattr(file_locks, "AVAILABLE", False)
  main = program.entry()(lambda arguments: 0)
  assert main(["--config=x"]) == 2
  assert len(capsys.readouterr().err.splitlines()) == 1
  for word in ("-h", "--h", "--help", "--helpfull"):
    assert main([word]) == 0
  assert not program.asks_for_help(["--hidden", "help", "-help=1"])


@pytest.mark.parametrize("word", ["--out=--", "--some-flag=--"])
def test_two_dashes_are_no_value(capsys, word):
  """Argparse would give an empty list, and a program a traceback."""
  parser = program.Parser()
  parser.add_argument("--out")
  parser.add_argument("names", nargs="*")
  with pytest.raises(SystemExit):
    parser.parse_args(["a", word])
  assert f"{word}: the value is missing" in capsys.readouterr().err
  found = parser.parse_args(["--out=-", "--", "--out"])
  assert (found.out, found.names) == ("-", ["--out"])


def test_a_mistake_in_flags_has_a_length(capsys):
  parser = program.Parser(prog="x")
  with pytest.raises(SystemExit) as caught:
    parser.parse_args(["--" + "y" * 589_000])
  assert caught.value.code == 2
  assert len(capsys.readouterr().err) < 2000


PROGRAMS = """
import importlib, sys
sys.modules["fcntl"] = sys.modules["resource"] = None  # As on Windows.
for name in (
  "sr2_jax.main", "sr2_jax.predict", "sr2_jax.report.__main__",
  "sr2_jax.export.__main__", "sr2_jax.demo.__main__",
  "sr2_jax.release.__main__", "sr2_jax.training.check", "launch.sweep",
  "sr2_jax.report.reproduction.__main__",
):
  print(importlib.import_module(name).main([]), flush=True)
"""


def test_every_program_says_where_it_does_not_run():
  done = subprocess.run(
    [sys.executable, "-c", PROGRAMS],
    check=True,
    capture_output=True,
    text=True,
    cwd=pathlib.Path(__file__).parents[1],
  )
  codes, said = done.stdout.split(), done.stderr.splitlines()
  assert codes == ["2"] * 9
  assert len(said) == 9
  assert all("WSL" in line for line in said)
