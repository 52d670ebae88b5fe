"""Claims of a run folder, its record, and which configs it accepts."""

import errno
import fcntl
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

from sr2_jax import errors
from sr2_jax.records import folder as folder_lib

HOLDER = """
import sys, time
from sr2_jax.records import folder
with folder.RunFolder(sys.argv[1]).claim():
  print("claimed", flush=True)
  time.sleep(60)
"""

CONFIG = {
  "seed": 0,
  "eval": {"clip": False},
  "joint": {"loss_weight": [9.0]},
  "loss": {"l2": [0.01]},
}


def recorded(path, **fields):
  folder = folder_lib.RunFolder(path)
  folder.record({"config": CONFIG, **fields})
  return folder


def test_paths_are_in_the_folder(tmp_path):
  folder = folder_lib.RunFolder(str(tmp_path))
  assert folder.path == tmp_path
  assert folder.images == tmp_path / "images"
  assert folder.checkpoints("joint") == tmp_path / "checkpoints/joint/last"
  assert folder.checkpoints("joint", "best").parts[-2:] == ("joint", "best")
  assert not list(tmp_path.iterdir())


def test_lock_goes_with_the_process_that_holds_it(tmp_path):
  """A claim is refused while another process lives, but not after kill -9."""
  path = tmp_path / "new" / "run"
  with subprocess.Popen(
    [sys.executable, "-c", HOLDER, str(path)],
    stdout=subprocess.PIPE,
    text=True,
  ) as holder:
    try:
      assert holder.stdout is not None
      assert holder.stdout.readline() == "claimed\n"
      folder = folder_lib.RunFolder(path)
      with pytest.raises(errors.FolderInUseError) as caught, folder.claim():
        raise AssertionError("claimed twice")
      first, second = str(caught.value).splitlines()
      assert re.fullmatch(
        rf"{path}: another run is using this folder \(process {holder.pid} on "
        rf"{socket.gethostname()}, since \d{{4}}-\d\d-\d\d [\d:]{{8}}\+.*\)\.",
        first,
      )
      assert second.startswith("Wait")
      assert caught.value.exit_code == 4
    finally:
      holder.send_signal(signal.SIGKILL)
    holder.wait()
    with folder.claim():
      pass


@pytest.mark.parametrize(
  "text",
  [
    "", "\n", "{}", "[]", "null", "{" * 600, "[" * 600, "\x00", "ü",
    '{"host": "a", "pid": 1}', '{"host": "a", "pid": 1, "since": 3}',
    '{"host": "a", "pid": [], "since": "2026-01-01"}',
    '{"host": "a", "pid": 1, "since": "yesterday"}',
    '{"host": "a", "pid": 1e999, "since": "2026-01-01"}',
    '{"host": "a", "pid": 1, "since": "0001-01-01"}',
  ],
)  # fmt: skip
def test_lock_that_does_not_say_who_has_it_is_a_lock_as_well(tmp_path, text):
  folder = folder_lib.RunFolder(tmp_path)
  with (tmp_path / ".lock").open("w") as file:
    file.write(text)
    file.flush()
    fcntl.flock(file, fcntl.LOCK_EX)
    assert folder.is_claimed
    with (
      pytest.raises(errors.FolderInUseError, match=r"using this folder\.\n"),
      folder.claim(),
    ):
      raise AssertionError("claimed twice")
  with folder.claim():
    assert f"(process {os.getpid()} on " in folder.owner


def test_owner_is_the_last_one_and_nothing_is_left_of_those_before(tmp_path):
  folder = folder_lib.RunFolder(tmp_path)
  assert folder.owner == ""
  (tmp_path / ".lock").write_text("x" * 1000)
  for _ in range(2):
    with folder.claim():
      pass
  owner = json.loads((tmp_path / ".lock").read_text())
  assert owner.keys() == {"host", "pid", "since"}


def test_full_disk_costs_only_the_name_of_the_owner(tmp_path, monkeypatch):
  def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")

  monkeypatch.setattr(folder_lib.os, "write", full)
  folder = folder_lib.RunFolder(tmp_path)
  with folder.claim():
    assert folder.is_claimed
    assert folder.owner == ""


