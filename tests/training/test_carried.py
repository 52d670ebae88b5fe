"""Joint training from weights that came without their checkpoints."""

import dataclasses
import pathlib
import shutil

import jax
import numpy as np
import pytest

from experiments import default
from sr2_jax import errors
from sr2_jax.config import derived, record
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.records import weights
from sr2_jax.training import carried
from sr2_jax.training import phase as phase_lib
from tests import stored_weights

CLASSES = tuple("0123456789")


def make_config(**changes):
  config = default.get_config()
  config.seed = 3
  config.num_seeds = 2
  config.degradation.scale = 4
  config.pretrain.num_epochs = 7
  config.update_from_flattened_dict(
    {name.replace("__", "."): value for name, value in changes.items()}
  )
  return derived.resolve(config)


def phase_of(config, name):
  return phase_lib.create(
    config,
    name,
    image_shape=(28, 28, 1),
    num_train_images=640,
    num_classes=len(CLASSES),
  )


@pytest.fixture(scope="module")
def state():
  """The end of pretraining, of the seeds 3 and 4."""
  return phase_of(make_config(), "pretrain").create_state()


@pytest.fixture(scope="module")
def stored(state, tmp_path_factory):
  """A run folder that has kept only config.json and weights/."""
  folder = tmp_path_factory.mktemp("runs") / "pretrained"
  write(folder, state, phase="pretrain", method="fsrcnn")
  folder_lib.RunFolder(folder).record({"config": record.to_dict(make_config())})
  return folder


def write(folder, state, *, phase, method):
  origins = [
    weights.Origin(
      config=record.to_dict(make_config()),
      image_shape=(28, 28, 1),
      class_names=CLASSES,
      phase=phase,
      method=method,
      member=rows_lib.Member(seed=seed, l2=make_config().loss.l2[0]),
      step=70,
      batch_norm="reestimated",
    )
    for seed in (3, 4)
  ]
  stored_weights.write(folder, state.variables, origins)


def read(path, **changes):
  config = make_config(init_from=str(path), **changes)
  return carried.read(config, carried.files_in(config.init_from))


@pytest.mark.parametrize(
  "part", ["", "weights", "weights/pretrain_fsrcnn"]
)  # fmt: skip
def test_joint_starts_as_from_the_checkpoint(stored, state, part):
  pretrained, members = read(stored / part)
  joint = phase_of(make_config(), "joint")
  population = phase_of(make_config(), "pretrain").population
  actual = joint.start_from(pretrained, members)
  expected = joint.start_from(state, population)
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


def test_one_file_is_one_member(stored, state):
  (path,) = stored.glob("weights/pretrain_fsrcnn/seed_4/last.safetensors")
  pretrained, members = read(path, seed=4, num_seeds=1)
  assert members.seeds == (4,)
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(a[0], b[1]),
    pretrained.variables,
    state.variables,
  )


def test_checkpoints_come_first(stored, tmp_path):
  folder = shutil.copytree(stored, tmp_path / "run")
  (folder / "checkpoints/pretrain/last/00000070").mkdir(parents=True)
  assert carried.files_in(str(folder)) == []
  assert len(carried.files_in(str(folder / "weights"))) == 2


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"seed": 2}, r"has seed 3.*; seed 4.*for the seeds 2 to 3"),
    ({"num_seeds": 3}, "this run asks for the seeds 3 to 5"),
    ({"degradation__scale": 2}, "degradation.scale: 4 -> 2"),
    ({"model__trunk": "wdsr"}, 'model.trunk: "fsrcnn" -> "wdsr"'),
    ({"data__name": "mnist5k"}, 'data.name: "mnist" -> "mnist5k"'),
  ],
)
def test_what_does_not_fit_is_named(stored, changes, message):
  with pytest.raises(errors.UserError, match=message) as caught:
    read(stored / "weights", **changes)
  assert str(caught.value).count("\n") <= 1


def test_other_l2_and_wiring_may_follow(stored):
  _, members = read(
    stored, loss__l2=(0.1, 0.01), model__wiring="sequential", num_seeds=1
  )
  assert members.size == 2


def test_weights_of_joint_are_refused(state, tmp_path):
  write(tmp_path, state, phase="pretrain", method="fsrcnn")
  (path,) = tmp_path.glob("weights/*/seed_3/last.safetensors")
  arrays, origin = weights.read(path)
  weights.write(
    path, arrays, dataclasses.replace(origin, phase="joint", method="sr2_x")
  )
  with pytest.raises(errors.UserError, match="weights of joint"):
    read(path, num_seeds=1, model__wiring="none")


def test_damaged_weights_are_refused(stored, tmp_path):
  folder = shutil.copytree(stored, tmp_path / "run")
  (path,) = folder.glob("weights/*/seed_3/last.safetensors")
  path.write_bytes(path.read_bytes()[:-1])
  with pytest.raises(errors.UserError, match="damaged"):
    read(folder)


def test_what_is_neither_run_nor_weights_is_named(tmp_path):
  for path, message in (
    (tmp_path, f"{tmp_path}: no last.safetensors"),
    (tmp_path / "none", "there is no such file or folder"),
  ):
    with pytest.raises(errors.UserError, match=message) as caught:
      carried.files_in(str(path))
    assert str(caught.value).startswith("config.init_from=")


def test_a_run_without_weights_yet_is_a_run(stored, tmp_path):
  """What it lacks, its checkpoints tell."""
  shutil.copy(stored / "config.json", tmp_path)
  assert carried.files_in(str(tmp_path)) == []


def test_a_folder_with_weights_of_joint_alone(state, tmp_path):
  write(tmp_path, state, phase="joint", method="sr2_fsrcnn")
  with pytest.raises(errors.UserError, match="no weights of pretrain"):
    carried.files_in(str(tmp_path))
  write(tmp_path, state, phase="pretrain", method="fsrcnn")
  found = carried.files_in(str(tmp_path))
  assert {path.parent.parent.name for path in found} == {"pretrain_fsrcnn"}


def test_epochs_of_the_pretraining(stored, tmp_path):
  assert carried.pretrain_epochs(str(stored / "weights")) == 7
  assert carried.pretrain_epochs(str(tmp_path)) is None
  path = pathlib.Path(tmp_path, "last.safetensors")
  path.write_bytes(b"no weights")
  assert carried.pretrain_epochs(str(path)) is None
