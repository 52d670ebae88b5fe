"""A sweep whose folder is in a bucket: no host needs to share one.

Each run mirrors its own folder. The sweep mirrors the files beside those: its
events, speeds and the logs of its runs.
"""

import concurrent.futures
import contextlib
import functools
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

from sr2_jax import files
from sr2_jax.buckets import address as address_lib
from sr2_jax.buckets import fetch, lists, owner, sending, state
from sr2_jax.buckets import store as store_lib
from sr2_jax.records import folder as folder_lib

# Seconds between two looks at what is new beside the runs.
_EVERY = 60.0
# Runs that are asked for at once.
_AT_ONCE = 8
# What says how far a run has come.
_OF_PROGRESS = ("config.json", "metrics.jsonl", "timing.jsonl", "DONE")


def local(workdir: str) -> pathlib.Path:
  """The folder of a sweep on this machine; the run folders are in it."""
  if not address_lib.is_url(workdir):
    return pathlib.Path(workdir)
  return address_lib.scratch(address_lib.parse(workdir, "--workdir"))


def bring(url: str, *, is_remote: bool = False) -> pathlib.Path:
  """Has what the bucket says of a sweep and of its runs on this machine.

  Args:
    url: of the folder of all run folders.
    is_remote: whether the runs are at work on other machines. What is known of
      them is then in a folder of its own, which no run works in.

  Returns:
    The folder of the run folders on this machine.

  Raises:
    UserError: if it cannot be had.
  """
  address = address_lib.parse(url, "--workdir")
  store = fetch.connected(address)
  _refresh(store, address, is_of_the_sweep)
  names = {*fetch.patiently(store.folders, url)} - {address_lib.MIRROR}
  if is_remote:
    _drop_others(address_lib.record(address), names)
  with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
    for _ in pool.map(
      lambda name: _bring_run(address.below(name), is_remote), sorted(names)
    ):
      pass
  return (address_lib.record if is_remote else address_lib.scratch)(address)


def _bring_run(address: address_lib.Address, is_remote: bool) -> None:
  if is_remote:
    Record(str(address)).bring(is_over=True)
  else:
    _refresh(fetch.connected(address), address, is_of_progress)


def _drop_others(folder: pathlib.Path, names: set[str]) -> None:
  """Deletes the records of runs that the bucket no longer has."""
  with contextlib.suppress(FileNotFoundError):
    for path in folder.iterdir():
      if path.is_dir() and path.name not in names:
        _forget(path)
        # Or it would look as if there were such a run.
        with contextlib.suppress(OSError):
          path.rmdir()


def _forget(record: pathlib.Path) -> None:
  """Deletes what says how far a run has come."""
  for name in _OF_PROGRESS:
    (record / name).unlink(missing_ok=True)


class Record:
  """What this machine knows of a run that others work on: a few small files.

  Args:
    url: of the run folder.

  Attributes:
    folder: that has them.
  """

  def __init__(self, url: str) -> None:
    self._address = address_lib.parse(url, "--workdir")
    self.folder = address_lib.record(self._address)
    self._number = 0

  @functools.cached_property
  def _store(self) -> store_lib.Store:
    return fetch.connected(self._address)

  def bring(
    self, *, is_over: bool = False, gone: tuple[str, int] | None = None
  ) -> None:
    """Brings what the bucket says; only if its owner names a later list.

    Args:
      is_over: whether the run has ended; then the lists are looked at.
      gone: host and id of a process that was perhaps the owner, and that has
        ended for certain. The next one need not wait for it.

    Raises:
      UserError: if it cannot be had.
      OSError: if it cannot be written.
    """
    url = str(self._address)
    found = fetch.patiently(lambda: owner.read(self._store)[0], url)
    number = owner.last_list(found)
    if is_over or number != self._number:
      self._bring_files(number)
      self._number = number
    if gone is not None:
      fetch.patiently(lambda: owner.release_for(self._store, *gone), url)

  def _bring_files(self, at_least: int) -> None:
    """Has what the newest list says; nothing if there is none."""
    # --status may look as well.
    with files.one_at_a_time(self.folder / ".fetching", lambda: None):
      found = fetch.newest(
        self._store,
        self.folder,
        str(self._address),
        at_least=at_least,
        is_wanted=is_of_progress,
      )
      if found is None:
        _forget(self.folder)


def owners(url: str, names: Sequence[str]) -> dict[str, owner.Seen]:
  """Who works on the runs of a sweep, on whatever machine.

  Args:
    url: of the folder of all run folders.
    names: of the runs.

  Raises:
    UserError: if it cannot be had.
  """
  address = address_lib.parse(url, "--workdir")

  def look(name: str) -> owner.Seen | None:
    store = fetch.connected(address.below(name))
    return fetch.patiently(lambda: owner.seen(store), url)

  with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
    found = zip(names, pool.map(look, names), strict=True)
  return {name: one for name, one in found if one is not None}


@contextlib.contextmanager
def claimed(workdir: str) -> Iterator[None]:
  """Keeps other sweeps out of a folder; a bucket gets what is new there.

  Raises:
    FolderInUseError: if another live sweep has claimed it.
    UserError: if it cannot be used, or is not mirrored at the end.
  """
  folder = folder_lib.RunFolder(local(workdir))
  with contextlib.ExitStack() as stack:
    stack.enter_context(folder.claim())
    if address_lib.is_url(workdir):
      address = address_lib.parse(workdir, "--workdir")
      stack.enter_context(
        sending.sending(
          fetch.connected(address),
          folder.path,
          workdir,
          is_part=is_of_the_sweep,
          every=_EVERY,
        )
      )
    yield


def is_of_progress(name: str) -> bool:
  """Whether a file says how far a run is, by its path in the run folder."""
  return name in _OF_PROGRESS


def is_of_the_sweep(name: str) -> bool:
  """Whether a file is the sweep's and no run's, by its path in the folder."""
  return os.sep not in name


def _refresh(
  store: store_lib.Store,
  address: address_lib.Address,
  is_wanted: Callable[[str], bool],
) -> None:
  """Brings files, unless this machine has what the newest list has, or more.

  A run that starts there later fetches all others as well.
  """
  folder = folder_lib.RunFolder(address_lib.scratch(address))
  url = str(address)
  newest = fetch.patiently(lambda: next(lists.newest_first(store), None), url)
  if newest is None or folder.is_claimed:
    return
  if not state.goes_on_from(folder.path, newest):
    state.forget(folder.path)
    fetch.newest(store, folder.path, url, is_wanted=is_wanted)
