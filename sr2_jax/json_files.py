"""JSON of files that anybody may have changed; no JAX.

`json` raises RecursionError on text that is nested deeply, and gives anything
where an object is expected. Here both are a ValueError.
"""

import json
import os
from typing import Any

from sr2_jax import files

# The files that are read whole have some thousand bytes, and few levels.
_MOST_BYTES = 100_000_000
_DEEPEST = 50
_MOST_DIGITS = 20


def parse(text: str | bytes) -> Any:
  """What JSON says.

  Raises:
    ValueError: it is no JSON, or nested too deeply.
  """
  try:
    found = json.loads(text, parse_int=_integer)
  except RecursionError as error:
    raise ValueError("nested too deeply") from error
  if _is_deep(found):
    raise ValueError("nested too deeply")
  return found


def _integer(digits: str) -> int:
  """A whole number that can be made a float; its digits may be many."""
  if len(digits) > _MOST_DIGITS:
    raise ValueError(f"{digits[:_MOST_DIGITS]}... is too large a number")
  return int(digits)


def read(path: str | os.PathLike[str]) -> Any:
  """What a file of JSON says.

  Raises:
    OSError: as `files.read`.
    ValueError: as `parse`.
  """
  return parse(files.read(path, most=_MOST_BYTES))


def whole(value: Any) -> int:
  """A whole number, also one that a program has written as 3.0.

  Raises:
    ValueError: for anything else.
  """
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise ValueError(f"{value!r} is not a number")
  if isinstance(value, float) and not value.is_integer():
    raise ValueError(f"{value!r} is not a whole number")
  return int(value)


def _is_deep(value: Any) -> bool:
  """Whether values are nested in more levels than any file of ours has."""
  level, depth = [value], 0
  while level and depth <= _DEEPEST:
    level = [
      inner
      for outer in level
      if isinstance(outer, dict | list)
      for inner in (outer.values() if isinstance(outer, dict) else outer)
      if isinstance(inner, dict | list)
    ]
    depth += 1
  return bool(level)
