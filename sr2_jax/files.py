"""Atomic writes that survive a loss of power, and the cache folder; no JAX."""

import contextlib
import fcntl
import io
import os
import pathlib
import secrets
import time
from collections.abc import Callable, Iterator
from typing import IO

from sr2_jax import paths

_SECONDS_BETWEEN_LOOKS = 0.2


@contextlib.contextmanager
def replacing(
  path: str | os.PathLike[str], *, shared: bool = False, durable: bool = True
) -> Iterator[io.BufferedRandom]:
  """A new file, to write and read, that replaces the old one at the end.

  At any time the path holds the complete old or new file. An error in the
  block, or a kill, leaves the old one.

  Args:
    path: the file; its folder is created if missing.
    shared: several processes may write it at once; the last one to finish wins.
      Each has a temporary file of its own, which a kill leaves behind. Without
      `shared` its name is fixed, and the next write reuses it.
    durable: wait until it survives a loss of power, which takes some time.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  own = f".{secrets.token_hex(8)}" if shared else ""
  temporary = path.with_name(f"{path.name}{own}.tmp")
  try:
    with temporary.open("w+b") as file:
      yield file
      file.flush()
      if durable:
        os.fsync(file.fileno())
    temporary.replace(path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise
  if durable:
    sync_folder(path.parent)


def write_atomically(
  path: str | os.PathLike[str], data: bytes, *, shared: bool = False
) -> None:
  """Replaces a file on disk; a kill leaves the complete old or new one."""
  with replacing(path, shared=shared) as file:
    file.write(data)


def sync_folder(path: pathlib.Path) -> None:
  """Makes the names of new files in a folder survive a loss of power."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


@contextlib.contextmanager
def one_at_a_time(
  path: pathlib.Path, on_wait: Callable[[], None]
) -> Iterator[None]:
  """Waits until no other process is in such a block, of all hosts.

  Where the file cannot be locked, nobody waits. It is gone afterwards, so
  another process may come in by a new one: who comes in has to look whether the
  work is done.

  Args:
    path: a file for the lock; its folder is created if missing.
    on_wait: called once, if there is somebody to wait for.
  """
  with contextlib.ExitStack() as stack:
    try:
      path.parent.mkdir(parents=True, exist_ok=True)
      file = stack.enter_context(path.open("a"))
    except OSError:
      yield
      return
    has_to_wait = False
    while not _is_locked(file):
      if not has_to_wait:
        on_wait()
      has_to_wait = True
      # Not by a lock that blocks: signals are heeded between two looks.
      time.sleep(_SECONDS_BETWEEN_LOOKS)
    try:
      yield
    finally:
      with contextlib.suppress(OSError):
        path.unlink()


def _is_locked(file: IO[str]) -> bool:
  """Whether this process has locked a file now, or nobody can."""
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  except OSError:
    pass  # Its file system has no locks.
  return True


def cache_folder(name: str) -> pathlib.Path:
  """This machine's cache folder called `name` ("data", "xla").

  It is for what can be made again at any time, and may not exist yet. It is in
  $SR2_JAX_CACHE_DIR, else in $XDG_CACHE_HOME/sr2_jax, else in ~/.cache/sr2_jax.
  An empty variable counts as unset.
  """
  if chosen := os.environ.get("SR2_JAX_CACHE_DIR"):
    base = pathlib.Path(paths.local(chosen, "SR2_JAX_CACHE_DIR"))
  elif shared := os.environ.get("XDG_CACHE_HOME"):
    base = pathlib.Path(paths.local(shared, "XDG_CACHE_HOME")) / "sr2_jax"
  else:
    base = pathlib.Path("~/.cache/sr2_jax")
  return base.expanduser() / name
