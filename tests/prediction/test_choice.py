"""Which weights a command line means, and what is said if there are none."""

import dataclasses
import shutil

import pytest

from sr2_jax import errors
from sr2_jax.prediction import choice
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import released, rows, weights
from tests import tiny_predictor, tiny_released


@pytest.fixture
def run(tmp_path):
  return tiny_predictor.write(tmp_path / "run")


def seeds(chosen):
  return [origin.member.seed for origin in chosen.origins]


def test_a_run_folder_and_what_is_in_it(run):
  network = run / "weights/joint_sr2_fsrcnn"
  for place in (run, run / "weights", network):
    chosen = choice.find(str(place))
    assert seeds(chosen) == [0, 1, 2]
    assert chosen.scale == 2
    assert chosen.channels == 1
    assert chosen.classifies
  file = network / "seed_1/last.safetensors"
  for place in (file.parent, file):
    assert seeds(choice.find(str(place))) == [1]
  [digest] = choice.find(str(file)).digests
  assert digest == file.with_name("last.safetensors.sha256").read_text()[:64]
  assert choice.title_of(choice.find(str(file))) == (
    "SR² FSRCNN x2, gray, 1 seed; trained on 7x7 -> 14x14 (height x width)"
  )


def test_the_last_trained_network_unless_another_is_named(run):
  path = run / "weights/pretrain_fsrcnn/seed_0/last.safetensors"
  origin = tiny_predictor.origin(phase="pretrain", method="fsrcnn")
  weights.write(path, {}, origin)
  assert choice.find(str(run)).origins[0].method == "sr2_fsrcnn"
  chosen = choice.find(str(run), method="fsrcnn")
  assert chosen.origins[0].method == "fsrcnn"
  assert not chosen.classifies
  with pytest.raises(errors.UserError, match="has fsrcnn, sr2_fsrcnn"):
    choice.find(str(run), method="wdsr")
  with pytest.raises(errors.UserError, match="has fsrcnn"):
    choice.find(str(path), method="wdsr")


def test_seeds(run):
  assert seeds(choice.find(str(run), seeds="first")) == [0]
  assert seeds(choice.find(str(run), seeds=(2, 0))) == [2, 0]
  with pytest.raises(errors.UserError, match="no seed 7; it has 0, 1, 2"):
    choice.find(str(run), seeds=(7,))


def test_several_settings_are_listed_and_chosen(run):
  for seed in (0, 1):
    member = rows.Member(seed=seed, l2=0.0, loss_weight=9.0)
    path = run / f"weights/joint_sr2_fsrcnn/seed_{seed}_lambda_9"
    weights.write(
      path / "last.safetensors",
      {},
      tiny_predictor.origin(seed, member=member),
    )
  for wrong in (None, 2):
    with pytest.raises(errors.UserError, match=r"--member=1  L2 0\.0.* 9\.0"):
      choice.find(str(run), member=wrong)
  chosen = choice.find(str(run), member=1)
  assert {origin.member.loss_weight for origin in chosen.origins} == {9.0}
  assert seeds(chosen) == [0, 1]


def test_what_is_not_there_is_named(run, tmp_path):
  for typed, problem in (
    ("nowhere", "no such file or folder.\nIt takes .*a run folder"),
    (str(tmp_path), "no last.safetensors in"),
    ("az://bucket/run", "is a URL"),
  ):
    with pytest.raises(errors.UserError, match=problem):
      choice.find(typed)
  with pytest.raises(errors.UserError, match=r"no best\.safetensors"):
    choice.find(str(run), checkpoint="best")
  other = tmp_path / "other.safetensors"
  other.write_bytes(b"weights of another program")
  with pytest.raises(errors.UserError, match="cannot be checked"):
    choice.find(str(other))
  with pytest.raises(errors.UserError, match="is one file"):
    choice.find(str(other), checkpoint="best")


def test_srmd_is_refused_with_a_reason(tmp_path):
  origin = tiny_predictor.origin()
  config = {**origin.config, "model": {**origin.config["model"]}}
  config["model"]["trunk"] = "srmd"
  path = tmp_path / "a.safetensors"
  weights.write(path, {}, dataclasses.replace(origin, config=config))
  with pytest.raises(errors.UserError, match="SRMD has to be told"):
    choice.find(str(path))


def test_the_best_weights_of_a_run_that_is_in_use(run):
  """Reading asks for no lock, and leaves the folder as it is."""
  for seed in (0, 1, 2):
    path = run / f"weights/joint_sr2_fsrcnn/seed_{seed}/best.safetensors"
    weights.write(path, {}, tiny_predictor.origin(seed, step=3))
  with folder_lib.RunFolder(run).claim():
    before = sorted(run.rglob("*"))
    chosen = choice.find(str(run), checkpoint="best")
    assert [origin.step for origin in chosen.origins] == [3] * 3
    assert {origin.step for origin in choice.find(str(run)).origins} == {5}
    assert sorted(run.rglob("*")) == before


def test_an_unfinished_run_is_used_and_said(run):
  assert choice.find(str(run)).notes == ()
  (run / "config.json").write_text("{}")
  [note] = choice.find(str(run)).notes
  assert "has not finished" in note
  (run / "DONE").write_text("")
  assert choice.find(str(run)).notes == ()


def test_a_folder_of_several_networks_is_refused(tmp_path):
  for scale in (2, 4):
    origin = tiny_predictor.origin()
    degradation = {**origin.config["degradation"], "scale": scale}
    config = {**origin.config, "degradation": degradation}
    weights.write(
      tmp_path / f"x{scale}/model.safetensors",
      {},
      dataclasses.replace(origin, config=config),
    )
  with pytest.raises(errors.UserError, match=r"several networks.*: x2, x4"):
    choice.find(str(tmp_path))


@pytest.fixture
def mine(tmp_path, monkeypatch):
  """Released weights of two seeds, in the package."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(released, "FOLDER", tmp_path / "package")
  return tiny_released.write(tmp_path / "package", "mine", seeds=(0, 1))


def test_a_released_name_stands_for_its_files(mine):
  chosen = choice.find("mine")
  assert seeds(chosen) == [0, 1]
  assert chosen.title == "mine"
  assert chosen.notes == ()
  assert seeds(choice.find("mine", seeds="first")) == [0]
  # As a folder, and as a file of it, also without the rest of it.
  assert choice.find(str(mine)).digests == chosen.digests
  alone = mine.parent.parent / "alone.safetensors"
  shutil.copy(mine / "seed_1/model.safetensors", alone)
  assert choice.find(str(alone)).digests == chosen.digests[1:]
  with pytest.raises(errors.UserError, match="mine is a released name"):
    choice.find("mine", checkpoint="last")
  with pytest.raises(errors.UserError) as caught:
    choice.find("nine")
  assert str(caught.value).splitlines() == [
    "--weights=nine: there is no such file or folder. Did you mean mine?",
    "It takes a released name (mine), a run folder, a folder of weights in "
    "it, or one .safetensors file.",
  ]


def test_a_path_comes_before_a_released_name(mine, tmp_path):
  tiny_predictor.write(tmp_path / "mine", seeds=(2,))
  assert seeds(choice.find("mine")) == [2]
