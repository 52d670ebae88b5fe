"""docs/faults.md is what the table and its outcomes say."""

import ast
import pathlib
import re

import pytest

from tests import faults, long_life, processes

TESTS = pathlib.Path(__file__).parent
SECTIONS = faults.read()
NAMED = faults.named(SECTIONS)
PAGE = faults.PAGE.read_text()


def test_the_page_is_rendered_from_the_table():
  lived = long_life.recorded()
  assert faults.page(SECTIONS, faults.recorded(), lived) == PAGE


def test_the_readme_has_the_same_count():
  survived, of_all = faults.count(SECTIONS, faults.recorded())
  readme = faults.README.read_text()
  assert f"{survived} of {of_all} [faults](docs/faults.md)" in readme
  assert faults.readme(SECTIONS, faults.recorded()) == readme


@pytest.mark.parametrize("test", NAMED)
def test_what_is_named_is_there(test):
  file, name = test.split("::")
  if faults.is_command(test):
    assert file == "processes.py"
    assert any(case.startswith(name) for case in processes.CASES)
    return
  tree = ast.parse((TESTS / file).read_text())
  assert name in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}


def a_section(*tests):
  return [faults.Section("Title", "", (faults.Fault("case", "then", tests),))]


def outcomes(**known):
  return {
    f"test_a.py::{name}": {"outcome": outcome, "date": "D", "system": "S"}
    for name, outcome in known.items()
  }


@pytest.mark.parametrize(
  ("known", "mark", "survived"),
  [
    ({"one": "passed", "two": "passed"}, "yes", 1),
    ({"one": "passed", "two": "failed"}, "**no**", 0),
    ({"one": "passed", "two": "not played"}, "not played", 0),
    ({"one": "failed"}, "not played", 0),
    ({}, "not played", 0),
  ],
)
def test_a_fault_is_survived_if_all_of_its_tests_pass(known, mark, survived):
  sections = a_section("test_a.py::one", "test_a.py::two")
  text = faults.render(sections, outcomes(**known), lived={})
  assert re.search(rf"^\| case \| then \| {re.escape(mark)} \|", text, re.M)
  assert faults.count(sections, outcomes(**known)) == (survived, 1)


def test_outcomes_are_those_of_pytest(tmp_path, monkeypatch):
  monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
  (tmp_path / "test_a.py").write_text(
    "import pytest\n"
    "@pytest.mark.parametrize('x', [0, 1])\n"
    "def test_good(x):\n  if x: pytest.skip('no')\n"
    "@pytest.mark.parametrize('x', [0, 1])\n"
    "def test_bad(x): assert x\n"
    "def test_left_out(): pytest.skip('no')\n"
    "@pytest.fixture\n"
    "def broken(): raise ValueError\n"
    "def test_broken(broken): pass\n"
    "def test_of_no_fault(): pass\n"
  )
  names = ("good", "bad", "left_out", "broken")
  path = tmp_path / "outcomes.json"
  recorder = faults.Recorder(path, [f"test_a.py::test_{x}" for x in names])
  faults.keep(path, {"test_a.py::test_good": "failed", "another": "passed"})
  pytest.main(
    [
      "-q", "-n0", "-p", "no:cacheprovider", f"--rootdir={tmp_path}",
      f"--confcutdir={tmp_path}", "-c", "/dev/null", str(tmp_path),
    ],
    plugins=[recorder],
  )  # fmt: skip
  found = {
    name: known["outcome"] for name, known in faults.recorded(path).items()
  }
  assert found == {
    "another": "passed",
    "test_a.py::test_bad": "failed",
    "test_a.py::test_broken": "failed",
    "test_a.py::test_good": "passed",
    "test_a.py::test_left_out": "not played",
  }
