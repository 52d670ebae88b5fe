"""Atomic writes that survive a loss of power, and the cache folder; no JAX."""

import contextlib
import io
import os
import pathlib
import secrets
from collections.abc import Iterator

from sr2_jax import paths


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