def test_is_claimed_neither_blocks_a_claim_nor_leaves_anything(tmp_path):
  folder = folder_lib.RunFolder(tmp_path / "new")
  assert not folder.is_claimed
  assert not folder.path.exists()
  with folder.claim():
    assert folder.is_claimed
  assert not folder.is_claimed
  with (folder.path / ".lock").open() as file:
    # The lock that `is_claimed` holds for a moment.
    fcntl.flock(file, fcntl.LOCK_SH)
    release = threading.Timer(0.15, fcntl.flock, (file, fcntl.LOCK_UN))
    release.start()
    with folder.claim():
      pass
    release.join()


def test_lock_is_free_after_its_block_even_after_an_error(tmp_path):
  folder = folder_lib.RunFolder(tmp_path)
  with pytest.raises(ZeroDivisionError), folder.claim():
    raise ZeroDivisionError
  with (
    folder.claim(),
    pytest.raises(errors.UserError, match="--workdir"),
    folder.claim(),
  ):
    raise AssertionError("claimed twice")
  with folder.claim():
    pass


@pytest.mark.parametrize("name", ["file", "file/run"])
def test_folder_that_cannot_be_made_is_named(tmp_path, name):
  (tmp_path / "file").write_text("in the way")
  folder = folder_lib.RunFolder(tmp_path / name)
  with (
    pytest.raises(errors.UserError, match=r"cannot be written \(.+\)\.\nGive"),
    folder.claim(),
  ):
    raise AssertionError("claimed a file")
  assert folder.read() is None


def test_record_is_read_back(tmp_path):
  folder = folder_lib.RunFolder(tmp_path / "run")
  assert folder.read() is None
  folder.record({"config": CONFIG, "dataset": {"name": "mnist"}})
  assert folder.read() == {"config": CONFIG, "dataset": {"name": "mnist"}}
  assert [path.name for path in folder.path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
  "text",
  ["", '{"config": {"seed"', "[]", "{}", '{"config": 3}', '{"config": []}'],
)
def test_damaged_record_is_named(tmp_path, text):
  (tmp_path / "config.json").write_text(text)
  folder = folder_lib.RunFolder(tmp_path)
  with pytest.raises(errors.UserError, match=r"config\.json: damaged \(.+\)"):
    folder.read()
  with pytest.raises(errors.UserError, match="Restore it from a copy"):
    folder.check(CONFIG)


@pytest.mark.parametrize(
  ("part", "value", "named"),
  [
    ("dataset", None, "dataset is nothing, not an object"),
    ("dataset", {"fingerprint": 5}, "fingerprint is a number, not text"),
    ("dataset", {"num_train_images": "9"}, "num_train_images is text"),
    ("dataset", {"num_train_images": True}, "num_train_images is true"),
    ("dataset", {"num_train_images": 1.5}, "is 1.5, not a whole number"),
    ("dataset", {"num_train_images": -1.0}, "num_train_images has to be a who"),
    ("dataset", {"num_train_images": math.inf}, "is inf, not a whole number"),
    ("dataset", {"image_shape": [28, 28]}, "image_shape has to be three whole"),
    ("dataset", {"image_shape": [28, 0.5, 1]}, "image_shape has to be three"),
    ("dataset", {"image_shape": [28, True, 1]}, "image_shape has to be three"),
    ("dataset", [], "dataset is a list, not an object"),
    ("config", {"seed": 1.5}, "config.seed has to be a whole number"),
    ("config", {"seed": True}, "config.seed has to be a whole number"),
    ("config", {"seed": math.nan}, "config.seed has to be a whole number"),
    ("config", {"seed": 1e300}, "config.seed has to be a whole number"),
    ("config", {"eval": {"epochs": [1.5]}}, "config.eval.epochs has to be"),
    ("config", {"eval": {"clip": 1.0}}, "config.eval.clip has to be true or"),
    ("dataset", {"class_names": {}}, "class_names is an object, not a list"),
    ("dataset", {"class_names": ["a", 1]}, "class_names is no list of text"),
    ("later", 5, "later is a number, not a list"),
    ("later", [[]], "later is a list, not an object"),
    ("later", [{"devices": 3}], "devices is a number, not an object"),
    ("packages", [], "packages is a list, not an object"),
    ("devices", "cpu", "devices is text, not an object"),
    ("git_revision", {}, "git_revision is an object, not text"),
    ("convolutions", 1, "convolutions is a number"),
    ("config", None, "config is nothing, not an object"),
    ("config", {"model": None}, "config.model is nothing, not an object"),
    ("config", {"data": 3}, "config.data is a number, not an object"),
    ("config", {"eval": {"srmd": []}}, "config.eval.srmd is a list"),
    ("config", {"seed": {"a": 1}}, "config.seed is an object"),
    ("config", {"loss": {"l2": [[[0.1]]]}}, "config.loss.l2 is nested"),
    ("config", {"parallel": {"layout": 3}}, "config.parallel.layout has to"),
    ("config", {"pretrain": {"num_epochs": "9"}}, "pretrain.num_epochs has to"),
    ("config", {"seed": None}, "config.seed has to be a whole number"),
    ("config", {"loss": {"l2": True}}, "config.loss.l2 has to be"),
    ("config", {"model": {"trunk": "nosuch"}}, "config.model.trunk has to"),
  ],
)  # fmt: skip
def test_record_with_a_part_of_another_type_is_damaged(
  tmp_path, part, value, named
):
  fields = {"config": CONFIG, "later": [], part: value}
  (tmp_path / "config.json").write_text(json.dumps(fields))
  with pytest.raises(errors.UserError, match=re.escape(named)) as caught:
    folder_lib.RunFolder(tmp_path).read()
  assert str(caught.value).count("\n") == 1


