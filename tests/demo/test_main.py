"""The command that writes a page."""

import subprocess
import sys

import pytest

from sr2_jax import errors, names
from sr2_jax.demo import __main__ as demo
from sr2_jax.demo import command_line
from tests import tiny_predictor
from tests.demo import random_network


@pytest.fixture
def folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(
    demo, "_page", lambda chosen: ("a page", {"super_res": 0.0012})
  )
  tiny_predictor.write(tmp_path / "run")
  return tmp_path


def main(text):
  return demo.main(["demo", *text.split()])


def test_a_page_of_the_first_seed(folder, monkeypatch, capsys):
  seeds = []
  monkeypatch.setattr(
    demo,
    "_page",
    lambda chosen: (
      seeds.append(chosen.origins[0].member.seed) or ("", {"logits": 0.0})
    ),
  )
  assert main("--weights=run --out=first.html") == errors.DONE
  assert main("--weights=run --out=new/second.html --seeds=2") == errors.DONE
  assert seeds == [0, 2]
  assert (folder / "new/second.html").is_file()
  text = capsys.readouterr().out
  assert "float16 kernels change nothing." in text
  assert "new/second.html: 0.0 MB." in text


def test_what_is_there_is_replaced_only_by_force(folder, capsys):
  (folder / "demo.html").write_text("mine")
  assert main("--weights=run") == errors.TO_FIX
  assert capsys.readouterr().err == "demo.html exists; --force replaces it.\n"
  assert (folder / "demo.html").read_text() == "mine"
  assert main("--weights=run --force") == errors.DONE
  assert (folder / "demo.html").read_text() == "a page"
  assert "change super-res by at most 0.001." in capsys.readouterr().out
  assert not list(folder.glob("*.tmp"))


@pytest.mark.parametrize(
  ("text", "problem"),
  [
    ("--weights=nowhere", "--weights=nowhere: there is no such"),
    ("--weights=run --seeds=7", "has no seed 7; it has 0, 1, 2"),
    ("--weights=run --method=wdsr", "--method=wdsr"),
    ("--weights=run --out=run/config/demo.html", "run/config"),
    ("--wieghts=run", "did you mean --weights?"),
  ],
)
def test_something_to_fix(folder, capsys, text, problem):
  (folder / "run/config").write_text("a file")
  before = sorted(folder.rglob("*"))
  assert main(text) == errors.TO_FIX
  captured = capsys.readouterr()
  assert problem in captured.err
  assert len(captured.err.splitlines()) <= 2
  assert sorted(folder.rglob("*")) == before


def test_ctrl_c_leaves_nothing(folder, monkeypatch, capsys):
  def stop(chosen):
    raise KeyboardInterrupt

  monkeypatch.setattr(demo, "_page", stop)
  assert main("--weights=run") == errors.INTERRUPTED
  assert "nothing has been written" in capsys.readouterr().err
  assert not (folder / "demo.html").exists()


def test_help_has_every_flag_and_code_and_what_it_is_not(capsys):
  assert main("--help") == errors.DONE
  text = capsys.readouterr().out
  for action in command_line._parser()._actions:
    for flag in action.option_strings:
      assert flag in text
  for code in ("0  ", "2  ", "130"):
    assert f"\n  {code}" in text
  assert max(map(len, text.splitlines())) <= 80
  assert names.CAUTION in text


def test_mistakes_are_answered_before_jax_is_loaded(folder):
  (folder / "demo.html").write_text("mine")
  program = (
    "import sys\nfrom sr2_jax.demo import __main__ as demo\n"
    "for words in (['--help'], ['--weights=run'], ['--weights=a'], ['-x']):\n"
    "  demo.main(['demo', *words])\n"
    "print('jax' in sys.modules, 'flax' in sys.modules)"
  )
  done = subprocess.run(
    [sys.executable, "-c", program],
    capture_output=True,
    text=True,
    check=True,
    cwd=folder,
    env={"PYTHONPATH": ":".join(sys.path)},
  )
  assert done.stdout.splitlines()[-1] == "False False"


def test_the_whole_command(tmp_path, capsys):
  random_network.write(tmp_path / "run", scale=2, wiring="none")
  out = tmp_path / "demo.html"
  assert main(f"--weights={tmp_path / 'run'} --out={out}") == errors.DONE
  assert out.read_text().startswith("<!DOCTYPE html>")
  text = capsys.readouterr().out
  assert "float16 kernels change super-res by at most " in text
  assert f"{out}: 0.2 MB." in text


def test_a_network_of_pairs_has_no_page(folder, capsys):
  tiny_predictor.write(folder / "pairs", low_res_path="photos/small")
  assert main("--weights=pairs") == errors.TO_FIX
  assert "was trained on pairs (config.data.low_res" in capsys.readouterr().err
  assert not (folder / "demo.html").exists()
