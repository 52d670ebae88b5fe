"""Run folders that a run could not work with, or that lead elsewhere."""

import os
import socket

import pytest

from sr2_jax import errors
from sr2_jax.records import parts

FILES = (
  "config.json", "metrics.jsonl", "timing.jsonl", "results.jsonl", ".lock",
  "DONE", "per_image/fsrcnn_test.npz", "examples/fsrcnn.npz",
  "images/joint_examples.png", "tensorboard/joint/seed_0/events.out.1",
  "weights/joint_sr2_fsrcnn/seed_0/last.safetensors",
  "weights/joint_sr2_fsrcnn/seed_0/last.safetensors.sha256",
  "checkpoints/pretrain/last/00000004/state/d/data",
  "checkpoints/pretrain/damaged/last_00000003/state/_METADATA",
  "checkpoints/joint/best/00000004.orbax-checkpoint-tmp/state/x",
)  # fmt: skip
FOLDERS = (
  "checkpoints", "checkpoints/joint", "checkpoints/pretrain/last",
  "checkpoints/joint/best", "checkpoints/pretrain/damaged", "per_image",
  "checkpoints/pretrain/last/00000004", "examples", "images", "tensorboard",
  "tensorboard/joint", "weights", "weights/joint_sr2_fsrcnn",
  "weights/joint_sr2_fsrcnn/seed_0",
)  # fmt: skip


@pytest.fixture
def run(tmp_path):
  folder = tmp_path / "run"
  for name in FILES:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("x")
  return folder


def moved(path, away):
  away.mkdir(exist_ok=True)
  path.rename(away / path.name)
  return away / path.name


def refused(folder):
  with pytest.raises(errors.UserError) as caught:
    parts.check(folder)
  text = str(caught.value)
  assert text.count("\n") == 1
  return text


def test_a_run_folder_and_what_a_user_has_put_there(run, tmp_path):
  parts.check(run)
  (run / "notes").symlink_to(tmp_path)
  os.mkfifo(run / "pipe")
  (run / "checkpoints" / ".DS_Store").write_text("x")
  (run / "images" / "latest.png").symlink_to("joint_examples.png")
  (tmp_path / "link").symlink_to("run")
  parts.check(run)
  parts.check(tmp_path / "link")


def test_an_empty_folder(tmp_path):
  parts.check(tmp_path)


@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
def test_a_link_that_leads_out_is_named(run, tmp_path, name):
  target = moved(run / name, tmp_path / "elsewhere")
  (run / name).symlink_to(target)
  text = refused(run)
  assert text.startswith(f"{run / name}: is a link that leads out")
  assert str(target) in text


def test_links_to_nothing_and_to_themselves_are_named(run):
  (run / "per_image" / "a.npz").symlink_to("gone")
  assert "per_image/a.npz: is not there" in refused(run)
  (run / "per_image" / "a.npz").unlink()
  (run / "examples" / "b.npz").symlink_to("b.npz")
  assert "examples/b.npz: is not there" in refused(run)


@pytest.mark.parametrize("name", FILES[:12])
def test_a_folder_in_a_files_place_is_named(run, name):
  if "events" in name:
    return  # TensorBoard would write another file.
  (run / name).unlink()
  (run / name).mkdir()
  assert f"{run / name}: is a folder, not a file." in refused(run)


@pytest.mark.parametrize(
  "name", ["DONE.tmp", "config.json.tmp", "images/joint_examples.png.tmp"]
)
def test_a_folder_where_a_file_is_written_first_is_named(run, name):
  (run / name).mkdir()
  assert f"{run / name}: is a folder, not a file." in refused(run)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_file_in_a_folders_place_is_named(run, tmp_path, name):
  moved(run / name, tmp_path / "elsewhere")
  (run / name).write_text("x")
  assert f"{run / name}: is a file, not a folder." in refused(run)


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_is_named_and_not_waited_for(run, name):
  (run / name).unlink()
  os.mkfifo(run / name)
  assert f"{run / name}: is a FIFO, not a file." in refused(run)


def test_a_socket_is_named(run, monkeypatch):
  monkeypatch.chdir(run)  # Its path has to be short.
  with socket.socket(socket.AF_UNIX) as listener:
    listener.bind("per_image/a")
    assert "per_image/a: is a socket, not a file." in refused(run)


@pytest.mark.skipif(os.getuid() == 0, reason="root may do anything")
@pytest.mark.parametrize("name", ["", *FOLDERS])
@pytest.mark.parametrize(("mode", "words"), [(0o555, "written"), (0, "read")])
def test_a_folder_without_permission_is_named(run, name, mode, words):
  (run / name).chmod(mode)
  try:
    assert f"{run / name}: cannot be {words} by this user." in refused(run)
  finally:
    (run / name).chmod(0o755)


@pytest.mark.parametrize("name", ["", *FOLDERS, "metrics.jsonl", ".lock"])
@pytest.mark.parametrize(
  ("denied", "words"), [(os.W_OK, "written"), (os.R_OK, "read")]
)
def test_permissions_are_asked_for(run, monkeypatch, name, denied, words):
  """As above, for root as well."""
  monkeypatch.setattr(
    os, "access", lambda path, mode: path != run / name or not mode & denied
  )
  assert f"{run / name}: cannot be {words} by this user." in refused(run)


def test_a_file_that_is_replaced_as_a_whole_need_not_be_writable(
  run, monkeypatch
):
  monkeypatch.setattr(
    os,
    "access",
    lambda path, mode: path != run / "results.jsonl" or not mode & os.W_OK,
  )
  parts.check(run)
