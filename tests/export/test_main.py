"""The command: its help, its exit codes and its messages."""

import os
import signal
import subprocess
import sys

import pytest

from sr2_jax import cpu_tuning, errors
from sr2_jax.export import __main__ as export
from sr2_jax.export import command_line, programs, work
from tests import random_network
from tests.export import test_work

pytest.importorskip("flatbuffers")


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """A run, in a process that stays as it was."""
  monkeypatch.setenv("JAX_PLATFORMS", os.environ.get("JAX_PLATFORMS", "cpu"))
  monkeypatch.setattr(cpu_tuning, "prepare", lambda: None)
  monkeypatch.setattr(programs, "SIZES", ((1, 1),))
  monkeypatch.chdir(tmp_path)
  random_network.write(tmp_path / "run", random_network.make())
  return tmp_path


def main(text):
  return export.main(text.split())


def test_done(folder, capsys):
  assert main("run --to=stablehlo --out=out") == 0
  captured = capsys.readouterr()
  assert captured.out == ""
  assert captured.err.splitlines()[0].startswith("FSRCNN control x2, gray, 1")
  assert captured.err.splitlines()[-1] == "written to out"
  assert len(list((folder / "out").iterdir())) == 2
  assert main("run --to=stablehlo --out=out") == errors.TO_FIX
  assert capsys.readouterr().err.endswith("--force replaces them.\n")


@pytest.mark.parametrize(
  ("text", "problem"),
  [
    ("run --dtpye=a", "did you mean --dtype?"),
    ("", "Give the weights"),
    ("nowhere", "--weights=nowhere: there is no such"),
    ("run --to=tflite", "--to=tflite: 'tflite' is none of"),
  ],
)
def test_something_to_fix(folder, capsys, text, problem):
  before = sorted(folder.iterdir())
  assert main(text) == errors.TO_FIX
  captured = capsys.readouterr()
  assert problem in captured.err
  assert len(captured.err.splitlines()) <= 2
  assert captured.out == ""
  assert sorted(folder.iterdir()) == before


def test_damaged_weights(folder, capsys):
  path = next(folder.glob("run/weights/*/*/last.safetensors"))
  data = bytearray(path.read_bytes())
  data[-1] ^= 1
  path.write_bytes(data)
  assert main("run --to=safetensors --out=out") == errors.TO_FIX
  assert "damaged; its sha256" in capsys.readouterr().err
  assert not (folder / "out").exists()


@pytest.mark.parametrize(
  ("number", "code", "name"),
  [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")],
)
def test_stopped(folder, monkeypatch, request, capsys, number, code, name):
  # Processes of pytest-xdist ignore Ctrl-C.
  of_pytest = signal.signal(signal.SIGINT, signal.default_int_handler)
  request.addfinalizer(lambda: signal.signal(signal.SIGINT, of_pytest))
  monkeypatch.setattr(work.Work, "do", lambda self: signal.raise_signal(number))
  before = signal.getsignal(signal.SIGTERM)
  assert main("run --to=stablehlo --out=out") == code
  assert signal.getsignal(signal.SIGTERM) == before
  assert capsys.readouterr().err.startswith(f"stopped by {name}; ")
  assert not (folder / "out").exists()


def test_help_and_manual_have_every_flag_form_and_code(capsys):
  assert main("--help") == 0
  text = capsys.readouterr().out
  page = test_work.PAGE.read_text()
  for action in command_line._parser()._actions:
    for flag in action.option_strings:
      assert flag in text
  for form in command_line.FORMS:
    assert f"\n      {form} " in text
    assert f"\n| `{form}` |" in page
  for code in ("0  ", "2  ", "130"):
    assert f"\n  {code}" in text
  assert max(map(len, text.splitlines())) <= 80
  caution = "Super-resolution draws what is likely, not what was there."
  assert caution in text
  assert caution in page


def test_mistakes_are_answered_before_jax_is_loaded(folder):
  (folder / "sr2_exported").mkdir()
  (folder / f"sr2_exported/{test_work.STEM}0.json").touch()
  calls = ["--help", "--dtpye=a", "nowhere", "run --to=safetensors"]
  program = "import sys\nfrom sr2_jax.export import __main__ as export\n"
  for call, code in zip(calls, (0, 2, 2, 2), strict=True):
    program += f"assert export.main({call.split()}) == {code}\n"
  program += "print(*sorted({'jax', 'flax', 'scipy'} & {*sys.modules}))"
  root = test_work.PAGE.parents[1]
  done = subprocess.run(
    [sys.executable, "-c", program],
    check=True,
    capture_output=True,
    text=True,
    env={**os.environ, "PYTHONPATH": str(root)},
  )
  assert done.stdout.splitlines()[-1] == ""
