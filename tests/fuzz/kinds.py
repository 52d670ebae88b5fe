"""Kinds of changes: to a file's bytes and lines, and to what it is at all.

A kind draws its arguments for a path, so that a case can say them, and changes
the path by them. `KINDS` has those of `json_kinds`, `array_kinds` and
`image_kinds` as well.
"""

import contextlib
import os
import pathlib
import random
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from tests.fuzz import array_kinds, image_kinds, json_kinds

# The folder beside the target's, of which nothing may change; and one to which
# a user may have moved a part.
GUARD, ELSEWHERE = "guard", "elsewhere"

_OF_ALL = ("file", "place", "kind")
# Parts of names that are other ones each time. How many files have such a name,
# and how large they are, is then random as well.
_RANDOM = re.compile(r"\b[0-9a-f]{16,}\b")
# A place, byte or line is drawn from as many and counted around, as a file is
# longer on another machine.
_MANY = 2**20

Arguments = Mapping[str, Any]


class Kind(NamedTuple):
  """A kind of change.

  Attributes:
    draw: arguments for a path, or None if this is nothing for it.
    change: changes the path.
  """

  draw: Callable[[random.Random, pathlib.Path], Arguments | None]
  change: Callable[..., None]


def change(root: pathlib.Path, changes: Iterable[Mapping[str, Any]]) -> None:
  """Makes the changes of a case below a folder.

  One that an earlier one is in the way of is left out.
  """
  found = [
    (_found(root, asked["file"], asked.get("place", 0)), asked)
    for asked in changes
  ]
  for path, asked in found:
    kind = KINDS[asked["kind"]]
    if _is_lost(root, path) or kind.draw(random.Random(0), path) is None:
      continue
    arguments = {x: y for x, y in asked.items() if x not in _OF_ALL}
    if kind in _OF_PLACES:
      arguments["root"] = root
    kind.change(path, **arguments)


def files(root: pathlib.Path) -> list[str]:
  """What can be changed below a folder; names that are random are one."""
  found = (x for x in root.rglob("*") if x.name != ".lock")
  return sorted({_of(root, path) for path in found})


def _found(root: pathlib.Path, file: str, place: int) -> pathlib.Path:
  found = _all(root, file) if "*" in file else []
  return found[place % len(found)] if found else root / file


def _all(root: pathlib.Path, pattern: str) -> list[pathlib.Path]:
  """Paths that match, the largest first: it has most of the data."""
  found = [path for path in root.glob(pattern) if _of(root, path) == pattern]
  return sorted(found, key=lambda path: (-path.lstat().st_size, path))


def _of(root: pathlib.Path, path: pathlib.Path) -> str:
  return _RANDOM.sub("*", path.relative_to(root).as_posix())


def _is_lost(root: pathlib.Path, path: pathlib.Path) -> bool:
  """Whether a path is gone by now, leads elsewhere or may not be changed."""
  parts = [x for x in (path, *path.parents) if x.is_relative_to(root)]
  return any(map(os.path.islink, parts)) or not (
    os.access(path, os.R_OK | os.W_OK)
    and os.access(path.parent, os.W_OK | os.X_OK)
  )


def draw(rng: random.Random, root: pathlib.Path, file: str) -> dict[str, Any]:
  """A change of one of `files`; half of them know what is in it."""
  named = {"file": file}
  if "*" in file:
    named["place"] = rng.randrange(_MANY)
  path = _found(root, file, named.get("place", 0))
  aware = [name for name in _AWARE if KINDS[name].draw(rng, path) is not None]
  while True:
    name = rng.choice(aware if aware and rng.random() < 0.5 else list(KINDS))
    arguments = KINDS[name].draw(rng, path)
    if arguments is not None:
      return {**named, "kind": name, **arguments}


def _of_a_file(rng: random.Random, path: pathlib.Path) -> Arguments | None:
  return {} if path.is_file() else None


