import json

import ml_collections
import pytest

from experiments import default
from sr2_jax import config as config_lib
from sr2_jax import errors


def _config(**changes):
  """The default config with some fields changed, by dotted name."""
  config = default.get_config()
  config.update_from_flattened_dict(changes)
  return config


def _message(config):
  with pytest.raises(errors.UserError) as caught:
    config_lib.validate(config)
  message = str(caught.value)
  assert len(message.splitlines()) <= 2
  return message


def _leaves(tree, prefix=""):
  for name, value in tree.items():
    if isinstance(value, (dict, ml_collections.ConfigDict)):
      yield from _leaves(value, f"{prefix}{name}.")
    else:
      yield f"{prefix}{name}"


def test_every_field_has_a_check():
  assert set(config_lib.FIELDS) == set(_leaves(default.get_config())), (
    "FIELDS in sr2_jax/config.py and experiments/default.py have to agree"
  )


def test_default_is_valid():
  config_lib.validate(default.get_config())


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("experiment", ""),
    ("experiment", "../elsewhere"),
    ("seed", -1),
    ("seed", 2**32),
    ("num_seeds", 0),
    ("batch_size", 0),
    ("steps_per_call", -1),
    ("data.name", "cifar10"),
    ("data.validation_fraction", 0.0),
    ("data.validation_fraction", 1.0),
    ("data.split_seed", -1),
    ("data.max_train_images", -1),
    ("data.device_bytes", -1),
    ("degradation.scale", 1),
    ("degradation.blur_sigma_per_scale", -0.5),
    ("degradation.blur_sigma_per_scale", 10.1),
    ("degradation.blur_sigma_per_scale", 1e30),
    ("degradation.blur_sigma_per_scale", float("inf")),
    ("augmentation.max_shift", -1),
    ("augmentation.max_rotation", 180.5),
    ("augmentation.max_rotation", -1.0),
    ("augmentation.fill", "wrap"),
    ("model.trunk", "edsr"),
    ("model.wiring", "serial"),
    ("model.shared_layers", 0),
    ("model.shared_layers", 17),
    ("model.expansion", 0),
    ("model.dtype", "float16"),
    ("loss.super_resolution", "mae"),
    ("loss.l2", -0.01),
    ("loss.l2", float("nan")),
    ("loss.l2_scope", "all"),
    ("adam.b1", 1.0),
    ("adam.b2", -0.1),
    ("adam.eps", 0.0),
    ("pretrain.num_epochs", -1),
    ("pretrain.learning_rate.shared", -1e-3),
    ("pretrain.learning_rate.sr", float("nan")),
    ("joint.num_epochs", -1),
    ("joint.learning_rate.shared", float("inf")),
    ("joint.learning_rate.sr", -1.0),
    ("joint.learning_rate.classifier", -1.0),
    ("joint.loss_weight", ()),
    ("joint.loss_weight", (-1.0,)),
    ("joint.loss_weight", (float("nan"),)),
    ("joint.loss_weight", (9.0, 0.11, 9.0)),
    ("joint.loss_weight", ("nine",)),
    ("joint.loss_weight", (True,)),
    ("eval.noise_variances", ()),
    ("eval.noise_variances", (0.0, -1e-4)),
    ("eval.noise_variances", (0.0, 0)),
    ("eval.corruptions.speckle", (-0.1,)),
    ("eval.corruptions.speckle", (0.1, 0.1)),
    ("eval.corruptions.speckle", (float("inf"),)),
    ("eval.corruptions.salt_and_pepper", (1.1,)),
    ("eval.corruptions.salt_and_pepper", (float("nan"),)),
    ("eval.corruptions.poisson", (0.0,)),
    ("eval.corruptions.poisson", (1e7,)),
    ("eval.corruptions.jpeg", (0,)),
    ("eval.corruptions.jpeg", (50.5,)),
    ("eval.corruptions.jpeg", (101,)),
    ("eval.corruptions.jpeg", ("high",)),
    ("eval.corruptions.jpeg", (float("nan"),)),
    ("eval.corruptions.blur", (-1.0,)),
    ("eval.corruptions.blur", (11.0,)),
    ("eval.noise_seed", -1),
    ("eval.batch_size", 0),
    ("eval.splits", ()),
    ("eval.splits", ("train",)),
    ("eval.splits", ("test", "test")),
    ("eval.max_images", -1),
    ("eval.every_epochs", 0),
    ("eval.checkpoint", "first"),
    ("checkpoint.every_steps", 0),
    ("checkpoint.keep", 0),
    ("log.every_steps", 0),
    ("parallel.layout", "model"),
    ("parallel.num_devices", -1),
  ],
)
def test_value_out_of_range(field, value):
  message = _message(_config(**{field: value}))
  assert f"config.{field} has to be" in message


