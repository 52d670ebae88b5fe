"""The files of a run folder at a moment, while the run goes on; no JAX.

A file that is replaced or deleted later is still there under a second name. A
file that grows counts up to the length that it had.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping

# How a file is known to be as it was.
Stamp = tuple[int, int, int]
# Beside a file that is being written, and folders of orbax.
_UNFINISHED = re.compile(r".*\.tmp|.*\.orbax-checkpoint-tmp.*")


@dataclasses.dataclass(frozen=True)
class Frozen:
  """A file as it was.

  Attributes:
    path: where its bytes are.
    size: in bytes; what is behind came later.
    stamp: two that are equal are of the same bytes.
  """

  path: pathlib.Path
  size: int
  stamp: Stamp


def is_saving(folder: pathlib.Path) -> bool:
  """Whether a checkpoint is being written there."""
  return any(
    _UNFINISHED.fullmatch(path.name)
    for path in folder.glob("checkpoints/*/*/*")
  )


def everything(_: str) -> bool:
  """Whether a file is mirrored, by its path: each is."""
  return True


@contextlib.contextmanager
def of(
  folder: pathlib.Path,
  room: pathlib.Path,
  is_part: Callable[[str], bool] = everything,
) -> Iterator[dict[str, Frozen]]:
  """The files of a folder, by their paths in it, as long as the block lasts.

  Checkpoints come first: what else a run needs to go on from one is on disk
  before it. Of these, the last state comes before the best weights, which may
  be newer but never older.

  Args:
    folder: of the run.
    room: a folder in the same file system, for second names.
    is_part: whether a file is mirrored, by its path.

  Raises:
    FileNotFoundError: if a file went away; take another one.
  """
  shutil.rmtree(room, ignore_errors=True)
  try:
    yield {
      name: _freeze(folder / name, room / str(number))
      for number, name in enumerate(filter(is_part, names(folder)))
    }
  finally:
    shutil.rmtree(room, ignore_errors=True)


def names(folder: pathlib.Path) -> list[str]:
  """Paths in a folder of all files that are mirrored, in their order.

  Names that begin with a dot, and files that are being written, are left out.
  """
  found = []
  for root, folders, files in os.walk(folder):
    folders[:] = [x for x in folders if _is_mirrored(x)]
    place = pathlib.Path(root).relative_to(folder)
    found += [
      (place / x).as_posix()
      for x in files
      if _is_mirrored(x) and (folder / place / x).is_file()
    ]
  return sorted(found, key=_order)


def stamps(files: Mapping[str, Frozen]) -> dict[str, Stamp]:
  """The stamp of each file."""
  return {name: frozen.stamp for name, frozen in files.items()}


def stamp(path: pathlib.Path) -> Stamp:
  """The stamp of a file as it is now."""
  found = path.stat()
  return found.st_ino, found.st_size, found.st_mtime_ns


def _is_mirrored(name: str) -> bool:
  return not name.startswith(".") and not _UNFINISHED.fullmatch(name)


def _order(name: str) -> tuple[int, str]:
  words = name.split("/")
  if words[0] != "checkpoints":
    return 2, name
  return int("last" not in words[2:3]), name


def _freeze(path: pathlib.Path, second: pathlib.Path) -> Frozen:
  try:
    second.parent.mkdir(parents=True, exist_ok=True)
    os.link(path.resolve(), second)
  except FileNotFoundError:
    raise
  except OSError:
    # No room for a name, or no such names there. If it is replaced while it is
    # read, the next snapshot has it.
    second = path
  known = stamp(second)
  return Frozen(second, known[1], known)
