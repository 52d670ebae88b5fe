import os

import pytest

from sr2_jax import files
from sr2_jax.buckets import snapshot


@pytest.fixture
def folder(tmp_path):
  run = tmp_path / "run"
  for name in (
    "checkpoints/pretrain/last/00000003/state/d/x",
    "checkpoints/pretrain/last/00000003/files.sha256",
    "checkpoints/pretrain/best/00000003/state/d/x",
    "metrics.jsonl", "weights/a/last.safetensors", "DONE",
  ):  # fmt: skip
    path = run / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
  return run


def test_checkpoints_come_first_and_the_last_state_before_the_best(folder):
  assert snapshot.names(folder) == [
    "checkpoints/pretrain/last/00000003/files.sha256",
    "checkpoints/pretrain/last/00000003/state/d/x",
    "checkpoints/pretrain/best/00000003/state/d/x",
    "DONE", "metrics.jsonl", "weights/a/last.safetensors",
  ]  # fmt: skip


def test_what_is_no_file_of_the_run_is_left_out(folder):
  before = snapshot.names(folder)
  (folder / ".lock").touch()
  (folder / ".mirror/files").mkdir(parents=True)
  (folder / ".mirror/files/0").touch()
  (folder / "results.jsonl.tmp").touch()
  (folder / "results.jsonl.0123.tmp").touch()
  saving = folder / "checkpoints/joint/last/00000001.orbax-checkpoint-tmp"
  assert not snapshot.is_saving(folder)
  saving.mkdir(parents=True)
  (saving / "x").touch()
  assert snapshot.is_saving(folder)
  os.mkfifo(folder / "fifo")
  (folder / "nowhere").symlink_to("gone")
  assert snapshot.names(folder) == before


def test_a_file_stays_as_it_was(folder, tmp_path):
  with snapshot.of(folder, folder / ".mirror/files") as frozen:
    files.write_atomically(folder / "DONE", b"another")
    (folder / "weights/a/last.safetensors").unlink()
    with (folder / "metrics.jsonl").open("a") as file:
      file.write("more")
    for name, one in frozen.items():
      assert one.path.read_bytes()[: one.size] == name.encode()
  assert not (folder / ".mirror/files").exists()


def test_a_change_shows_in_the_stamp(folder):
  room = folder / ".mirror/files"
  with snapshot.of(folder, room) as frozen:
    first = snapshot.stamps(frozen)
  with snapshot.of(folder, room) as frozen:
    assert snapshot.stamps(frozen) == first
  files.write_atomically(folder / "DONE", b"DONE")
  with (folder / "metrics.jsonl").open("a") as file:
    file.write("more")
  with snapshot.of(folder, room) as frozen:
    new = snapshot.stamps(frozen)
  changed = {name for name in new if new[name] != first[name]}
  assert changed == {"DONE", "metrics.jsonl"}


def test_without_second_names(folder, monkeypatch):
  """On a full disk, or a file system that has none."""

  def fail(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(os, "link", fail)
  with snapshot.of(folder, folder / ".mirror/files") as frozen:
    assert frozen["DONE"].path == folder / "DONE"


def test_a_link_to_a_file_elsewhere(folder, tmp_path):
  (tmp_path / "elsewhere").write_text("abc")
  (folder / "config.json").symlink_to(tmp_path / "elsewhere")
  with snapshot.of(folder, folder / ".mirror/files") as frozen:
    assert frozen["config.json"].path.read_text() == "abc"