def test_whole_numbers_may_be_floats(tmp_path):
  """pandas, JavaScript and others have no whole numbers."""
  config = {
    "seed": 1, "eval": {"epochs": [1.0, 2.0], "noise_variances": [0.0, 1.0]},
    "model": {"classifier_strides": [1, 2, 2]}, "adam": {"b1": 0.0},
  }  # fmt: skip
  dataset = {"num_train_images": 9, "image_shape": [28, 28, 1]}
  written = {"config": config, "dataset": dataset, "more": [1.0]}

  def as_floats(tree):
    if isinstance(tree, dict):
      return {name: as_floats(value) for name, value in tree.items()}
    return [*map(float, tree)] if isinstance(tree, list) else float(tree)

  text = json.dumps(as_floats(written))
  (tmp_path / "config.json").write_text(text)
  assert "9.0" in text
  read = folder_lib.RunFolder(tmp_path).read()
  assert json.dumps(read) == json.dumps(written)


@pytest.mark.parametrize("text", ["[" * 99_999, '{"config":' * 60 + "}" * 60])
def test_record_that_is_too_deep_is_damaged(tmp_path, text):
  (tmp_path / "config.json").write_text(text)
  with pytest.raises(errors.UserError, match="damaged"):
    folder_lib.RunFolder(tmp_path).read()


@pytest.mark.parametrize("kind", ["folder", "FIFO", "link"])
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path, kind):
  """A lock that is a link would be truncated where it leads."""
  outside = tmp_path / "outside"
  outside.write_text("mine")
  run = tmp_path / "run"
  run.mkdir()
  for name in ("config.json", ".lock"):
    if kind == "folder":
      (run / name).mkdir()
    elif kind == "FIFO":
      os.mkfifo(run / name)
    else:
      (run / name).symlink_to(outside)
  folder = folder_lib.RunFolder(run)
  with pytest.raises(errors.UserError, match=r"config\.json: ") as caught:
    folder.read()
  assert kind == "link" or f"it is a {kind}" in str(caught.value)
  with (
    pytest.raises(errors.UserError, match=rf"\.lock: .*it is a {kind}"),
    folder.claim(),
  ):
    raise AssertionError("claimed")
  assert not folder.is_claimed
  assert folder.owner == ""
  assert outside.read_text() == "mine"


def test_record_that_is_not_text_is_damaged(tmp_path):
  (tmp_path / "config.json").write_bytes(b"\xff\xfe{}")
  with pytest.raises(errors.UserError, match="damaged"):
    folder_lib.RunFolder(tmp_path).read()


