"""Programs that tests play in a process of their own."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def played(program, *, check=True, **variables):
  """A Python program that has ended, with its output.

  Args:
    program: its text.
    check: raise an error unless its exit code is 0.
    **variables: of its environment, besides those of this process.
  """
  return subprocess.run(
    [sys.executable, "-c", program],
    check=check,
    capture_output=True,
    text=True,
    cwd=ROOT,
    env={**os.environ, **variables},
  )
