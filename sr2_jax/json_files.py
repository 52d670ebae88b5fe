"""JSON of files that anybody may have changed; no JAX.

`json` raises RecursionError on text that is nested deeply, and gives half
characters ("\\ud800"), which no file can hold. Here both are a ValueError.
"""

import json
import os
import re
from typing import Any

from sr2_jax import files

# The files that are read whole have some thousand bytes, and few levels.
_MOST_BYTES = 100_000_000
_DEEPEST = 50
_MOST_DIGITS = 20
# Half a character, or its escape; two halves that belong together are one.
_HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


def parse(text: str | bytes, *, has_names: bool = False) -> Any:
  """What JSON says.

  Args:
    text: JSON.
    has_names: names of files may be in it, whose bytes are no UTF-8.

  Raises:
    ValueError: it is no JSON, nested too deeply, or has half characters.
  """
  if isinstance(text, bytes):
    text = text.decode(json.detect_encoding(text))
  try:
    found = json.loads(text, parse_int=_integer)
  except RecursionError as error:
    raise ValueError("nested too deeply") from error
  if _is_deep(found):
    raise ValueError("nested too deeply")
  if _HALF.search(text):
    _refuse_halves(found, "surrogateescape" if has_names else "strict")
  return found


def _refuse_halves(found: Any, allowed: str) -> None:
  try:
    json.dumps(found, ensure_ascii=False).encode(errors=allowed)
  except UnicodeEncodeError as error:
    half = ascii(error.object[error.start])
    raise ValueError(f"{half} is half a character") from error


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


def as_whole(value: Any) -> Any:
  """3 for 3.0, as other programs write it; anything else as it is."""
  is_one = isinstance(value, float) and value.is_integer()
  return int(value) if is_one else value


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