@pytest.mark.parametrize("field", config_lib.FIELDS)
@pytest.mark.parametrize("value", [None, object(), {1}, b"9"])
def test_no_field_takes_a_value_of_a_strange_type(field, value):
  assert not config_lib.FIELDS[field].accepts(value)


@pytest.mark.parametrize(
  "field",
  [
    name
    for name, check in config_lib.FIELDS.items()
    if "number" in check.expected
  ],
)
def test_booleans_are_not_numbers(field):
  assert not config_lib.FIELDS[field].accepts(True)


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("augmentation.max_rotation", 0),
    ("augmentation.max_rotation", 180.0),
    ("adam.b1", 0.0),
    ("seed", 2**32 - 1),
    ("joint.loss_weight", (0, 9)),
    ("eval.noise_variances", [0.0, 1e-2]),
    ("eval.corruptions.speckle", ()),
    ("eval.corruptions.salt_and_pepper", (0, 1)),
    ("eval.corruptions.poisson", (1e-3, 1e6)),
    ("eval.corruptions.jpeg", (1, 100.0)),
    ("eval.corruptions.blur", (0, 10)),
    ("joint.learning_rate.shared", 0.0),
    ("loss.l2", 0),
  ],
)
def test_value_at_the_edge_of_its_range(field, value):
  config_lib.validate(_config(**{field: value}))


def test_too_large_an_integer_is_no_float():
  assert not config_lib.FIELDS["loss.l2"].accepts(10**400)


def test_unknown_field_names_the_nearest():
  config = default.get_config()
  config.joint.los_weight = (1.0,)
  assert "did you mean config.joint.loss_weight?" in _message(config)


@pytest.mark.parametrize(
  ("typed", "nearest"),
  [
    ("loss_weight", "joint.loss_weight"),
    ("batchsize", "batch_size"),
    ("model.shared_layer", "model.shared_layers"),
    ("noise_variances", "eval.noise_variances"),
    ("joint.learning_rates.sr", "joint.learning_rate.sr"),
  ],
)
def test_nearest_field(typed, nearest):
  message = config_lib.unknown_field(typed)
  assert message.endswith(f"did you mean config.{nearest}?")


def test_unlike_any_field():
  assert "experiments/default.py" in config_lib.unknown_field("zzz.qqq")


def test_group_instead_of_field():
  message = config_lib.unknown_field("pretrain")
  assert "group" in message
  assert "set one of config.pretrain.num_epochs, config.pretrain." in message


def test_missing_field():
  config = default.get_config()
  del config.adam["eps"]
  assert "config.adam.eps is missing" in _message(config)


@pytest.mark.parametrize(
  ("changes", "expected"),
  [
    ({"seed": 2**32 - 1, "num_seeds": 2}, "config.num_seeds"),
    ({"model.shared_layers": 2}, "config.model.shared_layers"),
    ({"model.expansion": 4}, "config.model.expansion"),
    (
      {"model.trunk": "wdsr", "model.batch_norm": False},
      "config.model.batch_norm",
    ),
    (
      {"model.trunk": "wdsr", "model.transposed_convolution": True},
      "config.model.transposed_convolution",
    ),
    ({"degradation.scale": 3}, "28x28"),
    ({"degradation.scale": 7, "data.name": "svhn_cropped"}, "32x32"),
    ({"augmentation.max_shift": 28}, "config.augmentation.max_shift"),
    ({"data.name": "folder"}, "config.data.path"),
    ({"data.name": "folder", "data.path": "no/such"}, "no/such"),
    ({"data.path": "somewhere"}, "config.data.path"),
    ({"data.max_train_images": 63}, "config.batch_size"),
    (
      {
        "degradation.blur_sigma_per_scale": 0.0,
        "eval.corruptions.blur": (2.0,),
      },
      "config.eval.corruptions.blur",
    ),
    ({"init_from": "no/such/run"}, "config.json"),
    ({"pretrain.num_epochs": 0, "joint.num_epochs": 0}, "nothing to train"),
    ({"pretrain.num_epochs": 0, "model.wiring": "none"}, "nothing to train"),
    (
      {
        "joint.learning_rate.shared": 0.0,
        "joint.learning_rate.sr": 0.0,
        "joint.learning_rate.classifier": 0.0,
      },
      "config.joint.learning_rate",
    ),
  ],
)
def test_wrong_combination(changes, expected):
  assert expected in _message(_config(**changes))


