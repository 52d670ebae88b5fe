"""A sweep whose folder is in a bucket: no host needs to share one.

Each run mirrors its own folder. The sweep mirrors the files beside those: its
events, speeds and the logs of its runs.
"""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator

from sr2_jax.buckets import address as address_lib
from sr2_jax.buckets import fetch, lists, sending, state
from sr2_jax.buckets import store as store_lib
from sr2_jax.records import folder as folder_lib

# Seconds between two looks at what is new beside the runs.
_EVERY = 60.0
# What says how far a run has come.
_OF_PROGRESS = ("config.json", "metrics.jsonl", "timing.jsonl", "DONE")


def local(workdir: str) -> pathlib.Path:
  """The folder of a sweep on this machine; the run folders are in it."""
  if not address_lib.is_url(workdir):
    return pathlib.Path(workdir)
  return address_lib.scratch(address_lib.parse(workdir, "--workdir"))


def bring(url: str) -> None:
  """Has what the bucket says of a sweep and of its runs on this machine.

  Raises:
    UserError: if it cannot be had.
  """
  address = address_lib.parse(url, "--workdir")
  store = fetch.connected(address)
  _refresh(store, address, is_of_the_sweep)
  for name in fetch.patiently(store.folders, url):
    if name != address_lib.MIRROR:
      run = address.below(name)
      _refresh(fetch.connected(run), run, lambda file: file in _OF_PROGRESS)


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
  known = state.remembered(folder.path)
  url = str(address)
  newest = fetch.patiently(lambda: next(lists.newest_first(store), None), url)
  if newest is None or folder.is_claimed:
    return
  if known is None or (newest.session != known[0] and newest.mark != known[1]):
    state.forget(folder.path)
    fetch.newest(store, folder.path, url, is_wanted=is_wanted)
