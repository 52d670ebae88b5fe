"""Lists of the files that a bucket holds of a folder; no JAX.

A file is stored in parts. Each part is a separate object, and is written only
once. A list names all parts of all files. It is put last, under a number
that no list had before, so that what it names is complete. The newest one
counts.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

from sr2_jax import errors, json_files
from sr2_jax.buckets import store as store_lib

_FOLDER = "lists"
_FORMAT = 1


class Part(NamedTuple):
  """A part of a file: the object that holds it, its sha256 and its bytes."""

  key: str
  sha256: str
  size: int


@dataclasses.dataclass(frozen=True)
class FileList:
  """The files of a folder at a time.

  Attributes:
    number: of the list, from 1.
    session: of the mirror that put it.
    files: the parts of each file, by its path in the folder.
  """

  number: int
  session: str
  files: Mapping[str, tuple[Part, ...]]

  @functools.cached_property
  def keys(self) -> frozenset[str]:
    """The objects that it names."""
    parts = (part for file in self.files.values() for part in file)
    return frozenset(part.key for part in parts)

  @property
  def mark(self) -> tuple[int, str]:
    """What tells it from all other lists."""
    return self.number, self.session

  def encode(self) -> bytes:
    """The object: a line of JSON, and a line with its sha256."""
    line = json.dumps({"format": _FORMAT, **dataclasses.asdict(self)})
    return f"{line}\n{_sha256(line)}\n".encode()

  @classmethod
  def decode(cls, data: bytes) -> Self:
    """Reads an object.

    Raises:
      ValueError: if it is damaged.
      UserError: if a later version of sr2_jax has written it.
    """
    line, _, digest = data.decode(errors="replace").partition("\n")
    if digest.strip() != _sha256(line):
      raise ValueError("its sha256 differs")
    found = json_files.parse(line)
    if found["format"] != _FORMAT:
      raise errors.UserError(
        f"a list of files has the format {found['format']}, which a later "
        "version of sr2_jax has written.\nUse that version."
      )
    files = {
      name: tuple(Part(*part) for part in parts)
      for name, parts in found["files"].items()
    }
    if odd := [name for name in files if not _is_inside(name)]:
      raise ValueError(f"{odd[0]!r} is no file of a run folder")
    return cls(found["number"], found["session"], files)


def key_of(number: int) -> str:
  """The object of a list."""
  return f"{_FOLDER}/{number:08d}.json"


def numbers(store: store_lib.Store) -> list[int]:
  """Numbers of the lists that a store shows, which may be out of date."""
  stems = [
    key.removeprefix(f"{_FOLDER}/").removesuffix(".json")
    for key in store.keys(f"{_FOLDER}/")
  ]
  return sorted(int(stem) for stem in stems if stem.isdigit())


def read(store: store_lib.Store, number: int) -> FileList | None:
  """A list; None if it is missing or damaged."""
  try:
    return FileList.decode(store.get(key_of(number))[0])
  except (store_lib.MissingError, ValueError, LookupError, TypeError):
    return None


def newest_first(
  store: store_lib.Store, *, at_least: int = 0
) -> Iterator[FileList]:
  """The lists that can be read, from the newest.

  Args:
    store: of the folder.
    at_least: a number that the newest has, or an earlier one had. What a store
      shows of its keys may be older.
  """
  shown = {*numbers(store), at_least}
  last = max(shown)
  while read(store, last + 1) is not None:
    last += 1
    shown.add(last)
  for number in sorted(shown, reverse=True):
    found = read(store, number) if number else None
    if found is not None:
      yield found


def _is_inside(name: str) -> bool:
  """Whether a path stays in the folder, and is none of what this machine notes.

  Whoever can write to the bucket could have put any name into a list.
  """
  words = name.split("/")
  return (
    "\0" not in name and ".." not in words and words[0][:1] not in ("", ".")
  )


def _sha256(line: str) -> str:
  return hashlib.sha256(line.encode()).hexdigest()
