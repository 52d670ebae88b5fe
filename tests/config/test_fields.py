import re

import ml_collections
import pytest

from experiments import default
from sr2_jax import names
from sr2_jax.config import fields
from sr2_jax.data import dataset
from sr2_jax.imaging import augmentation, metrics
from sr2_jax.models import sr2, wdsr
from sr2_jax.training import optimizer


def _leaves(config, prefix=""):
  for name, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      yield from _leaves(value, f"{prefix}{name}.")
    else:
      yield f"{prefix}{name}", value


def test_every_field_has_a_check_that_its_default_passes():
  defaults = dict(_leaves(default.get_config()))
  assert set(fields.CHECKS) == {*defaults, *fields.OPTIONAL}, (
    "sr2_jax/config/fields.py and experiments/default.py have to agree"
  )
  for field, value in {**fields.OPTIONAL, **defaults}.items():
    assert fields.CHECKS[field].accepts(value), field
  for field, value in fields.ADDED.items():
    assert defaults[field] == value, field


@pytest.mark.parametrize(
  ("field", "choices"),
  [
    ("data.name", dataset._LOADERS),
    ("augmentation.fill", {*augmentation._BORDER, "auto"}),
    ("model.trunk", sr2.TRUNKS),
    ("model.wiring", names.WIRINGS),
    ("loss.super_resolution", metrics.SR_LOSSES),
    ("loss.l2_scope", optimizer.L2_SCOPES),
  ],
)
def test_choices_are_those_that_the_code_knows(field, choices):
  """`fields` imports none of it, so that a wrong flag is told at once."""
  check = fields.CHECKS[field]
  assert set(re.findall(r'"(\w+)"', check.expected)) == set(choices)
  assert all(map(check.accepts, choices))


def test_as_many_layers_are_shared_as_wdsr_has():
  check = fields.CHECKS["model.shared_layers"]
  assert check.accepts(wdsr.NUM_MAPPINGS)
  assert not check.accepts(wdsr.NUM_MAPPINGS + 1)


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
    ("stop_on_divergence", 1),
    ("data.name", "cifar10"),
    ("data.size", "32"),
    ("data.size", "32x0"),
    ("data.size", "32 x 16"),
    ("data.fit", "stretch"),
    ("data.channels", "2"),
    ("data.labels", 1),
    ("data.classes", ("cat",)),
    ("augmentation.crop", -1),
    ("loss.class_weights", "sqrt"),
    ("model.classifier_strides", (1, 2)),
    ("model.classifier_strides", (1, 2, 3)),
    ("model.classifier_strides", 2),
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
    ("augmentation.max_shift", -2),
    ("augmentation.max_rotation", 180.5),
    ("augmentation.max_rotation", -1.0),
    ("augmentation.fill", "wrap"),
    ("srmd.min_blur_variance", 0.0),
    ("srmd.max_blur_variance", 49.1),
    ("srmd.max_noise_std", 1.1),
    ("srmd.clean_fraction", -0.1),
    ("model.trunk", "edsr"),
    ("model.wiring", "serial"),
    ("model.shared_layers", 0),
    ("model.shared_layers", 17),
    ("model.expansion", 0),
    ("model.dtype", "float16"),
    ("loss.super_resolution", "mae"),
    ("loss.l2", (-0.01,)),
    ("loss.l2", (float("nan"),)),
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
    ("eval.validation_noise_variances", (1e-4,)),
    ("eval.validation_noise_variances", (0.0, 0)),
    ("eval.epochs", (0,)),
    ("eval.epochs", (1.5,)),
    ("eval.epochs", (1, 1.0)),
    ("eval.batch_norm", ()),
    ("eval.batch_norm", ("frozen",)),
    ("eval.batch_norm_batches", 0),
    ("eval.checkpoint", "first"),
    ("checkpoint.every_steps", 0),
    ("checkpoint.keep", 0),
    ("log.every_steps", 0),
    ("log.profile_steps", (100,)),
    ("log.profile_steps", (0, 1)),
    ("log.profile_steps", (110, 100)),
    ("log.profile_steps", (1.5, 2)),
    ("parallel.layout", "model"),
    ("parallel.num_devices", -1),
  ],
)
def test_value_out_of_range(field, value):
  assert not fields.CHECKS[field].accepts(value)
  message = fields.wrong_value(field, value)
  assert message.startswith(f"config.{field} has to be ")
  assert len(message.splitlines()) == 1


