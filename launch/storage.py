"""Whether hosts share a folder and respect each other's locks there."""

import os
from collections.abc import Sequence
from typing import IO

from sr2_jax import file_locks, files

ABSENT, LOCKED, REFUSED = "absent", "locked", "refused"


def lock(path: str | os.PathLike[str]) -> tuple[str, IO[bytes] | None]:
  """What comes of trying to lock a file; the file, which holds the lock."""
  try:
    file = files.open_regular(path, "r+b")
  except OSError:
    return ABSENT, None
  try:
    file_locks.take(file)
  except OSError:
    file.close()
    return REFUSED, None
  return LOCKED, file


def problem(answers: Sequence[str]) -> str:
  """What is wrong where these came of trying one after another; "" if nothing.

  The first one has to get the lock, and to keep it from the others.
  """
  if ABSENT in answers:
    return "is not shared"
  others = [REFUSED] * (len(answers) - 1)
  return "" if [*answers] == [LOCKED, *others] else "has no locks"
