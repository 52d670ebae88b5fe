"""A config as config.json records it, and how two of them differ; no JAX."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import ml_collections

from sr2_jax.config import fields


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
  if isinstance(values["loss.l2"], int | float):
    values["loss.l2"] = [values["loss.l2"]]
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
