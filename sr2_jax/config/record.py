"""A config as config.json records it, and how two of them differ; no JAX."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from sr2_jax.config import fields


def to_dict(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """Nested dicts for JSON, in the fields' order; tuples become lists."""
  values = flatten(config)
  return _nest({field: values[field] for field in fields.CHECKS})


def recorded(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
  """An older run's config as this version reads it.

  A field that it lacks, because it was added later, takes its value from `new`,
  and a single `loss.l2` is one of several.

  Args:
    old: nested dicts, as `to_dict` gave them when that run was started.
    new: as `to_dict` gives them.
  """
  values = {**flatten(new), **flatten(old)}
  if isinstance(values["loss.l2"], int | float):
    values["loss.l2"] = [values["loss.l2"]]
  return _nest(values)


def added_fields(
  old: Mapping[str, Any], new: Mapping[str, Any]
) -> dict[str, Any]:
  """The fields that `recorded` takes from `new`, with their values."""
  before = flatten(old)
  return {
    field: value for field, value in flatten(new).items() if field not in before
  }


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
  """One line per field that differs: "joint.loss_weight: (9.0,) -> (0.11,)".

  Args:
    old: nested dicts as `to_dict` gives them, perhaps of another version.
    new: likewise; lists equal tuples.
  """
  before, after = flatten(old), flatten(new)
  lines = []
  for field in dict.fromkeys((*before, *after)):
    pair = [fields.as_tuple(side.get(field)) for side in (before, after)]
    if pair[0] != pair[1]:
      lines.append(f"{field}: {' -> '.join(map(fields.in_words, pair))}")
  return lines


def _nest(values: Mapping[str, Any]) -> dict[str, Any]:
  """Nested dicts from dotted names; tuples become lists."""
  nested: dict[str, Any] = {}
  for field, value in values.items():
    *groups, name = field.split(".")
    group = nested
    for word in groups:
      group = group.setdefault(word, {})
    group[name] = list(value) if isinstance(value, tuple) else value
  return nested


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
  """Every leaf of nested dicts or configs under its dotted name."""
  leaves: dict[str, Any] = {}
  for name, value in tree.items():
    if isinstance(value, (Mapping, ml_collections.ConfigDict)):
      leaves.update(flatten(value, f"{prefix}{name}."))
    else:
      leaves[f"{prefix}{name}"] = value
  return leaves
