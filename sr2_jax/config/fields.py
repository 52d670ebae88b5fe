"""What each config field accepts, and the messages about those that differ.

`CHECKS` has every field: those of experiments/default.py, and a field for each
corruption in `names`.
"""

import difflib
import itertools
from typing import Any

from sr2_jax import errors, names
from sr2_jax.config import accepted

LARGEST_SEED = 2**32 - 1
# Characters of a value in a message.
_LONGEST_VALUE = 100
_LONGEST_COMPARED = 1000  # characters of a field's name
_NUM_IDENTITY_MAPPINGS = 16
# More than any training has: a larger number is a mistake, and some would
# overflow far from here. What fits into memory is found out later.
_MOST_EPOCHS, _MOST_STEPS = 10**6, 2**31 - 1
_MOST_AT_ONCE = 10**6  # images
_MOST_IMAGES = 10**9
_MOST_BYTES = 10**15
_LONGEST_SIDE = 99_999  # pixels, as in data.size
# Images are in [0, 1].
LARGEST_VARIANCE = 1000.0


def corruption_field(key: str) -> str:
  """The field with the levels of a corruption."""
  return f"eval.corruptions.{key}"


CHECKS: dict[str, accepted.Check] = {
  "experiment": accepted.text(
    r"[A-Za-z0-9_][A-Za-z0-9_.=-]{0,199}",
    'a name of at most 200 letters, digits, "_", "-", "." and "="',
  ),
  "seed": accepted.integer(0, LARGEST_SEED),
  "num_seeds": accepted.integer(1, 10_000),
  "batch_size": accepted.integer(1, _MOST_AT_ONCE),
  "steps_per_call": accepted.integer(0, 10_000),
  "convolutions": accepted.choice("rules", "measured"),
  "stop_on_divergence": accepted.boolean(),
  "init_from": accepted.text(r".*", 'a run folder, weights or ""'),
  "fine_tune": accepted.boolean(),
  "data.name": accepted.choice("mnist5k", "mnist", "svhn_cropped", "folder"),
  "data.path": accepted.text(r".*", 'an image folder or ""'),
  "data.labels": accepted.text(r".*", 'a CSV file or ""'),
  "data.low_res_path": accepted.text(r".*", 'an image folder or ""'),
  "data.classes": accepted.text(
    r".*", 'classes, as in "cat,pet=dog+hare", or ""'
  ),
  "data.size": accepted.text(
    r"|[1-9]\d{0,4}x[1-9]\d{0,4}", 'height x width, as in "32x16", or ""'
  ),
  "data.fit": accepted.choice("refuse", "crop", "pad", "resize"),
  "data.channels": accepted.choice("auto", "1", "3"),
  "data.duplicates": accepted.choice("refuse", "allow"),
  "data.validation_fraction": accepted.number("(0, 1)"),
  "data.split_seed": accepted.integer(0, LARGEST_SEED),
  "data.max_train_images": accepted.integer(0, _MOST_IMAGES),
  "data.device_bytes": accepted.integer(0, _MOST_BYTES),
  "degradation.scale": accepted.integer(2, 64),
  "degradation.blur_sigma_per_scale": accepted.number("[0, 10]"),
  "degradation.anti_aliasing": accepted.boolean(),
  "augmentation.crop": accepted.integer(0, _LONGEST_SIDE),
  "augmentation.max_shift": accepted.integer(-1, _LONGEST_SIDE),
  "augmentation.max_rotation": accepted.number("[0, 180]"),
  "augmentation.fill": accepted.choice("zero", "edge", "auto"),
  "srmd.min_blur_variance": accepted.number("(0, 49]"),
  "srmd.max_blur_variance": accepted.number("(0, 49]"),
  "srmd.isotropic": accepted.boolean(),
  "srmd.max_noise_std": accepted.number("[0, 1]"),
  "srmd.clean_fraction": accepted.number("[0, 1]"),
  "model.trunk": accepted.choice(*names.TRUNKS),
  "model.wiring": accepted.choice(*names.WIRINGS),
  "model.shared_layers": accepted.integer(1, _NUM_IDENTITY_MAPPINGS),
  "model.expansion": accepted.integer(1, 64),
  "model.batch_norm": accepted.boolean(),
  "model.batch_norm_momentum": accepted.number("[0, 1)"),
  "model.transposed_convolution": accepted.boolean(),
  "model.dtype": accepted.choice("float32", "bfloat16"),
  "model.classifier_strides": accepted.Check(
    "three numbers, each 1 or 2, as in 1,2,2",
    lambda value: as_tuple(value) in itertools.product((1, 2), repeat=3),
    is_whole=True,
  ),
  "loss.super_resolution": accepted.choice("mse", "l1"),
  "loss.l2": accepted.numbers(accepted.LARGEST_FLOAT32),
  "loss.l2_scope": accepted.choice("authors", "kernels"),
  "loss.normalize_weights": accepted.boolean(),
  "loss.class_weights": accepted.choice("none", "balanced"),
  "adam.b1": accepted.number("[0, 1)"),
  "adam.b2": accepted.number("[0, 1)"),
  # Much less would be 0 in float32, and an update 0 / 0.
  "adam.eps": accepted.number("[1e-30, 1]"),
  "pretrain.num_epochs": accepted.integer(0, _MOST_EPOCHS),
  "pretrain.learning_rate.shared": accepted.at_least_zero(),
  "pretrain.learning_rate.sr": accepted.at_least_zero(),
  "joint.num_epochs": accepted.integer(0, _MOST_EPOCHS),
  "joint.learning_rate.shared": accepted.at_least_zero(),
  "joint.learning_rate.sr": accepted.at_least_zero(),
  "joint.learning_rate.classifier": accepted.at_least_zero(),
  "joint.loss_weight": accepted.numbers(accepted.LARGEST_FLOAT32),
  "eval.noise_variances": accepted.numbers(LARGEST_VARIANCE),
  **{
    corruption_field(key): accepted.levels(corruption)
    for key, corruption in names.CORRUPTIONS.items()
  },
  "eval.noise_seed": accepted.integer(0, LARGEST_SEED),
  "eval.batch_size": accepted.integer(1, _MOST_AT_ONCE),
  "eval.splits": accepted.choices("validation", "test"),
  "eval.max_images": accepted.integer(0, _MOST_IMAGES),
  "eval.clip": accepted.boolean(),
  "eval.srmd.weights": accepted.text(r".*", '"package", a path or ""'),
  "eval.srmd.pca": accepted.text(r".*", 'a path or ""'),
  "eval.every_epochs": accepted.integer(1, _MOST_EPOCHS),
  "eval.validation_noise_variances": accepted.numbers_with_zero(
    LARGEST_VARIANCE
  ),
  "eval.epochs": accepted.counts(_MOST_EPOCHS),
  "eval.batch_norm": accepted.choices(*names.BATCH_NORMS),
  "eval.batch_norm_batches": accepted.integer(1, _MOST_AT_ONCE),
  "eval.checkpoint": accepted.choice("last", "best"),
  "checkpoint.every_steps": accepted.integer(1, _MOST_STEPS),
  "checkpoint.keep": accepted.integer(1, 10_000),
  "checkpoint.keep_finished": accepted.boolean(),
  "log.every_steps": accepted.integer(1, _MOST_STEPS),
  "log.tensorboard": accepted.boolean(),
  "log.profile_steps": accepted.first_and_last(_MOST_STEPS),
  "parallel.layout": accepted.choice("auto", "data", "members"),
  "parallel.num_devices": accepted.integer(0, 2**16),
}