def _of_anything(rng: random.Random, path: pathlib.Path) -> Arguments:
  return {}


def _of_a_folder(rng: random.Random, path: pathlib.Path) -> Arguments | None:
  return {} if path.is_dir() else None


def _a_place(rng: random.Random, path: pathlib.Path) -> Arguments | None:
  if not path.is_file() or not path.stat().st_size:
    return None
  # Headers are where it matters most.
  return {"at": rng.randrange(rng.choice((16, 256, _MANY)))}


def _a_bit(rng: random.Random, path: pathlib.Path) -> Arguments | None:
  place = _a_place(rng, path)
  return place and {**place, "bit": rng.randrange(8)}


def _a_line(rng: random.Random, path: pathlib.Path) -> Arguments | None:
  if not path.is_file() or path.suffix in (".npz", ".png", ".safetensors"):
    return None
  return {"line": rng.randrange(_MANY)} if path.stat().st_size else None


def _a_sibling(rng: random.Random, path: pathlib.Path) -> Arguments | None:
  others = [x for x in sorted(path.parent.iterdir()) if x != path]
  others = [
    x.name
    for x in others
    if x.is_dir() == path.is_dir() and not _RANDOM.search(x.name)
  ]
  return {"with": rng.choice(others)} if others else None


def _halves(path: pathlib.Path, at: int) -> tuple[bytes, bytes]:
  """What is before a byte of a file, and the rest with that byte."""
  data = path.read_bytes()
  at %= max(1, len(data))
  return data[:at], data[at:]


def _flip(path: pathlib.Path, *, at: int, bit: int) -> None:
  before, rest = _halves(path, at)
  if rest:
    path.write_bytes(before + bytes([rest[0] ^ 1 << bit]) + rest[1:])


def _cut(path: pathlib.Path, *, at: int) -> None:
  path.write_bytes(_halves(path, at)[0])


def _zeros(path: pathlib.Path, *, at: int) -> None:
  """What a loss of power may leave of a file."""
  before, rest = _halves(path, at)
  path.write_bytes(before + bytes(len(rest)))


def _insert(path: pathlib.Path, *, at: int) -> None:
  before, rest = _halves(path, at)
  path.write_bytes(before + b"\xff\x00[" + rest)


def _line(
  path: pathlib.Path, *, line: int, by: Callable[[bytes], bytes]
) -> None:
  lines = path.read_bytes().splitlines(keepends=True)
  if lines:
    lines[line % len(lines)] = by(lines[line % len(lines)])
  path.write_bytes(b"".join(lines))


def _remove(path: pathlib.Path) -> None:
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path)
  else:
    path.unlink()


def _instead(make: Callable[[pathlib.Path], object]) -> Callable[..., None]:
  def change(path: pathlib.Path) -> None:
    _remove(path)
    make(path)

  return change


def _partner(path: pathlib.Path, name: str) -> pathlib.Path:
  """What is beside a path; its name may be a pattern, as that is random."""
  return next(iter(sorted(path.parent.glob(name))), path.with_name(name))


def _swap(path: pathlib.Path, **arguments: str) -> None:
  other = _partner(path, arguments["with"])
  if os.path.lexists(other):
    between = path.with_name(f"{path.name}.swap")
    path.rename(between)
    other.rename(path)
    between.rename(other)


def _copy(path: pathlib.Path, **arguments: str) -> None:
  other = _partner(path, arguments["with"])
  if not os.path.lexists(other):
    return
  _remove(path)
  # An earlier change may have left there what cannot be copied.
  with contextlib.suppress(OSError):
    if other.is_dir():
      shutil.copytree(other, path, symlinks=True)
    else:
      shutil.copyfile(other, path)


def _link_outside(path: pathlib.Path, *, root: pathlib.Path) -> None:
  suffix = path.suffix if path.suffix in (".npz", ".jsonl", ".json") else ".txt"
  _remove(path)
  path.symlink_to(root.parent / GUARD / f"other{suffix}")


