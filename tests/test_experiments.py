import ast
import importlib
import pathlib

import pytest

from experiments import default
from sr2_jax import config as config_lib

FOLDER = pathlib.Path(default.__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))

# Fields that make an experiment what its name says, from the paper.
PAPER = {
  "fsrcnn_x2": ("fsrcnn", 2, 1, (9.0,)),
  "fsrcnn_x4": ("fsrcnn", 4, 1, (9.0,)),
  "wdsr_x2": ("wdsr", 2, 1, (9.0,)),
  "wdsr_x4": ("wdsr", 4, 1, (9.0,)),
}


def _get_config(name):
  return importlib.import_module(f"experiments.{name}").get_config()


@pytest.mark.parametrize("name", NAMES)
def test_experiment_is_valid(name):
  config = _get_config(name)
  config_lib.validate(config)
  assert config.experiment == name
  # SRMD has no classifier.
  joint = () if name.startswith("srmd_") else ("joint",)
  assert config_lib.phases(config) == ("pretrain", *joint)


@pytest.mark.parametrize("name", NAMES)
def test_each_call_gives_a_config_of_its_own(name):
  first = _get_config(name)
  first.seed = 123
  assert _get_config(name).seed != 123


@pytest.mark.parametrize("name", [name for name in NAMES if name != "default"])
def test_docstring_has_the_command(name):
  docstring = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text()))
  assert docstring is not None
  assert f"python -m sr2_jax.main --config=experiments/{name}.py" in docstring


@pytest.mark.parametrize("name", PAPER)
def test_paper_settings(name):
  config = _get_config(name)
  trunk, scale, shared_layers, loss_weight = PAPER[name]
  assert config.model.trunk == trunk
  assert config.model.wiring == "parallel"
  assert config.model.shared_layers == shared_layers
  assert config.degradation.scale == scale
  assert config.joint.loss_weight == loss_weight
  assert config.data.name == "mnist"
  # Section 3 of the paper.
  assert set(config.pretrain.learning_rate.values()) == {1e-3}
  assert set(config.joint.learning_rate.values()) == {1e-5}
  assert config.loss.l2 == 0.01
  assert config.loss.super_resolution == "mse"
  assert config.data.validation_fraction == 0.2
  assert config.augmentation.max_shift == 3
  assert config.augmentation.max_rotation == 10.0


def test_paper_experiments_differ_in_what_they_say_alone():
  for name in PAPER:
    changes = config_lib.difference(
      config_lib.to_dict(default.get_config()),
      config_lib.to_dict(_get_config(name)),
    )
    changed = {line.partition(":")[0] for line in changes}
    assert changed <= {"experiment", "model.trunk", "degradation.scale"}


@pytest.mark.parametrize(("name", "scale"), [("srmd_x2", 2), ("srmd_x4", 4)])
def test_srmd_is_trained_by_its_own_recipe(name, scale):
  config = _get_config(name)
  assert config.model.trunk == "srmd"
  assert config_lib.method_name(config, "pretrain") == "srmd_retrained"
  assert config.degradation.scale == scale
  assert config.loss.super_resolution == "l1"
  assert config.loss.l2 == 0
  assert set(config.pretrain.learning_rate.values()) == {1e-4}
  assert config.srmd.min_blur_variance == 0.1
  assert config.srmd.max_blur_variance == 10.0
  assert config.srmd.max_noise_std == 75 / 255
  assert not config.srmd.isotropic


def test_quickstart_needs_no_download():
  config = _get_config("quickstart")
  assert config.data.name == "mnist5k"
  assert config.num_seeds == 3
  assert config.degradation.scale == 4
  assert config.model.trunk == "fsrcnn"
  assert config.model.wiring == "parallel"