def test_same_config_continues(tmp_path):
  """JSON turns tuples into lists and keeps floats exactly."""
  folder = recorded(tmp_path, python="3.11")
  folder.check({**CONFIG, "joint": {"loss_weight": (9.0,)}})
  folder_lib.RunFolder(tmp_path / "new").check(CONFIG)


def test_an_older_versions_config_continues(tmp_path):
  """It lacks a later field, and its L2 is a number instead of a list."""
  older = {
    "seed": 0,
    "eval": {},
    "joint": CONFIG["joint"],
    "loss": {"l2": 0.01},
  }
  folder = folder_lib.RunFolder(tmp_path)
  folder.record({"config": older})
  folder.check(CONFIG)
  with pytest.raises(errors.UserError, match="seed: 0 -> 1"):
    folder.check({**CONFIG, "seed": 1})


def test_other_config_is_refused_with_every_difference(tmp_path):
  folder = recorded(tmp_path)
  other = {**CONFIG, "seed": 1, "eval": {"clip": True}}
  with pytest.raises(errors.UserError) as caught:
    folder.check(other)
  message = str(caught.value)
  assert f"{tmp_path} was started with another config" in message
  assert "seed: 0 -> 1; eval.clip: false -> true." in message
  assert "loss_weight" not in message
  assert message.count("\n") == 1


@pytest.mark.parametrize("ignored", ["eval", "eval.clip"])
def test_ignored_fields_may_differ_and_no_others(tmp_path, ignored):
  folder = recorded(tmp_path)
  clipped = {**CONFIG, "eval": {"clip": True}}
  folder.check(clipped, ignore=(ignored,))
  with pytest.raises(errors.UserError, match=r"seed: 0 -> 1\.\nGo away\."):
    folder.check({**clipped, "seed": 1}, ignore=(ignored,), way_out="Go away.")
  with pytest.raises(errors.UserError, match=r"eval\.clip: "):
    folder.check(clipped, ignore=("eval.cli", "lip", "clip"))


@pytest.mark.parametrize(
  "name",
  [
    "metrics.jsonl",
    "results.jsonl",
    "checkpoints/pretrain/last/00000003/state",
    "checkpoints/joint/damaged/last_00000003_2/state",
    "weights/joint_sr2_fsrcnn/seed_0/last.safetensors",
    "per_image/fsrcnn_test.npz",
    "examples/fsrcnn.npz",
    "DONE",
  ],
)
def test_run_has_begun_with_its_first_checkpoint_or_row(tmp_path, name):
  folder = recorded(tmp_path)
  for nothing in (
    "tensorboard/pretrain/events",
    "checkpoints/pretrain/last/00000003.orbax-checkpoint-tmp/state",
  ):
    (tmp_path / nothing).parent.mkdir(parents=True)
    (tmp_path / nothing).write_text("left by a kill")
  for empty in ("metrics.jsonl", "results.jsonl"):
    (tmp_path / empty).touch()
  assert not folder.has_begun
  (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
  (tmp_path / name).write_text("something")
  assert folder.has_begun
  # Without its record, no config is the one that it was started with.
  folder.config_path.unlink()
  with pytest.raises(errors.UserError, match=r"no longer its config\.json"):
    folder.check(CONFIG)


def test_a_removed_field_is_a_difference(tmp_path):
  config = {**CONFIG, "eval": {}}
  with pytest.raises(errors.UserError, match=r"eval\.clip: false -> nothing"):
    recorded(tmp_path).check(config)


@pytest.mark.parametrize(
  "make",
  [
    os.mkdir, os.mkfifo, lambda path: os.symlink("DONE", path),
    lambda path: os.symlink("nowhere", path),
  ],
)  # fmt: skip
def test_only_a_file_says_done(tmp_path, make):
  """What else there is, is refused with the other parts of the folder."""
  make(tmp_path / "DONE")
  assert not recorded(tmp_path).is_done


def test_done(tmp_path):
  folder = recorded(tmp_path)
  assert not folder.is_done
  folder.set_done()
  assert folder.is_done
  assert folder_lib.RunFolder(tmp_path).is_done
  folder.set_done(b'{"seed": 0}\n')
  assert (tmp_path / "DONE").read_bytes() == b'{"seed": 0}\n'
  assert json.loads((tmp_path / "config.json").read_text())