def _move_outside(path: pathlib.Path, *, root: pathlib.Path) -> None:
  to = root.parent / ELSEWHERE / path.name
  to.parent.mkdir(exist_ok=True)
  shutil.move(path, to)
  path.symlink_to(to)


def _full_folder(path: pathlib.Path) -> None:
  path.mkdir()
  (path / "file").write_text("in the way")


_LINK_OUTSIDE = Kind(_of_a_file, _link_outside)
_MOVE_OUTSIDE = Kind(_of_anything, _move_outside)
# They have to know the folder that a path is in.
_OF_PLACES = (_LINK_OUTSIDE, _MOVE_OUTSIDE)

# Those that know what is in a file.
_AWARE = {**json_kinds.KINDS, **array_kinds.KINDS, **image_kinds.KINDS}
KINDS: dict[str, Kind] = {
  "flip": Kind(_a_bit, _flip),
  "cut": Kind(_a_place, _cut),
  "zeros": Kind(_a_place, _zeros),
  "insert": Kind(_a_place, _insert),
  "empty": Kind(_of_a_file, lambda path: path.write_bytes(b"")),
  "append": Kind(
    _of_a_file, lambda path: path.write_bytes(path.read_bytes() + b"\x00{\xff")
  ),
  "twice": Kind(
    _of_a_file, lambda path: path.write_bytes(path.read_bytes() * 2)
  ),
  "utf-16": Kind(
    _of_a_file,
    lambda path: path.write_bytes(
      path.read_bytes().decode("latin-1").encode("utf-16")
    ),
  ),
  "mark": Kind(
    _of_a_file,
    lambda path: path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes()),
  ),
  "crlf": Kind(
    _of_a_file,
    lambda path: path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n")),
  ),
  "double line": Kind(
    _a_line, lambda path, line: _line(path, line=line, by=lambda x: x + x)
  ),
  "drop line": Kind(
    _a_line, lambda path, line: _line(path, line=line, by=lambda x: b"")
  ),
  "empty line": Kind(
    _a_line, lambda path, line: _line(path, line=line, by=lambda x: b"\n" + x)
  ),
  "half a line": Kind(
    _a_line,
    lambda path, line: _line(path, line=line, by=lambda x: x[: len(x) // 2]),
  ),
  "delete": Kind(_of_anything, _remove),
  "swap": Kind(_a_sibling, _swap),
  "copy": Kind(_a_sibling, _copy),
  "folder": Kind(_of_a_file, _instead(pathlib.Path.mkdir)),
  "full folder": Kind(_of_a_file, _instead(_full_folder)),
  "file": Kind(_of_a_folder, _instead(lambda path: path.write_text("odd"))),
  "empty folder": Kind(_of_a_folder, _instead(pathlib.Path.mkdir)),
  "fifo": Kind(_of_anything, _instead(os.mkfifo)),
  "dangling link": Kind(
    _of_anything, _instead(lambda path: path.symlink_to("nowhere"))
  ),
  "loop": Kind(_of_anything, _instead(lambda path: path.symlink_to(path.name))),
  "null device": Kind(
    _of_a_file, _instead(lambda path: path.symlink_to("/dev/null"))
  ),
  "no permission": Kind(_of_anything, lambda path: path.chmod(0)),
  "read only": Kind(_of_anything, lambda path: path.chmod(0o555)),
  "pickle": Kind(_of_a_file, array_kinds.write_pickle),
  "link outside": _LINK_OUTSIDE,
  "move outside": _MOVE_OUTSIDE,
  **{name: Kind(*x) for name, x in _AWARE.items()},
}

# What leaves nothing that could be read.
TAKE_AWAY = frozenset((
  "delete", "empty folder", "folder", "full folder", "file", "fifo", "loop",
  "dangling link", "null device", "link outside", "swap", "copy",
))  # fmt: skip
