"""docs/faults.md names tests that are there, for all 28 faults."""

import ast
import pathlib
import re

import pytest

from tests import clusters

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "faults.md").read_text()
ROWS = {
  int(number): re.findall(r"`([\w/]+\.py)::(\w+)`", rest)
  for number, rest in re.findall(r"^\| (\d+) \|(.*)$", PAGE, re.MULTILINE)
}


def test_every_fault_has_its_row():
  assert list(ROWS) == list(range(1, 29))
  assert all(ROWS.values())


@pytest.mark.parametrize(
  ("file", "name"), sorted({named for row in ROWS.values() for named in row})
)
def test_named_tests_are_there(file, name):
  tree = ast.parse((ROOT / "tests" / file).read_text())
  functions = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
  assert name in functions


def test_faults_of_a_run_that_trains_are_all_named():
  named = {name for row in ROWS.values() for file, name in row
           if file == "clusters.py"}  # fmt: skip
  assert named == clusters.FAULTS.keys()
