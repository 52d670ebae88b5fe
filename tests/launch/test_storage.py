"""Locks between processes of this machine."""

import subprocess
import sys

import pytest

from launch import storage


def test_a_lock_is_held_as_long_as_the_file_is_open(tmp_path):
  path = tmp_path / "token"
  assert storage.lock(path) == ("absent", None)
  path.touch()
  answer, file = storage.lock(path)
  assert answer == "locked"
  assert file is not None
  assert storage.lock(path) == ("refused", None)
  program = "import sys; from launch import storage; print(storage.lock(*sys."
  program += "argv[1:])[0])"
  command = (sys.executable, "-c", program, str(path))
  assert subprocess.check_output(command, text=True) == "refused\n"
  file.close()
  assert subprocess.check_output(command, text=True) == "locked\n"


@pytest.mark.parametrize(
  ("answers", "problem"),
  [
    (["locked", "refused", "refused"], ""),
    (["locked"], ""),
    (["locked", "absent", "refused"], "is not shared"),
    (["absent", "absent", "locked"], "is not shared"),
    (["locked", "locked", "refused"], "has no locks"),
    (["refused", "refused"], "has no locks"),
  ],
)
def test_problem(answers, problem):
  assert storage.problem(answers) == problem
