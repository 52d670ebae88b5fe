"""The run folder of a run, on a disk or mirrored to a bucket.

Of a run in a bucket, each process has a folder of its own. Process 0 owns the
bucket and sends what is new; the others fetch what they have to read.
"""

import contextlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence

from sr2_jax import agreement, errors, parallel, paths
from sr2_jax.buckets import address as address_lib
from sr2_jax.buckets import fetch, lists, mirror, owner
from sr2_jax.buckets import store as store_lib
from sr2_jax.records import folder as folder_lib

# Seconds for which a store may fail until nobody waits for it any more: at the
# end of a phase or of a run, and where the run is asked to stop.
_PATIENCE, _PATIENCE_OF_A_STOP = 60.0, 10.0
# Others of the run need the files, so that it cannot go on without.
_PATIENCE_OF_OTHERS = 240.0


class OnDisk:
  """A folder that is where it was typed, and that all processes share."""

  def request(self, is_saving: Callable[[], bool] | None = None) -> None:
    """Has the folder mirrored, as it is now, without waiting for it.

    Args:
      is_saving: whether a checkpoint is still being written that belongs to it.
    """

  def check(self) -> None:
    """Raises FolderInUseError if another run has taken the folder over."""

  def share(self) -> None:
    """Returns when all processes have the folder as it is in process 0.

    In a bucket it is the same then, unless that is away. All processes call
    this.
    """


class InBucket(OnDisk):
  """A folder that is mirrored to a bucket.

  Args:
    folder: of this process.
    store: of the folder in the bucket.
    url: for messages.
    sender: the mirror, in process 0.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    store: store_lib.Store,
    url: str,
    sender: mirror.Mirror | None,
  ) -> None:
    self._folder, self._store = folder, store
    self._url, self._sender = url, sender

  def request(self, is_saving: Callable[[], bool] | None = None) -> None:
    """As `OnDisk.request`."""
    if self._sender is not None:
      self._sender.request(is_saving)

  def check(self) -> None:
    """As `OnDisk.check`."""
    if self._sender is not None:
      self._sender.check()

  def share(self) -> None:
    """As `OnDisk.share`.

    Raises:
      UserError: if others need it and the bucket cannot be used.
    """
    is_alone = parallel.num_processes() == 1
    number = 0
    if self._sender is not None:
      self._sender.request()
      is_there = self._sender.wait(
        _PATIENCE if is_alone else _PATIENCE_OF_OTHERS
      )
      if not is_there and not is_alone:
        raise errors.UserError(
          f"{self._url} cannot be used: {self._sender.reason}.\nThe other "
          "processes need its files; the same command goes on from there."
        )
      number = self._sender.number
    number = agreement.follow("to share the run folder", number)
    if self._sender is None and number:
      fetch.exactly(self._store, number, self._folder, self._url)


@contextlib.contextmanager
def opened(
  workdir: str | os.PathLike[str], *, must_exist: bool = False
) -> Iterator[tuple[folder_lib.RunFolder, OnDisk]]:
  """Claims a run folder for the block; a bucket's files are in it then.

  All processes call this.

  Args:
    workdir: a path, or a URL of a bucket.
    must_exist: whether it has to be one already.

  Raises:
    FolderInUseError: if another live run has it.
    UserError: if it cannot be used.
  """
  is_first = parallel.is_main_process()
  if not address_lib.is_url(workdir):
    folder = folder_lib.RunFolder(folder_of(workdir))
    if is_first and must_exist:
      _check_is_run(folder, str(folder.path))
    with folder.claim() if is_first else contextlib.nullcontext():
      yield folder, OnDisk()
    return
  address = address_lib.parse(os.fspath(workdir), "--workdir")
  url, folder = str(address), folder_lib.RunFolder(folder_of(workdir))
  agreement.on_workdir(url)
  store = fetch.patiently(lambda: store_lib.connect(address), url)
  with contextlib.ExitStack() as stack:
    stack.enter_context(folder.claim())
    sender = None
    if is_first:
      sender = stack.enter_context(_sending(store, folder.path, url))
      if must_exist:
        _check_is_run(folder, url)
    place = InBucket(folder.path, store, url, sender)
    if parallel.num_processes() > 1:
      place.share()
    yield folder, place


def folder_of(workdir: str | os.PathLike[str]) -> pathlib.Path:
  """The run folder of this process on this machine."""
  if not address_lib.is_url(workdir):
    return pathlib.Path(workdir)
  address = address_lib.parse(os.fspath(workdir), "--workdir")
  return address_lib.scratch(address)


def _check_is_run(folder: folder_lib.RunFolder, name: str) -> None:
  if not (folder.has_begun or folder.read()):
    raise errors.UserError(
      f"{name} is not a run folder: it has no config.json.\n"
      "Give the --workdir of a run, or leave --mode=eval out to train."
    )


@contextlib.contextmanager
def _sending(
  store: store_lib.Store, folder: pathlib.Path, url: str
) -> Iterator[mirror.Mirror]:
  """A mirror of a folder, which has the newest files of the bucket.

  What is not in the bucket at the end is said.

  Raises:
    UserError: if all else went well.
    FolderInUseError: if another run has taken it over.
  """
  sender = start(store, folder, url, _tell)

  def lacks(left: Sequence[str]) -> str:
    reason = sender.reason or "no answer"
    return (
      f"{url} lacks {paths.listed(left)} ({reason}).\n"
      f"They are in {folder}; the same command on this machine goes on."
    )

  try:
    yield sender
  except BaseException:
    with contextlib.suppress(errors.FolderInUseError):
      if left := sender.close(_PATIENCE_OF_A_STOP):
        _tell(lacks(left))
    raise
  if left := sender.close(_PATIENCE, is_done=True):
    raise errors.UserError(lacks(left))
  _tell(f"{url} is up to date")


def start(
  store: store_lib.Store,
  folder: pathlib.Path,
  url: str,
  tell: Callable[[str], None],
) -> mirror.Mirror:
  """A mirror of a claimed folder, once that has what the bucket has.

  A folder that goes on from the newest list stays: it may have more than the
  bucket. Any other becomes what that list says.

  Raises:
    FolderInUseError: if another live run owns the folder in the bucket.
    UserError: if the bucket cannot be used, or is incomplete.
    OSError: if there is no room.
  """
  before = mirror.remembered(folder)
  old_session, mark = before or ("", (0, ""))
  session = owner.new_session()
  owned = owner.Owner(store, url, session)
  fetch.patiently(lambda: owned.claim(before=old_session, tell=tell), url)
  try:
    found = fetch.patiently(
      lambda: next(lists.newest_first(store, at_least=owned.last_list), None),
      url,
    )
    goes_on = found is None or (
      before is not None
      and (found.session == old_session or found.mark == mark)
    )
    if not goes_on:
      tell(f"fetching {url} to {folder}")
      mirror.forget(folder)
      found = fetch.newest(store, folder, url, at_least=owned.last_list)
    mirror.remember(folder, session, found)
    tell(f"{url} is mirrored from {folder}")
  except BaseException:
    owned.release()
    raise
  return mirror.Mirror(store, folder, url, owned, session, found, tell)


def _tell(text: str) -> None:
  print(text, file=sys.stderr, flush=True)
