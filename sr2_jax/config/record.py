"""A config as config.json records it, and how two of them differ; no JAX."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import ml_collections

from sr2_jax.config import accepted, fields

# The parts of config.json, and of its description of the data.
_PARTS: dict[str, type] = {
  "config": dict, "dataset": dict, "devices": dict, "python": str,
  "packages": dict, "git_revision": str, "later": list, "convolutions": dict,
  "fine_tuned_from": list,
}  # fmt: skip
_OF_DATASET: dict[str, type] = {
  "name": str, "fingerprint": str, "num_train_images": int,
  "image_shape": list, "class_names": list, "notes": list,
}  # fmt: skip
_WORDS = {dict: "an object", list: "a list", str: "text", int: "a number"}
_EXPECTED = {**_WORDS, int: "a whole number"}
_NUMBERS_OF_DATASET = {
  "num_train_images": accepted.integer(0, 2**63 - 1),
  "image_shape": accepted.Check(
    "three whole numbers from 1",
    lambda shape: (
      isinstance(shape, list)
      and len(shape) == 3
      and all(type(side) is int and side >= 1 for side in shape)
    ),
    is_whole=True,
  ),
}


@dataclasses.dataclass(frozen=True)
class Difference:
  """A field that two configs do not share; None where one lacks it.

  As text: "joint.loss_weight: (9.0,) -> (0.11,)".

  Attributes:
    field: its dotted name.
    old: its first value.
    new: its second value.
  """

  field: str
  old: Any
  new: Any

  def __str__(self) -> str:
    values = map(fields.in_words, (self.old, self.new))
    return f"{self.field}: {' -> '.join(values)}"

  def is_of(self, *parts: str) -> bool:
    """Whether the field is one of these, or in one of these groups."""
    return any(
      self.field == part or self.field.startswith(f"{part}.") for part in parts
    )


def as_written(found: Any) -> dict[str, Any]:
  """What config.json holds, if its parts are what they have to be.

  Not whether they are complete: older versions had fewer. Where another program
  has written 3.0, it is 3.

  Args:
    found: what the file holds.

  Raises:
    ValueError: names the first part that is something else.
  """
  _check_parts(found, _PARTS, "it")
  if "config" not in found:
    raise ValueError("it has no config")
  for start in found.get("later", ()):
    _check_parts(start, _PARTS, "later")
  dataset = found.get("dataset", {})
  _check_parts(dataset, {}, "dataset")
  dataset = _with_whole_numbers(dataset, _NUMBERS_OF_DATASET)
  _check_parts(dataset, _OF_DATASET, "dataset")
  for name, check in _NUMBERS_OF_DATASET.items():
    if name in dataset and not check.accepts(dataset[name]):
      value = fields.in_words(dataset[name])
      raise ValueError(f"{name} has to be {check.expected}, not {value}")
  for name in ("class_names", "notes"):
    if not all(isinstance(x, str) for x in dataset.get(name, ())):
      raise ValueError(f"{name} is no list of text")
  own = {"dataset": dataset} if "dataset" in found else {}
  return {**found, "config": config_as_written(found["config"]), **own}


def config_as_written(config: Any) -> dict[str, Any]:
  """The same of a recorded config alone.

  Raises:
    ValueError: names the first field or group that is something else.
  """
  _check_parts(config, {}, "config")
  config = _with_whole_numbers(config, fields.CHECKS)
  groups = dict.fromkeys(
    field[:at]
    for field in fields.CHECKS
    for at, character in enumerate(field)
    if character == "."
  )
  values = flatten(config)
  for name, value in values.items():
    if name in groups:
      raise ValueError(f"config.{name} is {_kind(value)}, not an object")
    items = value if isinstance(value, list) else [value]
    if any(isinstance(item, dict | list) for item in items):
      raise ValueError(f"config.{name} is nested")
  for field in fields.CHECKS:
    if any(name.startswith(f"{field}.") for name in values):
      raise ValueError(f"config.{field} is an object")
  for name, value in values.items():
    # Older versions had one L2.
    given = [value] if name == "loss.l2" and _is_number(value) else value
    check = fields.CHECKS.get(name)
    if check and not check.accepts(fields.as_tuple(given)):
      raise ValueError(fields.wrong_value(name, value))
  return config


def _with_whole_numbers(
  tree: dict[str, Any], of: Mapping[str, accepted.Check], prefix: str = ""
) -> dict[str, Any]:
  """A tree whose fields, by dotted name, are as this version writes them."""
  found = {}
  for name, value in tree.items():
    field = f"{prefix}{name}"
    if isinstance(value, dict):
      found[name] = _with_whole_numbers(value, of, f"{field}.")
    else:
      found[name] = of[field].as_written(value) if field in of else value
  return found


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool)


def _check_parts(found: Any, parts: Mapping[str, type], what: str) -> None:
  if not isinstance(found, dict):
    raise ValueError(f"{what} is {_kind(found)}, not an object")
  for name, kind in parts.items():
    if name in found and (
      not isinstance(found[name], kind) or isinstance(found[name], bool)
    ):
      raise ValueError(f"{name} is {_kind(found[name])}, not {_EXPECTED[kind]}")


def _kind(value: Any) -> str:
  """A value of JSON, or what it is if it is long."""
  return _WORDS.get(type(value)) or fields.in_words(value)


def to_dict(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """Nested dicts for JSON, in the order of CHECKS; tuples become lists."""
  values = {**fields.OPTIONAL, **fields.ADDED, **flatten(config)}
  return _nest({field: values[field] for field in fields.CHECKS})


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
  """A recorded config with the fields that an older version did not know."""
  return _nest({**fields.OPTIONAL, **flatten(config)})


def recorded(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
  """The config of a run that an older version may have started.

  A field added since then is taken from `new`, or empty if a config may leave
  it out. A single number as `loss.l2` becomes a list.

  Args:
    old: the result of `to_dict` when that run was started.
    new: the result of `to_dict` now.
  """
  values = {
    **{f: fields.OPTIONAL.get(f, value) for f, value in flatten(new).items()},
    **flatten(old),
  }
  if isinstance(l2 := values.get("loss.l2"), int | float):
    values["loss.l2"] = [l2]
  return _nest(values)


def added_fields(
  old: Mapping[str, Any], new: Mapping[str, Any]
) -> dict[str, Any]:
  """The fields that `recorded` takes from `new`, with their values."""
  known = {**fields.OPTIONAL, **flatten(old)}
  return {
    field: value for field, value in flatten(new).items() if field not in known
  }


def difference(
  old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[Difference]:
  """The fields that differ between two results of `to_dict`.

  They may be of different versions. A list equals a tuple.
  """
  before, after = flatten(old), flatten(new)
  pairs = (
    (field, *(fields.as_tuple(side.get(field)) for side in (before, after)))
    for field in dict.fromkeys((*before, *after))
  )
  return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]


def _nest(values: Mapping[str, Any]) -> dict[str, Any]:
  """Nested dicts of dotted names; tuples become lists."""
  nested: dict[str, Any] = {}
  for field, value in values.items():
    *groups, name = field.split(".")
    group = nested
    for word in groups:
      group = group.setdefault(word, {})
    group[name] = list(value) if isinstance(value, tuple) else value
  return nested


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
  """Every leaf of nested dicts or configs, by its dotted name."""
  leaves: dict[str, Any] = {}
  for name, value in tree.items():
    if isinstance(value, (Mapping, ml_collections.ConfigDict)):
      leaves.update(flatten(value, f"{prefix}{name}."))
    else:
      leaves[f"{prefix}{name}"] = value
  return leaves