@pytest.mark.parametrize(
  "changes",
  [
    {"model.trunk": "wdsr", "model.shared_layers": 16, "model.expansion": 4},
    {"model.batch_norm": False, "model.transposed_convolution": True},
    {"model.wiring": "none"},
    {"degradation.scale": 7, "data.name": "mnist5k"},
    {"joint.learning_rate.shared": 0.0, "joint.learning_rate.sr": 0.0},
    {"data.max_train_images": 64},
  ],
)
def test_right_combination(changes):
  config_lib.validate(_config(**changes))


def test_folder_and_init_from_that_exist(tmp_path):
  (tmp_path / "config.json").write_text("{}")
  config_lib.validate(
    _config(
      **{
        "data.name": "folder",
        "data.path": str(tmp_path),
        "init_from": str(tmp_path),
      }
    )
  )


@pytest.mark.parametrize(
  ("size", "expected"),
  [
    ((10, 28), "at least 11 px"),
    ((28, 10), "at least 11 px"),
    ((12, 15), "does not divide the image size of 12x15 px; 3 do"),
    ((13, 17), "does not divide the image size of 13x17 px."),
  ],
)
def test_image_size_that_does_not_fit(size, expected):
  with pytest.raises(errors.UserError, match=expected):
    config_lib.validate_image_size(default.get_config(), *size)


def test_image_size_that_fits():
  config_lib.validate_image_size(default.get_config(), 12, 40)


@pytest.mark.parametrize(
  ("changes", "num_devices", "expected"),
  [
    ({"batch_size": 65}, 4, "config.batch_size is 65"),
    ({"batch_size": 64, "eval.batch_size": 98}, 4, "config.eval.batch_size"),
    ({"parallel.num_devices": 8}, 4, "config.parallel.num_devices is 8"),
    (
      {"parallel.layout": "members", "num_seeds": 3},
      2,
      "config.num_seeds is 3",
    ),
    (
      {
        "parallel.layout": "members",
        "num_seeds": 3,
        "joint.loss_weight": (0.11, 9.0),
      },
      6,
      "num_devices=3 would do",
    ),
  ],
)
def test_work_that_does_not_spread(changes, num_devices, expected):
  with pytest.raises(errors.UserError, match=expected):
    config_lib.validate_devices(_config(**changes), num_devices)


@pytest.mark.parametrize(
  ("changes", "num_devices"),
  [
    ({}, 4),
    ({"batch_size": 65, "parallel.num_devices": 1}, 4),
    ({"parallel.layout": "members", "num_seeds": 4, "batch_size": 65}, 4),
    # Only joint runs: 3 seeds x 2 loss weights.
    (
      {
        "parallel.layout": "members",
        "num_seeds": 3,
        "joint.loss_weight": (0.11, 9.0),
        "pretrain.num_epochs": 0,
      },
      6,
    ),
  ],
)
def test_work_that_spreads(changes, num_devices):
  config_lib.validate_devices(_config(**changes), num_devices)


@pytest.mark.parametrize(
  ("changes", "expected"),
  [
    ({}, ("pretrain", "joint")),
    ({"model.wiring": "none"}, ("pretrain",)),
    ({"joint.num_epochs": 0}, ("pretrain",)),
    ({"pretrain.num_epochs": 0}, ("joint",)),
    ({"init_from": "runs/other"}, ("joint",)),
    ({"init_from": "runs/other", "model.wiring": "none"}, ()),
  ],
)
def test_phases(changes, expected):
  assert config_lib.phases(_config(**changes)) == expected


@pytest.mark.parametrize(
  ("trunk", "wiring", "after_pretrain", "after_joint"),
  [
    ("fsrcnn", "parallel", "fsrcnn", "sr2_fsrcnn"),
    ("fsrcnn", "sequential", "fsrcnn", "sequential_fsrcnn"),
    ("wdsr", "parallel", "wdsr", "sr2_wdsr"),
    ("wdsr", "sequential", "wdsr", "sequential_wdsr"),
  ],
)
def test_method_name(trunk, wiring, after_pretrain, after_joint):
  config = _config(**{"model.trunk": trunk, "model.wiring": wiring})
  assert config_lib.method_name(config, "pretrain") == after_pretrain
  assert config_lib.method_name(config, "joint") == after_joint


