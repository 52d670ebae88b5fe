import struct
import subprocess
import sys

import numpy as np
from tensorboardX.proto import event_pb2

from sr2_jax.records import tensorboard


def events(folder):
  """The records of a run's event files, in TensorBoard's order."""
  found = []
  for path in sorted(folder.glob("events.out.tfevents.*")):
    data = path.read_bytes()
    while data:
      (length,) = struct.unpack("<Q", data[:8])
      found.append(event_pb2.Event.FromString(data[12 : 12 + length]))
      data = data[12 + length + 4 :]
  return found


def scalars(folder):
  """(tag, step) -> value, without what TensorBoard is told to hide."""
  found = {}
  for event in events(folder):
    if event.HasField("session_log"):
      assert event.session_log.status == event_pb2.SessionLog.START
      found = {k: v for k, v in found.items() if k[1] < event.step}
    for value in event.summary.value:
      assert (value.tag, event.step) not in found
      found[value.tag, event.step] = value.simple_value
  return found


def test_files_of_one_second_do_not_replace_one_another(tmp_path):
  board = tensorboard.TensorBoard(tmp_path)
  for step in range(12):
    board.scalar("run", "loss", step, step / 2)
    board.close()
  assert scalars(tmp_path / "run") == {
    ("loss", step): step / 2 for step in range(12)
  }


def test_pytorch_is_not_loaded_and_stays_importable(tmp_path):
  """Loading it would take seconds; a stand-in tells of it."""
  (tmp_path / "torch.py").write_text("Tensor = int\n")
  program = (
    "import pathlib, sys\n"
    "from sr2_jax.records import tensorboard\n"
    "sys.path.insert(0, sys.argv[1])\n"
    "board = tensorboard.TensorBoard(pathlib.Path(sys.argv[1]))\n"
    "board.scalar('run', 'loss', 1, 2.0)\n"
    "assert 'torch' not in sys.modules\n"
    "import torch\n"
  )
  subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
  assert scalars(tmp_path / "run") == {("loss", 1): 2.0}


def test_all_is_on_disk_after_a_sync(tmp_path):
  board = tensorboard.TensorBoard(tmp_path)
  for step in range(500):
    board.scalar("run", "loss", step, 1.0)
  board.image("run", "examples", 7, np.zeros((2, 3, 3), np.uint8))
  board.sync()
  assert ("examples", 7) in scalars(tmp_path / "run")
  assert len(scalars(tmp_path / "run")) == 501
  board.close()


# Limits the size of a file, as a full disk would, in a process of its own.
FULL_DISK = """
import itertools, pathlib, resource, sys
from sr2_jax.records import tensorboard

board = tensorboard.TensorBoard(pathlib.Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
  for step in itertools.count():
    board.scalar("run", "loss", step, 1.0)
except OSError as error:
  print(error.strerror, flush=True)
"""


def test_a_full_disk_is_an_error_and_not_a_wait(tmp_path):
  done = subprocess.run(
    [sys.executable, "-c", FULL_DISK, str(tmp_path)],
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert done.stdout == "File too large\n", done.stderr


def test_a_purge_hides_later_steps_of_one_run(tmp_path):
  board = tensorboard.TensorBoard(tmp_path)
  for run in ("joint/a", "joint/b"):
    for step in (1, 2, 3):
      board.scalar(run, "loss", step, 1.0)
  board.close()
  assert board.runs == ["joint/a", "joint/b"]
  board.purge("joint/a", 2)
  board.scalar("joint/a", "loss", 2, 5.0)
  board.close()
  assert scalars(tmp_path / "joint/a") == {("loss", 1): 1.0, ("loss", 2): 5.0}
  assert len(scalars(tmp_path / "joint/b")) == 3


def test_there_are_no_runs_before_the_first_scalar(tmp_path):
  board = tensorboard.TensorBoard(tmp_path / "tensorboard")
  assert board.runs == []
  board.close()
  assert not (tmp_path / "tensorboard").exists()
