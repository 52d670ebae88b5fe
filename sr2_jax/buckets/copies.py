"""Copies of what is read from a bucket: rows, weights, other runs; no JAX.

A copy is brought up to date each time that it is asked for, and may be deleted
at any time.
"""

import sys
from collections.abc import Callable, Iterator

from sr2_jax import errors, files
from sr2_jax.buckets import address as address_lib
from sr2_jax.buckets import fetch, lists

# What a run writes for people, or for itself only.
_UNREAD = ("tensorboard/", "profile/", "checkpoints/damaged/")
_LARGE = ("checkpoints/", "weights/")


def is_of_rows(name: str) -> bool:
  """Whether a report reads a file of a run, by its path there."""
  return not name.startswith((*_UNREAD, *_LARGE))


def is_of_weights(name: str) -> bool:
  """Whether predictions need a file of a run."""
  return name.startswith("weights/") or name in ("config.json", "DONE")


def is_of_release(name: str) -> bool:
  """Whether a release needs a file of a run."""
  return is_of_rows(name) or is_of_weights(name)


def is_of_source(name: str) -> bool:
  """Whether a run that starts from another one needs a file of that."""
  return not name.startswith((*_UNREAD, "checkpoints/joint/"))


def bring(text: str, name: str, is_wanted: Callable[[str], bool]) -> str:
  """The path of something, of a copy that is up to date if it is a URL.

  Args:
    text: a path, which is returned as it is; or the URL of a run folder, of
      what is in one, or of a folder of run folders.
    name: of the flag or field, for messages.
    is_wanted: whether a file of a run is, by its path in that.

  Raises:
    UserError: if there is no such thing, or it cannot be had.
  """
  if not address_lib.is_url(text):
    return text
  address = address_lib.parse(text, name)
  path = address_lib.copy(address)
  for run, inside in _around(address):

    def is_inside(file: str, inside: str = inside) -> bool:
      # The sha256 of a file of weights is beside it.
      is_named = file in (inside, f"{inside}.sha256")
      is_below = not inside or file.startswith(f"{inside}/")
      return (is_named or is_below) and is_wanted(file)

    if _bring_run(run, is_inside):
      return str(path)
  store = fetch.connected(address)
  below = map(address.below, fetch.patiently(store.folders, text))
  found = [run for run in below if _bring_run(run, is_wanted)]
  if not found:
    raise errors.UserError(
      f"{name}={text}: no run is mirrored there.\n"
      "Give the --workdir of a run, or of a sweep."
    )
  return str(path)


def bring_source(init_from: str) -> None:
  """Has what `init_from` names on this machine, if it is in a bucket.

  Raises:
    UserError: as `bring`.
  """
  bring(init_from, "config.init_from", is_of_source)


def _around(
  address: address_lib.Address,
) -> Iterator[tuple[address_lib.Address, str]]:
  """The folders that may be the run's, and the rest of the path in each."""
  words = address.key.split("/")
  for length in range(len(words), 0, -1):
    key, inside = "/".join(words[:length]), "/".join(words[length:])
    yield address._replace(key=key), inside


def _bring_run(
  address: address_lib.Address, is_wanted: Callable[[str], bool]
) -> bool:
  """Whether a folder is a run's; what is wanted of it is here then."""
  url, store = str(address), fetch.connected(address)
  newest = fetch.patiently(lambda: next(lists.newest_first(store), None), url)
  # The folder of a sweep has only files beside those of its runs.
  if newest is None or "config.json" not in newest.files:
    return False
  folder = address_lib.copy(address)

  def wait() -> None:
    print(f"{url}: another process is fetching it", file=sys.stderr)

  with files.one_at_a_time(folder / ".fetching", wait):
    found = fetch.newest(store, folder, url, is_wanted=is_wanted)
  return found is not None and any(map(is_wanted, found.files))
