"""Files from a bucket to a folder here; no JAX."""

import concurrent.futures
import contextlib
import functools
import hashlib
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from sr2_jax import errors, files
from sr2_jax.buckets import address as address_lib
from sr2_jax.buckets import lists
from sr2_jax.buckets import store as store_lib

# Parts or files that are on their way at once.
AT_ONCE = 4
# In seconds: how long a store that does not answer is asked again.
_PATIENCE, _PAUSE = 60.0, 2.0
# An answer may be cut short on its way.
_READS = 3

T = TypeVar("T")


class IncompleteError(Exception):
  """An object that a list names is gone, or differs."""


def patiently(work: Callable[[], T], url: str) -> T:
  """What a request gives, asked again for a while where the store is away.

  Raises:
    UserError: if it cannot be had.
  """
  until = time.monotonic() + _PATIENCE
  while True:
    try:
      return work()
    except store_lib.StoreError as error:
      if not error.may_pass or time.monotonic() > until:
        raise errors.UserError(
          f"{url} cannot be used: {error}.\n"
          "Check the URL, the credentials of this machine and its network."
        ) from error
    time.sleep(_PAUSE)


def connected(address: address_lib.Address) -> store_lib.Store:
  """The store behind a URL; raises UserError as `patiently` does."""
  return patiently(lambda: store_lib.connect(address), str(address))


def newest(
  store: store_lib.Store,
  folder: pathlib.Path,
  url: str,
  *,
  at_least: int = 0,
  is_wanted: Callable[[str], bool] = lambda name: True,
) -> lists.FileList | None:
  """Brings a folder to the newest complete list, and returns that list.

  Returns None if there is no list. Files that the folder already has, and parts
  of files, are not fetched again. Wanted files that the list does not have are
  deleted.

  Args:
    store: of the folder in the bucket.
    folder: on this machine.
    url: for messages.
    at_least: as `lists.newest_first` has it.
    is_wanted: whether a file is, by its path.

  Raises:
    UserError: if no list is complete, or the store cannot be reached.
    OSError: if a file cannot be written here.
  """
  problem = ""
  # A run may go on meanwhile, and delete what only older lists name.
  for _ in range(3):
    found = patiently(
      lambda: [*lists.newest_first(store, at_least=at_least)], url
    )
    for one in found:
      try:
        _fetch(store, one, folder, url, is_wanted)
      except IncompleteError as error:
        problem = problem or str(error)
        continue
      _keep_only(folder, set(one.files), is_wanted)
      return one
    if not found and not problem:
      return None
  raise errors.UserError(
    f"{url}: incomplete: {problem}.\nRestore that object, or start a new run "
    "with another --workdir."
  )


def exactly(
  store: store_lib.Store, number: int, folder: pathlib.Path, url: str
) -> None:
  """Makes a folder here what a list says.

  Raises:
    UserError: if that list, or a file of it, is gone or cannot be had.
  """
  found = patiently(lambda: lists.read(store, number), url)
  if found is None:
    raise errors.UserError(f"{url}: its list of files {number} is gone.")
  try:
    _fetch(store, found, folder, url, lambda name: True)
  except IncompleteError as error:
    raise errors.UserError(f"{url}: incomplete: {error}.") from error
  _keep_only(folder, set(found.files), lambda name: True)


def _fetch(
  store: store_lib.Store,
  found: lists.FileList,
  folder: pathlib.Path,
  url: str,
  is_wanted: Callable[[str], bool],
) -> None:
  """Brings files; raises IncompleteError if one is not as the list says."""
  wanted = {name: x for name, x in found.files.items() if is_wanted(name)}
  missing = [
    name for name in wanted if not _is_there(folder / name, wanted[name])
  ]

  def bring(name: str) -> None:
    path = folder / name
    _clear_way(path, folder)
    # Another process may fetch the same file.
    with files.replacing(path, shared=True, durable=False) as file:
      for start, part in _places(wanted[name]):
        here = _part_here(path, start, part)
        file.write(
          patiently(functools.partial(_part, store, part), url)
          if here is None
          else here
        )

  with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
    for _ in pool.map(bring, missing):
      pass


def _part(store: store_lib.Store, part: lists.Part) -> bytes:
  for _ in range(_READS):
    try:
      data, _version = store.get(part.key)
    except store_lib.MissingError as error:
      raise IncompleteError(f"{part.key} is gone") from error
    if hashlib.sha256(data).hexdigest() == part.sha256:
      return data
  raise IncompleteError(f"{part.key} is damaged")


def _is_there(path: pathlib.Path, parts: Sequence[lists.Part]) -> bool:
  """Whether a file has the content that its parts are."""
  try:
    if path.is_symlink() or path.stat().st_size != sum(x.size for x in parts):
      return False
  except OSError:
    return False
  return all(
    _part_here(path, start, part) is not None for start, part in _places(parts)
  )


def _part_here(
  path: pathlib.Path, start: int, part: lists.Part
) -> bytes | None:
  """A part, if a file has it there; one that grows has all but the last."""
  try:
    with files.open_regular(path) as file:
      file.seek(start)
      data = file.read(part.size)
  except OSError:
    return None
  return data if hashlib.sha256(data).hexdigest() == part.sha256 else None


def _places(
  parts: Sequence[lists.Part],
) -> Iterator[tuple[int, lists.Part]]:
  """Each part of a file, after the byte at which it starts."""
  start = 0
  for part in parts:
    yield start, part
    start += part.size


def _clear_way(path: pathlib.Path, folder: pathlib.Path) -> None:
  """Deletes a file that stands where a folder has to be, and the reverse."""
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path)
  for parent in path.parents:
    if parent == folder:
      return
    if parent.exists() and not parent.is_dir():
      parent.unlink()


def _keep_only(
  folder: pathlib.Path, kept: set[str], is_wanted: Callable[[str], bool]
) -> None:
  """Deletes wanted files that are not listed, and what a kill left behind."""
  for root, _, names in os.walk(folder, topdown=False):
    place = pathlib.Path(root).relative_to(folder)
    if place.parts and place.parts[0].startswith("."):
      continue
    for name in names:
      inside = (place / name).as_posix()
      is_other = inside not in kept and not inside.startswith(".")
      if is_other and is_wanted(inside):
        (folder / inside).unlink()
    with contextlib.suppress(OSError):
      if place.parts:
        (folder / place).rmdir()  # Only if it is empty.
