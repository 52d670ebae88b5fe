"""What the fields of a row hold, however they were written; no JAX."""

import math
import numbers
from typing import Any

from sr2_jax import json_files

# Numbers by class; None for a class without images.
OfClasses = tuple[float | None, ...]

# What a field may be given as, by its type.
_ACCEPTED = {str: str, int: numbers.Integral, float: numbers.Real}
# Of a step or a seed, as NumPy's archives hold them.
_LARGEST = 2**63 - 1


def own(name: str, kind: Any, value: Any) -> Any:
  """A field's value as Python's own type, as it would be read back.

  Args:
    name: of the field. The value that was measured alone may be infinite or
      negative.
    kind: of the field: str, int, float or `OfClasses`.
    value: of this type, or NumPy's scalar of it.

  Raises:
    ValueError: if it is of another type, not finite, negative or too large.
  """
  if kind == OfClasses:
    return _of_classes(name, value)
  if not _is(kind, value):
    raise ValueError(f"{name} is {value!r}, not of type {kind.__name__}")
  if kind is float and name != "value" and not math.isfinite(value):
    raise ValueError(f"{name} is {value!r}, which is not finite")
  if kind is not str and name != "value" and value < 0:
    raise ValueError(f"{name} is {value!r}, which is negative")
  if kind is int and value > _LARGEST:
    raise ValueError(f"{name} is {value!r}, which is too large")
  return kind(value)


def read(name: str, kind: Any, value: Any) -> Any:
  """A field's value as a file has it: `own` of it, with 3.0 for 3."""
  return own(name, kind, as_written((kind,), value))


def as_written(kinds: tuple[Any, ...], value: Any) -> Any:
  """A value from a file as this version writes it.

  In a table of another program, a column where some rows have no whole number
  holds floats, and NaN may stand for none.

  Args:
    kinds: the field's type, and NoneType after it if it may be None.
    value: from JSON.
  """
  if isinstance(value, float) and len(kinds) > 1 and math.isnan(value):
    return None
  return json_files.as_whole(value) if kinds[:1] == (int,) else value


def _is(kind: type, value: Any) -> bool:
  return isinstance(value, _ACCEPTED[kind]) and not isinstance(value, bool)


def _of_classes(name: str, values: Any) -> OfClasses:
  if not isinstance(values, list | tuple) or not all(
    x is None or _is(float, x) for x in values
  ):
    raise ValueError(f"{name} is {values!r}, not a list of numbers")
  # Not NaN, so that a row equals its read-back copy.
  return tuple(None if x is None or x != x else float(x) for x in values)
