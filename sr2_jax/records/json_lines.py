"""One JSON object on each line, the form of all logs and rows; no JAX."""

import json
import math
from collections.abc import Mapping
from typing import Any


def dump(fields: Mapping[str, Any]) -> str:
  """One line of JSON; numbers that are not finite become null."""
  finite = {
    name: None
    if isinstance(value, float) and not math.isfinite(value)
    else value
    for name, value in fields.items()
  }
  return json.dumps(finite, allow_nan=False, ensure_ascii=False) + "\n"