# Fields that a config may leave out, and their values there.
OPTIONAL: dict[str, Any] = {
  "convolutions": "rules",
  "stop_on_divergence": False,
  "fine_tune": False,
  "data.labels": "",
  "data.low_res_path": "",
  "data.classes": "",
  "data.size": "",
  "data.fit": "refuse",
  "data.channels": "auto",
  "data.duplicates": "refuse",
  "augmentation.crop": 0,
  **{corruption_field(key): () for key in names.CORRUPTIONS},
  "model.classifier_strides": (1, 2, 2),
  "loss.class_weights": "none",
  "log.profile_steps": (),
  "checkpoint.keep_finished": True,
}

# Fields that may differ when a run is resumed: they change no number, or
# (`parallel`) the last bits of one.
FREE_ON_RESUME = (
  "parallel", "stop_on_divergence", "log.profile_steps",
  "checkpoint.keep_finished", "data.duplicates",
)  # fmt: skip

# Fields that a config of an older version lacks, and their values where an
# experiment file does. Nothing was recorded about them: a run of that version
# goes on with what its next start is given.
ADDED: dict[str, Any] = {
  "eval.validation_noise_variances": (0.0, 1e-4, 1e-3),
  "eval.epochs": (),
  "eval.batch_norm": ("reestimated",),
  "eval.batch_norm_batches": 50,
}


def wrong_value(field: str, value: Any) -> str:
  """The message for a value that a field does not accept."""
  return (
    f"config.{field} has to be {CHECKS[field].expected}, not {in_words(value)}."
  )


def may_be_taken_away(argument: str, field: str) -> bool:
  """Whether --noconfig.FIELD means something: "false", without a value."""
  return "=" not in argument and CHECKS[field].accepts(False)


def unknown_field(field: str) -> str:
  """The message for a field that does not exist; suggests the most similar."""
  members = [name for name in CHECKS if name.startswith(f"{field}.")]
  if members:
    return (
      f"config.{field} is a group of fields; set one of "
      f"{', '.join(f'config.{name}' for name in members)}."
    )
  nearest = _nearest_field(field)
  if nearest is None:
    hint = "experiments/default.py lists every field."
  else:
    hint = f"did you mean config.{nearest}?"
  return f"There is no config.{field}; {hint}"


def _nearest_field(field: str) -> str | None:
  """The field of the most similar name, or last word of the name."""

  def ratio(typed: str, name: str) -> float:
    # Half a megabyte takes long to compare, and is like no name.
    if len(typed) > _LONGEST_COMPARED:
      return 0.0
    return difflib.SequenceMatcher(None, typed, name).ratio()

  def likeness(name: str) -> tuple[float, float]:
    whole = ratio(field, name)
    last = ratio(field.rpartition(".")[2], name.rpartition(".")[2])
    return max(whole, last), whole

  nearest = max(CHECKS, key=likeness)
  return nearest if likeness(nearest)[0] >= 0.7 else None


def in_words(value: Any) -> str:
  """A value as messages show it."""
  if value is None:
    return "nothing"
  if isinstance(value, bool):
    return str(value).lower()
  if isinstance(value, str):
    return f'"{errors.shortened(value, _LONGEST_VALUE)}"'
  return errors.shortened(_digits(as_tuple(value)), _LONGEST_VALUE)


def _digits(value: Any) -> str:
  try:
    return str(value)
  except ValueError:  # More digits than Python prints.
    return "a number of thousands of digits"


def as_tuple(value: Any) -> Any:
  """A list as the tuple that JSON made it from; anything else unchanged."""
  return tuple(value) if isinstance(value, list) else value
