"""What each config field accepts, and the messages about those that differ.

`CHECKS` has every field: those of experiments/default.py, and a field for each
corruption in `names`.
"""

import dataclasses
import difflib
import re
from collections.abc import Callable
from typing import Any

from sr2_jax import names

_LARGEST_FLOAT32 = 3.4028234663852886e38
LARGEST_SEED = 2**32 - 1
_NUM_IDENTITY_MAPPINGS = 16


@dataclasses.dataclass(frozen=True)
class Check:
  """The values that a field accepts.

  Attributes:
    expected: these in words, as in "has to be ...".
    accepts: whether a value is one of these.
  """

  expected: str
  accepts: Callable[[Any], bool]


def _boolean() -> Check:
  return Check("true or false", lambda value: isinstance(value, bool))


def _is_number(value: Any, kind: type | tuple[type, ...]) -> bool:
  return isinstance(value, kind) and not isinstance(value, bool)


def _integer(minimum: int, maximum: int | None = None) -> Check:
  expected = f"a whole number >= {minimum}"
  if maximum is not None:
    expected = f"a whole number from {minimum} to {maximum}"
  return Check(
    expected,
    lambda value: (
      _is_number(value, int)
      and minimum <= value
      and (maximum is None or value <= maximum)
    ),
  )


def _is_at_least_zero(value: Any) -> bool:
  # NaN fails the comparison, infinity and huge integers exceed the bound.
  return _is_number(value, (int, float)) and 0 <= value <= _LARGEST_FLOAT32


def _at_least_zero() -> Check:
  return Check("a number >= 0", _is_at_least_zero)


def _number(interval: str) -> Check:
  """A number in an interval such as "[0, 1)"; a round bracket excludes."""
  low, high = (float(bound) for bound in interval[1:-1].split(","))

  def accepts(value: Any) -> bool:
    return (
      _is_number(value, (int, float))
      and low <= value <= high
      and not (interval[0] == "(" and value == low)
      and not (interval[-1] == ")" and value == high)
    )

  return Check(f"a number in {interval}", accepts)


def _text(pattern: str, expected: str) -> Check:
  return Check(
    expected,
    lambda value: (
      isinstance(value, str) and re.fullmatch(pattern, value) is not None
    ),
  )


def _either(*choices: str) -> str:
  return " or ".join(f'"{choice}"' for choice in choices)


def _choice(*choices: str) -> Check:
  return Check(_either(*choices), lambda value: value in choices)


def _are_distinct(
  values: Any, accepts: Callable[[Any], bool], *, minimum: int = 1
) -> bool:
  return (
    isinstance(values, (tuple, list))
    and len(values) >= minimum
    and all(accepts(value) for value in values)
    and len(set(values)) == len(values)
  )


def _numbers() -> Check:
  return Check(
    "one or more different numbers >= 0, as in 0.11,9",
    lambda values: _are_distinct(values, _is_at_least_zero),
  )


def _levels(corruption: names.Corruption) -> Check:
  """Any number of levels of a corruption, all different."""
  in_interval = _number(corruption.levels)

  def accepts(value: Any) -> bool:
    # On a command line every number in a tuple becomes a float.
    return (
      in_interval.accepts(value)
      and abs(value) <= _LARGEST_FLOAT32
      and (not corruption.whole_levels or value == int(value))
    )

  kind = "whole numbers" if corruption.whole_levels else "numbers"
  return Check(
    f"different {kind} in {corruption.levels}, as in 1,10, or none",
    lambda values: _are_distinct(values, accepts, minimum=0),
  )


def _numbers_with_zero() -> Check:
  return Check(
    "different numbers >= 0, one of them 0, as in 0,1e-4",
    lambda values: _are_distinct(values, _is_at_least_zero) and 0 in values,
  )


def _counts() -> Check:
  # On a command line every number in a tuple becomes a float.
  return Check(
    "different whole numbers >= 1, as in 1,10, or none",
    lambda values: _are_distinct(
      values,
      lambda value: _is_at_least_zero(value) and value == int(value) >= 1,
      minimum=0,
    ),
  )


def _first_and_last() -> Check:
  whole = _counts()
  return Check(
    "a first and a last step >= 1, as in 100,110, or none",
    lambda values: (
      isinstance(values, (tuple, list))
      and len(values) in (0, 2)
      and all(whole.accepts((value,)) for value in values)
      and sorted(values) == list(values)
    ),
  )


def _choices(*choices: str) -> Check:
  return Check(
    f"one or more of {_either(*choices)}, each once, as in {','.join(choices)}",
    lambda values: _are_distinct(values, lambda value: value in choices),
  )


def corruption_field(key: str) -> str:
  """The field with the levels of a corruption."""
  return f"eval.corruptions.{key}"