@pytest.mark.parametrize(
  ("dataset", "fill", "expected"),
  [
    ("mnist", "auto", "zero"),
    ("mnist5k", "auto", "zero"),
    ("svhn_cropped", "auto", "edge"),
    ("folder", "auto", "edge"),
    ("mnist", "edge", "edge"),
    ("svhn_cropped", "zero", "zero"),
  ],
)
def test_resolve_fill(dataset, fill, expected):
  config = _config(**{"data.name": dataset, "augmentation.fill": fill})
  resolved = config_lib.resolve(config)
  assert resolved.augmentation.fill == expected
  assert config.augmentation.fill == fill


def test_resolve_freezes_and_makes_floats():
  resolved = config_lib.resolve(_config(**{"joint.loss_weight": (9, 0)}))
  assert [type(x) for x in resolved.joint.loss_weight] == [float, float]
  with pytest.raises(AttributeError):
    resolved.seed = 1
  config_lib.validate(resolved)
  assert config_lib.to_dict(config_lib.resolve(resolved)) == (
    config_lib.to_dict(resolved)
  )


def test_resolve_makes_floats_of_corruptions():
  config = _config(**{"eval.corruptions.jpeg": (50, 10)})
  levels = config_lib.resolve(config).eval.corruptions
  assert [type(x) for x in levels.jpeg] == [float, float]
  assert levels.blur == ()


def test_corruption_levels_come_corruption_by_corruption():
  changes = {
    "eval.corruptions.speckle": (0.2,),
    "eval.corruptions.jpeg": (50, 10),
  }
  assert config_lib.corruption_levels(default.get_config()) == ()
  resolved = config_lib.resolve(_config(**changes))
  assert config_lib.corruption_levels(resolved) == (
    ("jpeg", 50.0),
    ("jpeg", 10.0),
    ("speckle", 0.2),
  )


def test_to_dict_survives_json_in_the_order_of_fields():
  config = config_lib.resolve(default.get_config())
  as_dict = config_lib.to_dict(config)
  again = json.loads(json.dumps(as_dict, allow_nan=False))
  assert again == as_dict
  assert list(_leaves(again)) == list(config_lib.FIELDS)
  assert config_lib.difference(again, as_dict) == []


def test_difference():
  old = config_lib.to_dict(default.get_config())
  changes = {
    "joint.loss_weight": (0.11,),
    "model.batch_norm": False,
    "init_from": "runs/other",
    "seed": 3,
  }
  new = config_lib.to_dict(_config(**changes))
  assert config_lib.difference(old, new) == [
    "seed: 0 -> 3",
    'init_from: "" -> "runs/other"',
    "model.batch_norm: true -> false",
    "joint.loss_weight: (9.0,) -> (0.11,)",
  ]


def test_difference_of_fields_that_one_side_lacks():
  old = {"a": 1, "group": {"gone": 2}, "same": [1.0]}
  new = {"a": 1, "group": {"come": 3}, "same": (1.0,)}
  assert config_lib.difference(old, new) == [
    "group.gone: 2 -> nothing",
    "group.come: nothing -> 3",
  ]


@pytest.mark.parametrize(
  ("changes", "expected"),
  [
    ({"degradation.scale": 4}, "degradation.scale: 2 -> 4"),
    ({"model.trunk": "wdsr"}, 'model.trunk: "fsrcnn" -> "wdsr"'),
    ({"data.split_seed": 1}, "data.split_seed"),
    ({"num_seeds": 4}, "seeds 5 to 7; this run asks for 5 to 8"),
    ({"seed": 4}, "seeds 5 to 7"),
  ],
)
def test_init_from_another_pretraining(changes, expected):
  source = config_lib.to_dict(_config(seed=5, num_seeds=3))
  config = _config(**{"seed": 5, "num_seeds": 3, "init_from": "a", **changes})
  with pytest.raises(errors.UserError, match=expected.replace("(", r"\(")):
    config_lib.validate_init_from(config, source)


def test_init_from_for_another_wiring_and_loss_weight():
  source = config_lib.to_dict(_config(num_seeds=3))
  changes = {
    "seed": 1,
    "num_seeds": 2,
    "init_from": "runs/a",
    "model.wiring": "sequential",
    "joint.loss_weight": (0.11,),
    "experiment": "sequential",
  }
  config_lib.validate_init_from(_config(**changes), source)
