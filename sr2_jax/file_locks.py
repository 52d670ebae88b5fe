"""Locks on files, which end with the process that has taken them."""

from typing import IO, Any

try:
  import fcntl
except ImportError:  # Windows.
  fcntl = None

# Without locks two runs would write into one folder.
AVAILABLE = fcntl is not None


def take(file: IO[Any], *, shared: bool = False) -> None:
  """Locks an open file, without waiting; closing it gives the lock back.

  Args:
    file: on whose file the lock is.
    shared: others may have a shared lock at the same time.

  Raises:
    BlockingIOError: another process has locked it.
    OSError: its file system, or this system, has no locks.
  """
  if fcntl is None:
    raise OSError(0, "this system has no locks")
  fcntl.flock(
    file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
  )
