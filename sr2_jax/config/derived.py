"""What follows from a config: phases, members, methods; no JAX."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from sr2_jax import names
from sr2_jax.config import fields
from sr2_jax.data import published

# The paper's 3 px on MNIST's 28.
_SHIFT_PER_PIXEL = 3 / 28


def fill_in(config: ml_collections.ConfigDict) -> None:
  """Sets the fields that a config may leave out and has left out."""
  if not isinstance(config.get("eval"), ml_collections.ConfigDict):
    return  # `checks.validate_names` refuses it.
  with config.unlocked():
    _fill_in(config)


def _fill_in(tree: Any) -> None:
  """Does so in a config or in the nested dicts of one."""
  for field, value in {**fields.OPTIONAL, **fields.ADDED}.items():
    *groups, name = field.split(".")
    group = tree
    for word in groups:
      if word not in group:
        group[word] = {}
      group = group[word]
    if name not in group:
      group[name] = value


def resolve(
  config: ml_collections.ConfigDict,
) -> ml_collections.FrozenConfigDict:
  """A frozen copy of a validated config, with what follows from it.

  `augmentation.fill` "auto" becomes "zero" on MNIST and "edge" elsewhere, and
  `augmentation.max_shift` a number where the size of the images is known.
  Numbers in tuples become floats, as other numbers are already. What follows
  from the devices stays open: `parallel`.
  """
  resolved = config.to_dict()
  _fill_in(resolved)
  if resolved["augmentation"]["fill"] == "auto":
    is_mnist = resolved["data"]["name"].startswith("mnist")
    resolved["augmentation"]["fill"] = "zero" if is_mnist else "edge"
  if resolved["data"]["name"] in published.PUBLISHED:
    sides = published.PUBLISHED[resolved["data"]["name"]].image_shape[:2]
    resolved["augmentation"]["max_shift"] = max_shift(resolved, *sides)
  of_eval = resolved["eval"]
  for group, field in (
    (resolved["loss"], "l2"),
    (resolved["joint"], "loss_weight"),
    (of_eval, "noise_variances"),
    (of_eval, "validation_noise_variances"),
    *((of_eval["corruptions"], kind) for kind in of_eval["corruptions"]),
  ):
    group[field] = tuple(float(x) for x in group[field])
  for group, field in (
    (of_eval, "epochs"),
    (resolved["log"], "profile_steps"),
    (resolved["model"], "classifier_strides"),
  ):
    group[field] = tuple(int(x) for x in group[field])
  return ml_collections.FrozenConfigDict(resolved)


def max_shift(config: Any, height: int, width: int) -> int:
  """`augmentation.max_shift` for images of a size, in pixels.

  If it is open, 3 px at 28 px, and in proportion to the shorter side. Crops are
  not shifted: where they lie is random already.
  """
  augmentation = config["augmentation"]
  if augmentation["max_shift"] >= 0:
    return augmentation["max_shift"]
  if augmentation["crop"]:
    return 0
  return round(_SHIFT_PER_PIXEL * min(height, width))


def pair_scale(config: Any) -> int:
  """The scale of pairs in memory, with `data.low_res_path`; 0 without."""
  return config.degradation.scale if config.data.low_res_path else 0


def crop_in_memory(config: Any) -> int:
  """Side of `augmentation.crop` in pixels of the images in memory.

  With pairs these are low-resolution pixels.
  """
  return config.augmentation.crop // (pair_scale(config) or 1)


def with_shift(
  config: ml_collections.FrozenConfigDict, recorded: Mapping[str, Any] | None
) -> ml_collections.FrozenConfigDict:
  """A config with the shift of an earlier start, if its own is open.

  Args:
    config: resolved.
    recorded: group `augmentation` of config.json; None at the first start.
  """
  shift = (recorded or {}).get("max_shift")
  if shift is None or config.augmentation.max_shift >= 0:
    return config
  changed = config.to_dict()
  changed["augmentation"]["max_shift"] = shift
  return ml_collections.FrozenConfigDict(changed)


def open_fields(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Fields that a run settles itself, so that its record may differ."""
  return ("augmentation.max_shift",) * (config.augmentation.max_shift < 0)


def classifies(config: ml_collections.ConfigDict) -> bool:
  """Whether a run trains a classifier."""
  return config.model.wiring != "none" and "joint" in phases(config)


def phases(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """The phases that a run trains, in order.

  `pretrain` runs unless it has no epochs, or `init_from` replaces it (without
  `fine_tune`). `joint` runs unless it has no epochs. With wiring
  "none" there is no classifier: `joint` then continues super-resolution only,
  the control at lambda = 0.
  """
  is_replaced = bool(config.init_from) and not config.get("fine_tune")
  pretrain = config.pretrain.num_epochs > 0 and not is_replaced
  joint = config.joint.num_epochs > 0
  return ("pretrain",) * pretrain + ("joint",) * joint


def learning_rates(
  config: ml_collections.ConfigDict, phase: str
) -> dict[str, float]:
  """The learning rate of each subtree of the phase's network."""
  rates = config[phase].learning_rate.to_dict()
  if config.model.wiring == "none":
    rates.pop("classifier", None)
  return rates


def loss_weights(
  config: ml_collections.ConfigDict, phase: str
) -> tuple[float | None, ...]:
  """The values of lambda that a phase fans out over; (None,) in `pretrain`.

  Without a classifier lambda is 0 in `joint`, whatever `joint.loss_weight` is.
  """
  if phase == "pretrain":
    return (None,)
  return (0.0,) if config.model.wiring == "none" else config.joint.loss_weight


def population_size(config: ml_collections.ConfigDict, phase: str) -> int:
  """The number of a phase's members: seeds x values of L2 x loss weights."""
  fan_out = len(config.loss.l2) * len(loss_weights(config, phase))
  return config.num_seeds * fan_out


def method(config: ml_collections.ConfigDict, phase: str) -> names.Method:
  """The method that the network is after a phase."""
  model = config.model
  return names.method_after(phase, trunk=model.trunk, wiring=model.wiring)


def preferred_batch_norm(config: ml_collections.ConfigDict) -> str:
  """The statistics of validation, tables, arrays and pictures."""
  return next(
    kind for kind in names.BATCH_NORMS if kind in config.eval.batch_norm
  )


def corruption_levels(
  config: ml_collections.ConfigDict,
) -> tuple[tuple[str, float], ...]:
  """(corruption, level) for every level, corruption by corruption."""
  return tuple(
    (corruption, level)
    for corruption, levels in sorted(config.eval.corruptions.items())
    for level in levels
  )