@pytest.mark.parametrize("field", fields.CHECKS)
@pytest.mark.parametrize("value", [None, object(), {1}, b"9"])
def test_no_field_takes_a_value_of_a_strange_type(field, value):
  assert not fields.CHECKS[field].accepts(value)


@pytest.mark.parametrize(
  "field",
  [name for name, check in fields.CHECKS.items() if "number" in check.expected],
)
def test_booleans_are_not_numbers(field):
  assert not fields.CHECKS[field].accepts(True)


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
    ("loss.l2", (0,)),
  ],
)
def test_value_at_the_edge_of_its_range(field, value):
  assert fields.CHECKS[field].accepts(value)


NUMERIC = {
  field: check
  for field, check in fields.CHECKS.items()
  if check.accepts(1) or check.accepts(2) or check.accepts(0.5)
}
LISTS = {
  field: check
  for field, check in fields.CHECKS.items()
  if any(map(check.accepts, ((0,), (1,), (1, 2), (10,))))
}


@pytest.mark.parametrize(
  "value", [10**39, -(10**39), 10**400, 1e39, *map(float, ("inf", "nan"))]
)
def test_every_number_has_a_bound_that_the_message_names(value):
  assert {"batch_size", "num_seeds", "joint.learning_rate.sr"} <= NUMERIC.keys()
  for field, check in NUMERIC.items():
    assert not check.accepts(value), field
    message = fields.wrong_value(field, value)
    assert re.search(r" to [\d.e+]+|, \d+[\])]", message), message
    assert len(message) < 300


def test_every_list_has_a_greatest_length():
  assert {"loss.l2", "eval.noise_variances", "eval.epochs"} <= LISTS.keys()
  for field, check in LISTS.items():
    assert not check.accepts(tuple(x / 5e3 for x in range(2000))), field
    assert not check.accepts(tuple(range(2000))), field
    assert not check.accepts((10**39,)), field
    assert len(fields.wrong_value(field, tuple(range(10**5)))) < 400


def test_too_large_an_integer_is_no_float():
  assert not fields.CHECKS["loss.l2"].accepts((10**400,))


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
  message = fields.unknown_field(typed)
  assert message.endswith(f"did you mean config.{nearest}?")


def test_unlike_any_field():
  assert "experiments/default.py" in fields.unknown_field("zzz.qqq")


def test_group_instead_of_field():
  message = fields.unknown_field("pretrain")
  assert "group" in message
  assert "set one of config.pretrain.num_epochs, config.pretrain." in message


@pytest.mark.parametrize(
  ("field", "apart", "alike"),
  [
    ("joint.loss_weight", (0.1, 0.10001), (0.1, 0.10000000001)),
    ("loss.l2", (1e-5, 1.00001e-5), (9.0, 1e-5, 1.00000001e-5)),
    ("eval.noise_variances", (0.0, 1e-4), (0.1234567, 0.1234568)),
    ("eval.validation_noise_variances", (0.0, 1e-30), (0.0, 1.0, 1.0 + 1e-7)),
    ("eval.corruptions.speckle", (0.01, 0.0101), (0.01, 0.0100000001)),
    ("eval.epochs", (999_999, 10**6), (3, 3.0)),
  ],
)
def test_values_that_names_do_not_tell_apart_are_refused(field, apart, alike):
  accepts = fields.CHECKS[field].accepts
  assert accepts(apart)
  assert not accepts(alike)


def test_an_epsilon_that_float32_does_not_hold_is_refused():
  accepts = fields.CHECKS["adam.eps"].accepts
  assert accepts(1e-30)
  assert not accepts(1e-46)
