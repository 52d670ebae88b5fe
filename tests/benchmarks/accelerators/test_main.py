"""The command, with a compiler that is a list."""

import json

import pytest

from benchmarks.accelerators import __main__ as command
from benchmarks.accelerators import compiling, programs, tpu_cost
from tests.benchmarks.accelerators import snippets

LOOP, REFUSED = "v5e-8/data/fsrcnn_x4/loop/1/float32", "v5e-256/data/*/loop/1/*"


def row(program):
  described = compiling._described(program)
  if program.slice == "v5e-256":
    return {**described, "error": "it cannot be split"}
  return {
    **described,
    "seconds": 1.5,
    "hbm": dict.fromkeys(("arguments", "temporaries", "output", "code"), 2e6),
    **tpu_cost.summary(snippets.TPU, tpu_cost.CHIPS["v5e"]),
  }


@pytest.fixture(autouse=True)
def _compiler(monkeypatch):
  monkeypatch.setattr(compiling, "is_installed", lambda name: name == "tpu")
  monkeypatch.setattr(compiling, "versions", lambda platform: {"jax": "1.2"})
  monkeypatch.setattr(compiling, "rows", lambda chosen: map(row, chosen))


def test_writes_rows_and_prints_tables(tmp_path, capsys):
  out = tmp_path / "rows.json"
  assert command.main([LOOP, "--out", str(out)]) == 0
  printed, said = capsys.readouterr()
  assert f"| {LOOP} | 0.00 |" in printed
  assert "| 1 all-reduce, 0.00 MB |" in printed
  assert f"1/1 {LOOP}: 1.5 s" in said
  # A second call keeps the row, and the order is that of the programs.
  assert command.main([REFUSED, "--out", str(out)]) == 0
  assert "it cannot be split" in capsys.readouterr().out
  names = [entry["name"] for entry in json.loads(out.read_text())]
  known = [x.name for x in programs.everything()]
  assert len(names) > 1
  assert names == [name for name in known if name in set(names)]


@pytest.mark.parametrize(
  ("arguments", "said"),
  [
    (["v7*"], 'no program is called "v7*"'),
    (["--only", "gpu"], "pip install --no-deps jax-cuda13-plugin"),
  ],
)
def test_says_in_a_line_what_it_cannot_do(arguments, said, tmp_path, capsys):
  out = tmp_path / "rows.json"
  assert command.main([*arguments, "--out", str(out)]) == 2
  assert said in capsys.readouterr().err
  assert not out.exists()


@pytest.mark.parametrize("text", ["{}[", '{"machine": 1}', "[1]"])
def test_keeps_a_file_of_another_kind(text, tmp_path, capsys):
  out = tmp_path / "rows.json"
  out.write_text(text)
  assert command.main([LOOP, "--out", str(out)]) == 2
  assert f"{out} has no rows of this benchmark" in capsys.readouterr().err
  assert out.read_text() == text
