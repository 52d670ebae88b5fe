"""What errors of orbax say, and which it prints for nothing."""

import functools
import os
import re
import sys
from typing import Any

from sr2_jax import files


def system_error(error: Exception) -> tuple[int, str] | None:
  """Number and text of the system's error that TensorStore's message names."""
  code = re.search(r"os_error_code='(\d+)'", str(error))
  return (int(code[1]), os.strerror(int(code[1]))) if code else None


def way_to_room(error: Exception) -> str | None:
  """What helps, if there was no room to write."""
  if isinstance(error, OSError) and error.errno:
    return files.way_to_room(error.errno)
  number, _ = system_error(error) or (None, "")
  return files.way_to_room(number)


def reason(error: Exception) -> str:
  """An error of orbax or of the system in a few words."""
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  if found := system_error(error):
    return found[1]
  lines = str(error).strip().splitlines()
  return lines[0][:200] if lines else type(error).__name__


@functools.cache
def silence_abandoned_work() -> None:
  """Prevents a traceback for each array where one array fails.

  Orbax then closes its event loop, so that TensorStore's answers for the other
  arrays find it closed. The failure itself is still raised.
  """
  before = sys.unraisablehook

  def hook(unraisable: Any) -> None:
    error = unraisable.exc_value
    is_closed = "loop is closed" in str(error)
    if not (isinstance(error, RuntimeError) and is_closed):
      before(unraisable)

  sys.unraisablehook = hook
