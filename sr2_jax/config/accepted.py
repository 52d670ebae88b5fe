"""Kinds of values that config fields accept."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from sr2_jax import json_files, names

LARGEST_FLOAT32 = 3.4028234663852886e38
# Values of a list: networks or levels that are computed side by side, and
# times that come one after another.
_MOST_VALUES, _MOST_TIMES = 100, 1000


@dataclasses.dataclass(frozen=True)
class Check:
  """The values that a field accepts.

  Attributes:
    expected: these in words, as in "has to be ...".
    accepts: whether a value is one of these.
    is_whole: whether numbers in it have to be integers; in most lists they may
      be floats, as a command line makes them.
  """

  expected: str
  accepts: Callable[[Any], bool]
  is_whole: bool = False

  def as_written(self, value: Any) -> Any:
    """A value from a file, where other programs write 3.0 for 3."""
    if isinstance(value, list):
      return [self.as_written(item) for item in value]
    return json_files.as_whole(value) if self.is_whole else value


def boolean() -> Check:
  """True or false."""
  return Check("true or false", lambda value: isinstance(value, bool))


def _is_number(value: Any, kind: type | tuple[type, ...]) -> bool:
  return isinstance(value, kind) and not isinstance(value, bool)


def integer(minimum: int, maximum: int) -> Check:
  """A whole number between bounds, which are accepted."""
  return Check(
    f"a whole number from {minimum} to {maximum}",
    lambda value: _is_number(value, int) and minimum <= value <= maximum,
    is_whole=True,
  )


def _up_to(most: float) -> Callable[[Any], bool]:
  # NaN fails the comparison; infinity and huge integers exceed the bound.
  return lambda value: _is_number(value, (int, float)) and 0 <= value <= most


def at_least_zero() -> Check:
  """A number >= 0 that float32 holds."""
  return Check("a number from 0 to 3.4e38", _up_to(LARGEST_FLOAT32))


def number(interval: str) -> Check:
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


def text(pattern: str, expected: str) -> Check:
  """Text that matches a pattern, which `expected` says in words."""
  return Check(
    expected,
    lambda value: (
      isinstance(value, str) and re.fullmatch(pattern, value) is not None
    ),
  )


def _either(*choices: str) -> str:
  return " or ".join(f'"{choice}"' for choice in choices)


def choice(*choices: str) -> Check:
  """One of some words."""
  return Check(
    _either(*choices),
    # Of an array, "in" would ask every number.
    lambda value: isinstance(value, str) and value in choices,
  )


def _are_distinct(
  values: Any,
  accepts: Callable[[Any], bool],
  *,
  minimum: int = 1,
  maximum: int = _MOST_VALUES,
) -> bool:
  return (
    isinstance(values, (tuple, list))
    and minimum <= len(values) <= maximum
    and all(accepts(value) for value in values)
    # Names and tables have six digits of a number, and rows compare as many.
    and len({x if isinstance(x, str) else f"{x:g}" for x in values})
    == len(values)
  )


def numbers(most: float) -> Check:
  """Different numbers from 0 to a bound."""
  return Check(
    f"one or more different numbers from 0 to {most:g}, at most "
    f"{_MOST_VALUES}, as in 0.11,9",
    lambda values: _are_distinct(values, _up_to(most)),
  )


def levels(corruption: names.Corruption) -> Check:
  """Any number of levels of a corruption, all different."""
  in_interval = number(corruption.levels)

  def accepts(value: Any) -> bool:
    # On a command line every number in a tuple becomes a float.
    return in_interval.accepts(value) and (
      not corruption.whole_levels or value == int(value)
    )

  kind = "whole numbers" if corruption.whole_levels else "numbers"
  return Check(
    f"different {kind} in {corruption.levels}, at most {_MOST_VALUES}, as in "
    "1,10, or none",
    lambda values: _are_distinct(values, accepts, minimum=0),
  )


def numbers_with_zero(most: float) -> Check:
  """Different numbers from 0 to a bound, and 0."""
  return Check(
    f"different numbers from 0 to {most:g}, at most {_MOST_VALUES}, one of "
    "them 0, as in 0,1e-4",
    lambda values: _are_distinct(values, _up_to(most)) and 0 in values,
  )


def counts(most: int) -> Check:
  """Different whole numbers from 1 to a bound, or none."""
  # On a command line every number in a tuple becomes a float.
  return Check(
    f"different whole numbers from 1 to {most}, at most {_MOST_TIMES}, as in "
    "1,10, or none",
    lambda values: _are_distinct(
      values,
      lambda value: _up_to(most)(value) and value == int(value) >= 1,
      minimum=0,
      maximum=_MOST_TIMES,
    ),
  )


def first_and_last(most: int) -> Check:
  """A first and a last step up to a bound, or none."""
  whole = counts(most)
  return Check(
    f"a first and a last step from 1 to {most}, as in 100,110, or none",
    lambda values: (
      isinstance(values, (tuple, list))
      and len(values) in (0, 2)
      and all(whole.accepts((value,)) for value in values)
      and sorted(values) == list(values)
    ),
  )


def choices(*choices: str) -> Check:
  """Some of these words, each once."""
  return Check(
    f"one or more of {_either(*choices)}, each once, as in {','.join(choices)}",
    lambda values: _are_distinct(values, lambda value: value in choices),
  )
