"""One JSON object on each line, the form of all logs and rows; no JAX."""

import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from sr2_jax import errors, files, json_files


def dump(fields: Mapping[str, Any]) -> str:
  """One line of JSON; numbers that are not finite become null."""
  finite = {
    name: None
    if isinstance(value, float) and not math.isfinite(value)
    else value
    for name, value in fields.items()
  }
  return json.dumps(finite, allow_nan=False, ensure_ascii=False) + "\n"


def read_lines(path: pathlib.Path) -> list[bytes]:
  """The lines of a file, none if there is no such file; they may be damaged.

  Raises:
    UserError: if it cannot be read.
  """
  try:
    return files.read(path).splitlines()
  except FileNotFoundError:
    return []
  except OSError as error:
    raise errors.UserError(
      f"{path}: cannot be read ({files.in_words(error)})."
    ) from error


def parse(line: str | bytes) -> dict[str, Any]:
  """The object on a line.

  Raises:
    ValueError: it is damaged.
  """
  found = json_files.parse(line)
  if not isinstance(found, dict):
    raise ValueError("not a JSON object")
  return found
