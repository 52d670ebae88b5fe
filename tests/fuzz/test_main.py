"""The command: it plays a case, searches, and keeps what it finds."""

import tomllib

import pytest

from tests.fuzz import __main__ as command
from tests.fuzz import cases, commands, oracle, targets
from tests.fuzz import test_oracle as planted


@pytest.fixture
def corpus(tmp_path, monkeypatch):
  """An own corpus, and a target with a planted defect."""
  corpus = tmp_path / "corpus"
  corpus.mkdir()
  monkeypatch.setattr(cases, "CORPUS", corpus)
  found = {
    "sound": oracle.Target(planted.sound, planted.make),
    "it": oracle.Target(planted.after(planted.crash), planted.make),
  }
  monkeypatch.setattr(targets, "TARGETS", found)
  return corpus


def test_a_defect_is_found_shown_and_kept(corpus, capsys):
  assert command.main(["--cases=6", "--seed=1"]) == 1
  shown = capsys.readouterr().out
  [case] = cases.kept(corpus)
  assert case.target == "it"
  assert "it: KeyError in " in shown
  [line] = [x for x in shown.splitlines() if x.startswith("python -m")]
  assert line == f"python -m tests.fuzz --case='{case}'"
  assert command.main([f"--case={case}"]) == 1
  assert "KeyError" in capsys.readouterr().out
  good = str(case).replace('"it"', '"sound"')
  assert command.main([f"--case={good}"]) == 0
  assert command.main(["--cases=6", "--only=sound"]) == 0


def test_every_command_is_fuzzed():
  project = (commands._ROOT / "pyproject.toml").read_text()
  scripts = tomllib.loads(project)["project"]["scripts"]
  names = {name.removeprefix("sr2-") for name in scripts} - {"train"}
  assert {f"command {name}" for name in names} <= targets.TARGETS.keys()
  assert {"command main", "command check", "command release"} <= (
    targets.TARGETS.keys()
  )