CHECKS: dict[str, Check] = {
  "experiment": _text(
    r"[A-Za-z0-9_][A-Za-z0-9_.=-]*",
    'a name of letters, digits, "_", "-", "." and "="',
  ),
  "seed": _integer(0, LARGEST_SEED),
  "num_seeds": _integer(1),
  "batch_size": _integer(1),
  "steps_per_call": _integer(0),
  "convolutions": _choice("rules", "measured"),
  "stop_on_divergence": _boolean(),
  "init_from": _text(r".*", 'a run folder, weights or ""'),
  "data.name": _choice("mnist5k", "mnist", "svhn_cropped", "folder"),
  "data.path": _text(r".*", 'an image folder or ""'),
  "data.labels": _text(r".*", 'a CSV file or ""'),
  "data.classes": _text(r".*", 'classes, as in "cat,pet=dog+hare", or ""'),
  "data.size": _text(
    r"|[1-9]\d{0,4}x[1-9]\d{0,4}", 'height x width, as in "32x16", or ""'
  ),
  "data.fit": _choice("refuse", "crop", "pad", "resize"),
  "data.channels": _choice("auto", "1", "3"),
  "data.duplicates": _choice("refuse", "allow"),
  "data.validation_fraction": _number("(0, 1)"),
  "data.split_seed": _integer(0, LARGEST_SEED),
  "data.max_train_images": _integer(0),
  "data.device_bytes": _integer(0),
  "degradation.scale": _integer(2),
  "degradation.blur_sigma_per_scale": _number("[0, 10]"),
  "degradation.anti_aliasing": _boolean(),
  "augmentation.crop": _integer(0),
  "augmentation.max_shift": _integer(-1),
  "augmentation.max_rotation": _number("[0, 180]"),
  "augmentation.fill": _choice("zero", "edge", "auto"),
  "srmd.min_blur_variance": _number("(0, 49]"),
  "srmd.max_blur_variance": _number("(0, 49]"),
  "srmd.isotropic": _boolean(),
  "srmd.max_noise_std": _number("[0, 1]"),
  "srmd.clean_fraction": _number("[0, 1]"),
  "model.trunk": _choice(*names.TRUNKS),
  "model.wiring": _choice(*names.WIRINGS),
  "model.shared_layers": _integer(1, _NUM_IDENTITY_MAPPINGS),
  "model.expansion": _integer(1),
  "model.batch_norm": _boolean(),
  "model.batch_norm_momentum": _number("[0, 1)"),
  "model.transposed_convolution": _boolean(),
  "model.dtype": _choice("float32", "bfloat16"),
  "loss.super_resolution": _choice("mse", "l1"),
  "loss.l2": _numbers(),
  "loss.l2_scope": _choice("authors", "kernels"),
  "loss.normalize_weights": _boolean(),
  "adam.b1": _number("[0, 1)"),
  "adam.b2": _number("[0, 1)"),
  "adam.eps": _number("(0, 1]"),
  "pretrain.num_epochs": _integer(0),
  "pretrain.learning_rate.shared": _at_least_zero(),
  "pretrain.learning_rate.sr": _at_least_zero(),
  "joint.num_epochs": _integer(0),
  "joint.learning_rate.shared": _at_least_zero(),
  "joint.learning_rate.sr": _at_least_zero(),
  "joint.learning_rate.classifier": _at_least_zero(),
  "joint.loss_weight": _numbers(),
  "eval.noise_variances": _numbers(),
  **{
    corruption_field(key): _levels(corruption)
    for key, corruption in names.CORRUPTIONS.items()
  },
  "eval.noise_seed": _integer(0, LARGEST_SEED),
  "eval.batch_size": _integer(1),
  "eval.splits": _choices("validation", "test"),
  "eval.max_images": _integer(0),
  "eval.clip": _boolean(),
  "eval.srmd.weights": _text(r".*", '"package", a path or ""'),
  "eval.srmd.pca": _text(r".*", 'a path or ""'),
  "eval.every_epochs": _integer(1),
  "eval.validation_noise_variances": _numbers_with_zero(),
  "eval.epochs": _counts(),
  "eval.batch_norm": _choices(*names.BATCH_NORMS),
  "eval.batch_norm_batches": _integer(1),
  "eval.checkpoint": _choice("last", "best"),
  "checkpoint.every_steps": _integer(1),
  "checkpoint.keep": _integer(1),
  "checkpoint.keep_finished": _boolean(),
  "log.every_steps": _integer(1),
  "log.tensorboard": _boolean(),
  "log.profile_steps": _first_and_last(),
  "parallel.layout": _choice("auto", "data", "members"),
  "parallel.num_devices": _integer(0),
}

# Fields that a config may leave out, and their values there.
OPTIONAL: dict[str, Any] = {
  "convolutions": "rules",
  "stop_on_divergence": False,
  "data.labels": "",
  "data.classes": "",
  "data.size": "",
  "data.fit": "refuse",
  "data.channels": "auto",
  "data.duplicates": "refuse",
  "augmentation.crop": 0,
  **{corruption_field(key): () for key in names.CORRUPTIONS},
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

  def likeness(name: str) -> tuple[float, float]:
    whole = difflib.SequenceMatcher(None, field, name).ratio()
    last = difflib.SequenceMatcher(
      None, field.rpartition(".")[2], name.rpartition(".")[2]
    ).ratio()
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
    return f'"{value}"'
  return str(as_tuple(value))


def as_tuple(value: Any) -> Any:
  """A list as the tuple that JSON made it from; anything else unchanged."""
  return tuple(value) if isinstance(value, list) else value
