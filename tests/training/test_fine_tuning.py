"""Runs that start from networks trained on other images."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest
from flax import traverse_util

from experiments import default
from sr2_jax import errors
from sr2_jax.config import checks, derived, record, source_checks
from sr2_jax.records import rows as rows_lib
from sr2_jax.records import weights
from sr2_jax.training import fine_tuning, start
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import run as run_lib
from tests import stored_weights, tiny

DIGITS = tuple("0123456789")
LETTERS = ("a", "b")


def make_config(**changes):
  config = default.get_config()
  config.degradation.scale = 4
  config.seed, config.num_seeds = 3, 2
  config.update_from_flattened_dict(
    {name.replace("__", "."): value for name, value in changes.items()}
  )
  return derived.resolve(config)


def state_of(config, name, classes, side=28):
  phase = phase_lib.create(
    config,
    name,
    image_shape=(side, side, 1),
    num_train_images=640,
    num_classes=len(classes),
  )
  return phase, phase.create_state()


def flat(variables):
  return traverse_util.flatten_dict(variables, sep="/")


@pytest.fixture(scope="module")
def trained():
  """Weights of two seeds of SR2 on digits, unlike any initial ones."""
  _, state = state_of(make_config(), "joint", DIGITS)
  return jax.tree.map(lambda x: x + np.float32(0.5), state.variables)


@pytest.fixture(scope="module")
def stored(trained, tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs") / "digits"
  origins = [
    weights.Origin(
      config=record.to_dict(make_config()),
      image_shape=(28, 28, 1),
      class_names=DIGITS,
      phase="joint",
      method="sr2_fsrcnn",
      member=rows_lib.Member(seed=seed, l2=0.1, loss_weight=9.0),
      step=70,
      batch_norm="reestimated",
    )
    for seed in (3, 4)
  ]
  stored_weights.write(folder, trained, origins)
  return folder


def started(source, *, name="joint", classes=LETTERS, takes_trunk=True, **own):
  """Initial and tuned variables of a run on 24 x 24 images."""
  phase, state = state_of(make_config(**own), name, classes, side=24)
  found = fine_tuning.started(
    source, phase, state, class_names=classes, takes_trunk=takes_trunk
  )
  jax.tree.map(np.testing.assert_array_equal, found.opt_state, state.opt_state)
  return flat(state.variables), flat(found.variables)


def read(path, channels=1, **changes):
  config = make_config(init_from=str(path), fine_tune=True, **changes)
  return fine_tuning.read(config, channels=channels)


def assert_taken(actual, initial, trained, *, taken):
  """Arrays are the trained ones where `taken` says so, else the initial ones.

  By the first two words of their names after the kind.
  """
  assert actual.keys() == initial.keys()
  for name, array in actual.items():
    is_taken = taken(*name.split("/")[1:3])
    expected = flat(trained)[name] if is_taken else initial[name]
    np.testing.assert_array_equal(array, expected, err_msg=name)


def test_other_classes_start_with_a_new_last_layer(stored, trained):
  initial, actual = started(read(stored))
  assert actual["params/classifier/logits/kernel"].shape == (2, 1000, 2)
  assert_taken(
    actual, initial, trained, taken=lambda *place: place[1] != "logits"
  )


def test_the_same_classes_keep_the_last_layer(stored, trained):
  initial, actual = started(read(stored), classes=DIGITS)
  assert_taken(actual, initial, trained, taken=lambda *_: True)
  turned = DIGITS[::-1]
  initial, actual = started(read(stored), classes=turned)
  assert_taken(
    actual, initial, trained, taken=lambda *place: place[1] != "logits"
  )


def test_classes_are_the_same_however_accents_are_written(stored, trained):
  accented = ("é", *DIGITS[1:])
  source = dataclasses.replace(read(stored), class_names=accented)
  initial, actual = started(source, classes=("e\u0301", *DIGITS[1:]))
  assert_taken(actual, initial, trained, taken=lambda *_: True)


def test_after_pretraining_of_its_own_only_the_classifier_is_taken(
  stored, trained
):
  source = read(stored)
  initial, actual = started(source, name="pretrain")
  assert not any("classifier" in name for name in actual)
  assert_taken(actual, initial, trained, taken=lambda *_: True)
  initial, actual = started(source, takes_trunk=False)
  assert_taken(
    actual,
    initial,
    trained,
    taken=lambda tree, layer: tree == "classifier" and layer != "logits",
  )


@pytest.mark.parametrize(
  "changes",
  [{"model__wiring": "sequential"}, {"model__classifier_strides": (2, 2, 2)}],
)
def test_a_classifier_that_sees_something_else_starts_anew(
  stored, trained, changes
):
  initial, actual = started(read(stored), classes=DIGITS, **changes)
  assert_taken(
    actual, initial, trained, taken=lambda tree, _: tree != "classifier"
  )


def test_members_start_from_their_own_seed_or_all_from_one(stored, trained):
  source = read(stored, seed=4, num_seeds=1)
  _, actual = started(source, seed=4, num_seeds=1)
  name = "params/shared/features/kernel"
  name = name if name in actual else next(x for x in actual if "shared" in x)
  np.testing.assert_array_equal(actual[name][0], flat(trained)[name][1])
  (path,) = stored.glob("weights/*/seed_4/last.safetensors")
  _, actual = started(
    read(path, seed=7, num_seeds=3, loss__l2=(0.1, 0.2)),
    seed=7,
    num_seeds=3,
    loss__l2=(0.1, 0.2),
  )
  assert len(actual[name]) == 6
  for array in actual[name]:
    np.testing.assert_array_equal(array, flat(trained)[name][1])


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"seed": 4}, "has the seeds 3, 4; this run asks for 4 to 5"),
    ({"model__trunk": "wdsr"}, "config.model.trunk=fsrcnn, but this run has w"),
    ({"degradation__scale": 2}, "config.degradation.scale=4, but this run"),
    (
      {"channels": 3},
      r"with channels=1, but this run has 3.*\n.*data\.channels=1 reads",
    ),
  ],
)
def test_another_network_is_refused(stored, changes, message):
  with pytest.raises(errors.UserError, match=message) as caught:
    read(stored, **changes)
  assert str(caught.value).startswith("config.init_from=")


def test_several_networks_of_a_seed_are_refused(stored, tmp_path):
  (path,) = stored.glob("weights/*/seed_4/last.safetensors")
  arrays, origin = weights.read(path)
  for place, weight in enumerate((1.0, 9.0)):
    member = dataclasses.replace(origin.member, loss_weight=weight)
    weights.write(
      tmp_path / f"weights/joint_sr2_fsrcnn/{place}/last.safetensors",
      arrays,
      dataclasses.replace(origin, member=member),
    )
  with pytest.raises(errors.UserError, match="give the file of one"):
    read(tmp_path, seed=4, num_seeds=1)


def test_nothing_to_start_from_is_refused(tmp_path):
  with pytest.raises(errors.UserError, match=r"config\.init_from=.* no such"):
    read(tmp_path / "none")
  config = default.get_config()
  config.fine_tune = True
  with pytest.raises(errors.UserError, match=r"needs config\.init_from"):
    checks.validate(config)


def test_a_run_of_other_images_names_the_way(stored):
  config = make_config(init_from=str(stored), data__name="mnist5k")
  with pytest.raises(errors.UserError, match="fine_tune=true trains it"):
    source_checks.validate_init_from(config, record.to_dict(make_config()))


def test_a_run_goes_on_from_the_network_it_has_started_from(
  stored, tmp_path, monkeypatch, settings_of_jax
):
  """Wherever that lies now; `joint` reads it again."""
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(tmp_path / "cache"))
  config = tiny.get_config()
  config.seed, config.fine_tune = 3, True
  config.init_from = str(shutil.copytree(stored, tmp_path / "source"))
  workdir = tmp_path / "run"
  with run_lib.open_run(config, workdir):
    (workdir / "metrics.jsonl").write_text("{}\n")
  config.init_from = str((tmp_path / "source").rename(tmp_path / "moved"))
  with run_lib.open_run(config, workdir) as run:
    (path,) = (tmp_path / "moved").glob("weights/*/seed_4/last.safetensors")
    arrays, origin = weights.read(path)
    weights.write(path, arrays, dataclasses.replace(origin, step=71))
    with pytest.raises(errors.UserError, match="has another network now"):
      start.of_next_phase(run, "joint", None)
  with (
    pytest.raises(errors.UserError, match="moved has another network now"),
    run_lib.open_run(config, workdir),
  ):
    raise AssertionError("opened")


def test_both_phases_have_epochs_of_their_own(stored):
  config = make_config(init_from=str(stored))
  assert derived.phases(config) == ("joint",)
  config = make_config(init_from=str(stored), fine_tune=True)
  assert derived.phases(config) == ("pretrain", "joint")
