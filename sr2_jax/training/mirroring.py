"""The run folder of a run, on a disk or mirrored to a bucket.

Of a run in a bucket, each process has a folder of its own. Process 0 owns the
bucket and sends what is new; the others fetch what they have to read.
"""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator

from sr2_jax import agreement, errors, parallel
from sr2_jax.buckets import address as address_lib
from sr2_jax.buckets import fetch, mirror, sending
from sr2_jax.buckets import store as store_lib
from sr2_jax.records import folder as folder_lib

# Seconds for which a store may fail where other processes need the files, so
# that the run cannot go on without it.
_PATIENCE_OF_OTHERS = 240.0


class OnDisk:
  """A folder that is where it was typed, and that all processes share."""

  def compare(self, folder: pathlib.Path) -> None:
    """Raises DisagreementError in all processes if one sees another folder."""
    agreement.on_folder(folder)

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

  def compare(self, folder: pathlib.Path) -> None:
    """Does nothing, because each process has its own folder."""

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
        sending.PATIENCE if is_alone else _PATIENCE_OF_OTHERS
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
    # Until then process 0 puts no other list, which would displace this one.
    agreement.follow("to have the run folder", None)


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
  store = fetch.connected(address)
  with contextlib.ExitStack() as stack:
    stack.enter_context(folder.claim())
    sender = None
    if is_first:
      sender = stack.enter_context(sending.sending(store, folder.path, url))
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
