"""A folder that is mirrored to a store in memory, for tests."""

import contextlib
import os
import pathlib
import time

from sr2_jax.buckets import fetch, lists, owner
from sr2_jax.buckets import mirror as mirror_lib

URL = "gs://bucket/run"
# The pauses of a mirror and its patience, in tests.
FAST = {
  (mirror_lib, "_FIRST_PAUSE"): 0.01,
  (mirror_lib, "_LONGEST_PAUSE"): 0.02,
  (fetch, "_PATIENCE"): 0.2,
  (fetch, "_PAUSE"): 0.01,
}


def fast(monkeypatch):
  for (module, name), value in FAST.items():
    monkeypatch.setattr(module, name, value)


def write(folder, **contents):
  """Replaces files; "__" in a name stands for a slash."""
  for name, content in contents.items():
    path = folder / name.replace("__", "/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def read(folder):
  """The files of a folder that are mirrored."""
  found = {}
  for parent, folders, files in os.walk(folder):
    if ".mirror" in folders:  # It changes while files are sent.
      folders.remove(".mirror")
    for name in files:
      path = pathlib.Path(parent, name)
      found[path.relative_to(folder).as_posix()] = path.read_text()
  return found


@contextlib.contextmanager
def sending(store, folder, *, session="a", base=None, told=None):
  """A mirror of a folder; close it, or it is left as a kill leaves it."""
  owned = owner.Owner(store, URL, session)
  owned.claim(before="", tell=print)
  told = [] if told is None else told
  folder.mkdir(exist_ok=True)
  sender = mirror_lib.Mirror(
    store, folder, URL, owned, session, base, told.append
  )
  try:
    yield sender
  finally:
    owned.release()


def newest(store):
  return next(lists.newest_first(store), None)


def fetched(store, folder):
  """What another machine finds."""
  fetch.newest(store, folder, URL)
  return read(folder)


def wait_for(condition):
  until = time.monotonic() + 20
  while not condition():
    assert time.monotonic() < until
    time.sleep(0.01)
