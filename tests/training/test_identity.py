"""Checkpoints under other names, of other runs, and runs without a record."""

import json
import shutil

import numpy as np
import pytest

from sr2_jax.records import folder as folder_lib
from sr2_jax.training import checkpoint, file_list, identity

CONFIG = {
  "seed": 0, "init_from": "", "data": {"path": "images"},
  "loss": {"l2": [0.01]}, "joint": {"loss_weight": [9.0]},
  "parallel": {"layout": "data"},
}  # fmt: skip
DATASET = {"name": "folder", "fingerprint": "f0"}
LOGS = {"metrics.jsonl": {"lines": 3, "sha256": "ab", "diverged": []}}


def tree(value):
  return {"a": np.full((2, 3), value, np.float32)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """A run folder with checkpoints of two steps and kinds in two phases."""
  folder = folder_lib.RunFolder(tmp_path_factory.mktemp("saved") / "run")
  folder.record({"config": CONFIG, "dataset": DATASET, "later": []})
  for phase, kind in (
    ("pretrain", "last"),
    ("pretrain", "best"),
    ("joint", "last"),
  ):
    checkpoints = checkpoint.Checkpoints(
      folder.checkpoints(phase, kind), keep=2
    )
    for step in (10, 20):
      checkpoints.save(step, tree(step), LOGS)
    checkpoints.close()
  return folder.path


@pytest.fixture
def folder(saved, tmp_path):
  return folder_lib.RunFolder(shutil.copytree(saved, tmp_path / "copy"))


def opened(folder, phase="pretrain", kind="last", **options):
  return checkpoint.Checkpoints(
    folder.checkpoints(phase, kind), keep=2, **options
  )


def edit(folder, change):
  path = folder.config_path
  recorded = json.loads(path.read_text())
  change(recorded)
  path.write_text(json.dumps(recorded))


def test_what_the_logs_held_is_given_back(folder):
  checkpoints = opened(folder)
  step, _ = checkpoints.restore_latest(tree(0))
  assert step == 20
  assert checkpoints.logs(20) == LOGS


def test_a_checkpoint_under_another_steps_name_is_set_aside(folder, capsys):
  place = folder.checkpoints("pretrain")
  (place / "00000020").rename(place / "00000030")
  checkpoints = opened(folder)
  step, restored = checkpoints.restore_latest(tree(0))
  assert (step, restored["a"][0, 0]) == (10, 10)
  assert "it is pretrain/last of step 20, under another name" in (
    capsys.readouterr().err
  )
  kept = place.parent / "damaged" / "last_00000030"
  assert (kept / "state").is_dir()


@pytest.mark.parametrize(
  "source", ["joint/last/00000020", "pretrain/best/00000020"]
)
def test_a_checkpoint_of_another_phase_or_kind_is_not_used(folder, source):
  place = folder.checkpoints("pretrain") / "00000020"
  shutil.rmtree(place)
  shutil.copytree(folder.path / "checkpoints" / source, place)
  kind = source.rpartition("/")[0]
  with pytest.raises(ValueError, match=f"it is {kind} of step 20"):
    opened(folder, read_only=True).restore(20, tree(0))


@pytest.mark.parametrize(
  ("change", "named"),
  [
    (lambda x: x["config"].update(seed=1), "seed: 0 -> 1"),
    (lambda x: x["config"]["joint"].update(loss_weight=[2.0]), "loss_weight"),
    (lambda x: x["dataset"].update(fingerprint="f1"), "the images"),
    (lambda x: x.pop("dataset"), "the images"),
  ],
)
def test_a_checkpoint_of_another_run_is_not_used(folder, change, named):
  edit(folder, change)
  with pytest.raises(ValueError, match="it is of another run, with .*" + named):
    opened(folder, read_only=True).restore(20, tree(0))


@pytest.mark.parametrize(
  "change",
  [
    lambda x: x["config"].update(init_from="moved"),
    lambda x: x["config"]["data"].update(path="moved"),
    lambda x: x["config"]["parallel"].update(layout="members"),
    lambda x: x["config"]["loss"].update(l2=0.01),  # as older versions had it
    lambda x: x["later"].append({"mode": "train", "python": "3.12"}),
  ],
)
def test_what_may_change_in_a_run_does_not_make_another(folder, change):
  edit(folder, change)
  assert opened(folder).restore(20, tree(0))["a"][0, 0] == 20


def test_a_renamed_run_folder_is_the_same_run(folder):
  moved = folder.path.rename(folder.path.with_name("renamed"))
  assert opened(folder_lib.RunFolder(moved)).restore_latest(tree(0))[0] == 20


def test_a_checkpoint_of_an_older_version_says_nothing(folder):
  commit = folder.checkpoints("pretrain") / "00000020"
  shutil.rmtree(commit / "identity")
  file_list.write(commit)
  checkpoints = opened(folder)
  assert checkpoints.restore_latest(tree(0))[0] == 20
  assert checkpoints.logs(20) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[" * 9999, "\xff"])
def test_an_identity_that_is_damaged_is_not_believed(folder, text):
  commit = folder.checkpoints("pretrain") / "00000020"
  path = commit / "identity" / "checkpoint.json"
  path.write_text(text)
  with pytest.raises(ValueError, match=r"sha256 of identity/checkpoint\.json"):
    opened(folder, read_only=True).restore(20, tree(0))
  file_list.write(commit)
  with pytest.raises(ValueError):  # noqa: PT011
    opened(folder, read_only=True).restore(20, tree(0))


def test_a_record_that_is_gone_is_put_back(folder, capsys):
  before = folder.config_path.read_bytes()
  identity.put_record_back(folder)
  assert capsys.readouterr().err == ""
  folder.config_path.unlink()
  # Of a damaged checkpoint it is not taken.
  commit = folder.checkpoints("pretrain") / "00000020"
  (commit / "identity" / "config.json").write_text("{}")
  identity.put_record_back(folder)
  assert folder.config_path.read_bytes() == before
  assert "was gone; the copy in" in capsys.readouterr().err


def test_the_record_of_the_latest_start_is_put_back(folder):
  edit(folder, lambda x: x["later"].append({"mode": "train"}))
  checkpoints = opened(folder)
  checkpoints.save(30, tree(30))
  checkpoints.close()
  before = json.loads(folder.config_path.read_text())
  folder.config_path.unlink()
  identity.put_record_back(folder)
  assert json.loads(folder.config_path.read_text()) == before


def test_what_was_set_aside_tells_of_no_run(folder):
  damaged = folder.checkpoints("pretrain").parent / "damaged"
  damaged.mkdir()
  folder.checkpoints("pretrain", "best").rename(damaged / "best")
  (damaged / "best" / "00000020").rename(damaged / "best_00000020")
  shutil.rmtree(folder.path / "checkpoints" / "joint")
  shutil.rmtree(folder.checkpoints("pretrain"))
  folder.config_path.unlink()
  identity.put_record_back(folder)
  assert not folder.config_path.exists()


def test_checkpoints_of_different_runs_have_no_record(folder):
  edit(folder, lambda x: x["config"].update(seed=1))
  checkpoints = opened(folder, "joint", "best")
  checkpoints.save(10, tree(10))
  checkpoints.close()
  folder.config_path.unlink()
  identity.put_record_back(folder)
  assert not folder.config_path.exists()


def test_without_a_copy_nothing_is_put_back(folder):
  folder.config_path.unlink()
  for path in folder.path.glob("checkpoints/*/*/*/identity"):
    shutil.rmtree(path)
  identity.put_record_back(folder)
  assert not folder.config_path.exists()


def test_a_folder_without_a_run_gets_no_record(folder, tmp_path):
  empty = folder_lib.RunFolder(tmp_path / "empty")
  identity.put_record_back(empty)
  assert not empty.path.exists()
