"""Several processes that want one entry of the cache at the same time."""

import pathlib
import subprocess
import sys


def assert_one_decodes(program, folder, *, count):
  """One of the processes decodes, and the others wait for what it has made.

  Args:
    program: Python that reads the entry "both"; who decodes says "decoding" and
      then waits for a line of input.
    folder: of the cache.
    count: of processes.
  """
  processes = [
    subprocess.Popen(
      [sys.executable, "-c", program],
      cwd=pathlib.Path(__file__).parents[1],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for _ in range(count)
  ]
  said = sorted(process.stdout.readline() for process in processes)
  waiting = "waiting for another process that reads both\n"
  assert said == ["decoding\n", *[waiting] * (count - 1)]
  for process in processes:  # All of them: any one may be decoding.
    process.stdin.write("go\n")
    process.stdin.flush()
  for process in processes:
    rest, _ = process.communicate(timeout=60)
    assert (rest, process.returncode) == ("", 0)
  assert len(list(folder.iterdir())) == 1
