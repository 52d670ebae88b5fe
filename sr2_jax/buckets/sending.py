"""A claimed folder and its bucket, from start to end; no JAX."""

import contextlib
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence

from sr2_jax import errors, paths
from sr2_jax.buckets import fetch, lists, mirror, owner, snapshot, state
from sr2_jax.buckets import store as store_lib

# Seconds for which a store may fail until nobody waits for it any more: at the
# end of a phase or of a run, and where a run is asked to stop.
PATIENCE, PATIENCE_OF_A_STOP = 60.0, 10.0


@contextlib.contextmanager
def sending(
  store: store_lib.Store,
  folder: pathlib.Path,
  url: str,
  *,
  is_part: Callable[[str], bool] = snapshot.everything,
  every: float | None = None,
) -> Iterator[mirror.Mirror]:
  """A mirror of a folder, which has the newest files of the bucket.

  What is not in the bucket at the end is said.

  Args:
    store: of the folder in the bucket.
    folder: on this machine, claimed.
    url: for messages.
    is_part: whether a file is mirrored, by its path in the folder.
    every: seconds from request to request; None: only what is asked for.

  Raises:
    UserError: if all else went well.
    FolderInUseError: if another run has taken it over.
  """
  sender = _start(store, folder, url, is_part, every)

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
      if left := sender.close(PATIENCE_OF_A_STOP):
        tell(lacks(left))
    raise
  if left := sender.close(PATIENCE, is_done=True):
    raise errors.UserError(lacks(left))
  tell(f"{url} is up to date")


def _start(
  store: store_lib.Store,
  folder: pathlib.Path,
  url: str,
  is_part: Callable[[str], bool],
  every: float | None,
) -> mirror.Mirror:
  """A mirror of a claimed folder, once that has what the bucket has.

  A folder that goes on from the newest list stays: it may have more than the
  bucket. Any other becomes what that list says.

  Raises:
    FolderInUseError: if another live run owns the folder in the bucket.
    UserError: as `fetch.newest`.
    OSError: if there is no room.
  """
  old_session, _ = state.remembered(folder) or ("", None)
  session = owner.new_session()
  owned = owner.Owner(store, url, session)
  fetch.patiently(lambda: owned.claim(before=old_session, tell=tell), url)
  try:
    found = fetch.patiently(
      lambda: next(lists.newest_first(store, at_least=owned.last_list), None),
      url,
    )
    if found is not None and not state.goes_on_from(folder, found):
      tell(f"fetching {url} to {folder}")
      state.forget(folder)
      found = fetch.newest(
        store, folder, url, at_least=owned.last_list, is_wanted=is_part
      )
    state.remember(folder, session, found)
    tell(f"{url} is mirrored from {folder}")
  except BaseException:
    owned.release()
    raise
  return mirror.Mirror(
    store, folder, url, owned, session, found, tell, is_part, every
  )


def tell(text: str) -> None:
  """Prints a line on standard error."""
  print(text, file=sys.stderr, flush=True)
