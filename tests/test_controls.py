"""Controls of the fault table: without its protection, each of these fails.

A test that plays a fault says something only if the fault does harm. Where a
control no longer holds, its protection may be left out.
"""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import orbax.checkpoint as ocp
import pytest

from sr2_jax import files

ARRAYS = {"kernel": np.linspace(-1, 1, 5000, dtype=np.float32)}


def with_orbax(folder):
  """A manager as orbax's documentation has it."""
  return ocp.CheckpointManager(
    folder, options=ocp.CheckpointManagerOptions(create=True)
  )


def saved(folder):
  with with_orbax(folder) as manager:
    manager.save(10, args=ocp.args.StandardSave(ARRAYS))
    manager.wait_until_finished()


def restored(folder):
  with with_orbax(folder) as manager:
    return manager.restore(10, args=ocp.args.StandardRestore(ARRAYS))


def test_plain_orbax_restores_a_flipped_byte(tmp_path):
  saved(tmp_path)
  data = [p for p in tmp_path.glob("10/*/**/d/*") if p.is_file()]
  path = max(data, key=lambda p: p.stat().st_size)
  original = path.read_bytes()
  silent = 0
  for position in range(0, len(original), len(original) // 40):
    flipped = bytearray(original)
    flipped[position] ^= 0x10
    path.write_bytes(bytes(flipped))
    try:
      found = restored(tmp_path)
    except Exception:
      continue  # Orbax has noticed: it raises whatever its parts raise.
    silent += not np.array_equal(found["kernel"], ARRAYS["kernel"])
  assert silent > 0


def test_plain_orbax_takes_a_checkpoint_for_another_step(tmp_path):
  saved(tmp_path)
  (tmp_path / "10").rename(tmp_path / "20")
  with with_orbax(tmp_path) as manager:
    assert manager.latest_step() == 20


def test_plain_orbax_loses_the_checkpoints_of_a_folder_with_brackets(tmp_path):
  folder = tmp_path / "run[seed=1]"
  saved(folder)
  assert [*folder.rglob("d/*")]
  with pytest.raises((FileNotFoundError, ValueError)):
    restored(folder)


PLAIN = """
import pathlib, sys, time
file = pathlib.Path(sys.argv[1]).open("w")
file.write("half")
file.flush()
print("there", flush=True)
time.sleep(600)
"""
WRITTEN_BY_US = """
import pathlib, sys, time
from sr2_jax import files
with files.replacing(pathlib.Path(sys.argv[1])) as file:
  file.write(b"half")
  file.flush()
  print("there", flush=True)
  time.sleep(600)
"""


@pytest.mark.parametrize(
  ("program", "left"), [(PLAIN, "half"), (WRITTEN_BY_US, "whole")]
)
def test_a_kill_in_a_plain_write_leaves_half_a_file(tmp_path, program, left):
  path = tmp_path / "results.jsonl"
  files.write_atomically(path, b"whole")
  with subprocess.Popen(
    [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE
  ) as process:
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
  assert path.read_text() == left


def test_plain_reading_of_a_fifo_waits_forever(tmp_path):
  path = tmp_path / "config.json"
  os.mkfifo(path)
  program = "import sys; print(1, flush=True); open(sys.argv[1]).read()"
  with subprocess.Popen(
    [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE
  ) as process:
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)


def test_plain_json_of_many_levels_is_a_traceback():
  with pytest.raises(RecursionError):
    json.loads("[" * 100_000 + "]" * 100_000)


def test_plain_print_of_a_plus_minus_ends_an_ascii_program():
  done = subprocess.run(
    [sys.executable, "-c", "print('1 \\u00b1 2')"], capture_output=True,
    env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=False,
  )  # fmt: skip
  assert done.returncode == 1
  assert b"UnicodeEncodeError" in done.stderr
