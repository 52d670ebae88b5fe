"""Files that are what they should be, atomic writes, the cache folder; no JAX.

Nothing here waits for the other end of a pipe, or writes where a link leads.
"""

import collections
import contextlib
import errno
import io
import itertools
import os
import pathlib
import secrets
import stat
import time
import typing
from collections.abc import Callable, Iterator
from typing import IO

from sr2_jax import errors, file_locks, paths

# Nothing more can be written, and what helps.
_NO_ROOM = {
  errno.ENOSPC: "Make room",
  errno.EDQUOT: "Make room",
  errno.EFBIG: "Allow larger files (ulimit -f)",
}
_SECONDS_BETWEEN_LOOKS = 0.2
_KINDS = {
  stat.S_IFDIR: "a folder",
  stat.S_IFIFO: "a FIFO",
  stat.S_IFSOCK: "a socket",
  stat.S_IFCHR: "a device",
  stat.S_IFBLK: "a device",
  stat.S_IFLNK: "a link",
}


def not_a_file(mode: int) -> str | None:
  """What a `st_mode` says that something is, if it is no file."""
  return _KINDS.get(stat.S_IFMT(mode))


def open_regular(
  path: str | os.PathLike[str], mode: str = "rb", *, buffering: int = -1
) -> io.BufferedRandom:
  """A file, opened as `open` does; a link is followed only to read.

  Args:
    path: the file.
    mode: of `open`, with "b".
    buffering: of `open`.

  Raises:
    OSError: as `open`; or says what it is instead of a file, such as a FIFO.
  """

  def opener(name: str, flags: int) -> int:
    look = os.stat
    if flags & os.O_ACCMODE != os.O_RDONLY:
      flags, look = flags | os.O_NOFOLLOW, os.lstat
    # Without O_NONBLOCK, a FIFO would be waited for.
    try:
      descriptor = os.open(name, flags | os.O_NONBLOCK, 0o666)
    except OSError:
      with contextlib.suppress(FileNotFoundError):
        _refuse_others(look(name).st_mode, name)
      raise
    try:
      _refuse_others(os.fstat(descriptor).st_mode, name)
    except OSError:
      os.close(descriptor)
      raise
    return descriptor

  return typing.cast(
    io.BufferedRandom, open(path, mode, buffering, opener=opener)
  )


def open_to_append(
  path: str | os.PathLike[str], *, buffering: int = -1
) -> io.BufferedRandom:
  """A file, opened to read it and to append to it.

  If it has another name as well, as in a copy of a folder that consists of hard
  links, this name gets a file of its own, and the other stays as it is.

  Raises:
    OSError: as `open_regular`.
  """
  file = open_regular(path, "a+b", buffering=buffering)
  if os.fstat(file.fileno()).st_nlink > 1:
    file.close()
    write_atomically(path, read(path))
    file = open_regular(path, "a+b", buffering=buffering)
  return file


def _refuse_others(mode: int, name: str) -> None:
  kind = not_a_file(mode)
  if kind is not None:
    raise OSError(errno.EINVAL, f"it is {kind}, not a file", name)


def read(path: str | os.PathLike[str], *, most: int | None = None) -> bytes:
  """The bytes of a file.

  Args:
    path: the file.
    most: of them that are read; None: no limit.

  Raises:
    OSError: as `open_regular`; or it is larger, or memory does not hold it.
  """
  with open_regular(path) as file:
    size = os.fstat(file.fileno()).st_size
    if most is not None and size > most:
      problem = f"it has {size:,} bytes; at most {most:,} make sense"
      raise OSError(errno.EINVAL, problem, os.fspath(path))
    try:
      return file.read()
    except MemoryError as error:
      problem = f"its {size:,} bytes do not fit into memory"
      raise OSError(errno.ENOMEM, problem, os.fspath(path)) from error


def in_words(error: Exception) -> str:
  """What went wrong with a file, for a message that names the file."""
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  return errors.reason(error)


def way_to_room(number: int | None) -> str | None:
  """What helps against an error of the system, if there is no room to write.

  Args:
    number: its `errno`; None: it is none of the system's.
  """
  return _NO_ROOM.get(number or 0)


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
  """Names a file in the error of a write to it, as the system does not."""
  try:
    yield
  except OSError as error:
    if error.filename is None and error.errno in (*_NO_ROOM, errno.EIO):
      error.filename = os.fspath(path)
    raise


def below(
  root: str | os.PathLike[str],
  *,
  once: bool = False,
  on_error: Callable[[OSError], None] | None = None,
) -> Iterator[pathlib.Path]:
  """All files below a folder, in any order.

  Links to folders are followed, but not back to where they are. Those in a
  folder that a link has led to are followed only to what is new, so that links
  across many folders come to an end.

  Args:
    root: the folder.
    once: go into no folder twice, though several links lead there.
    on_error: called with what cannot be read; None: it is left out.
  """
  entered: set[str] = set()
  # Links wait: a folder is first found under its own name.
  waiting = collections.deque([(pathlib.Path(root), once)])
  while waiting:
    start, only_new = waiting.popleft()
    if only_new and os.path.realpath(start) in entered:
      continue
    for folder, folders, names in os.walk(start, onerror=on_error):
      here = pathlib.Path(folder)
      above = {os.path.realpath(path) for path in (here, *here.parents)}
      entered.add(os.path.realpath(here))
      real = []
      for name in sorted(folders):
        target = os.path.realpath(here / name)
        # Path.is_symlink raises where a folder may not be looked into.
        if not os.path.islink(here / name):
          real += [] if only_new and target in entered else [name]
        elif target not in above:
          waiting.append((here / name, once or start != pathlib.Path(root)))
      folders[:] = real
      yield from (here / name for name in names)


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
  # Whatever is there, a kill has left it; a link could lead anywhere.
  temporary.unlink(missing_ok=True)
  try:
    with naming(path), temporary.open("x+b") as file:
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


def set_aside(path: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
  """Moves something to a free name, and returns where it is then.

  Args:
    path: of a file or folder.
    target: where to, in a folder that is created if missing. If it is taken,
      a number follows its name.

  Raises:
    OSError: also if that folder is a link, which could lead anywhere.
  """
  target.parent.mkdir(exist_ok=True)
  if target.parent.is_symlink():
    raise OSError(errno.ELOOP, "it is a link, not a folder", str(target.parent))
  first, numbers = target, itertools.count(2)
  while os.path.lexists(target):
    target = first.with_name(f"{first.name}_{next(numbers)}")
  path.rename(target)
  return target


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
      file = stack.enter_context(open_regular(path, "ab"))
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


def _is_locked(file: IO[bytes]) -> bool:
  """Whether this process has locked a file now, or nobody can."""
  try:
    file_locks.take(file)
  except BlockingIOError:
    return False
  except OSError:
    pass  # There are no locks.
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
    base = pathlib.Path(paths.local("~/.cache/sr2_jax", "SR2_JAX_CACHE_DIR"))
  return base / name
