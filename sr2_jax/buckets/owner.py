"""Who writes to a folder in a bucket: one mirror, as long as it lives; no JAX.

An object names the owner and counts its beats. It is written under a
precondition only, so that of two who want it one gets it. Whoever finds an
owner watches by its own clock whether the object changes: clocks of two
machines are never compared.
"""

import contextlib
import datetime
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sr2_jax import errors, json_files
from sr2_jax.buckets import store as store_lib

KEY = "owner.json"
# In seconds: from beat to beat; without a beat until another takes over.
BEAT, STALE = 20.0, 180.0
_LONGEST_STALE = 3600.0
# Between two looks at another owner's object.
LOOK = 5.0

Tell = Callable[[str], None]


def new_session() -> str:
  """A name for a mirror, that no other has."""
  return secrets.token_hex(6)


def read(store: store_lib.Store) -> tuple[dict[str, Any], str]:
  """What the object says, and its version; nothing if it is not there.

  Raises:
    StoreError: if the store fails.
  """
  try:
    data, version = store.get(KEY)
  except store_lib.MissingError:
    return {}, store_lib.ABSENT
  try:
    found = json_files.parse(data)
  except ValueError:
    found = None
  # Whatever else it is, somebody has put it there.
  return found if isinstance(found, dict) else {"session": "?"}, version


class Seen(NamedTuple):
  """An owner that has not given the folder free.

  Attributes:
    who: process, host and since when.
    silent: seconds since its last beat, by the store's clock.
    is_alive: whether it may still be at work: nobody takes over yet.
  """

  who: str
  silent: float
  is_alive: bool


def seen(store: store_lib.Store) -> Seen | None:
  """The owner, as it looks without watching it; None if there is none.

  Raises:
    StoreError: if the store fails.
  """
  found, _ = read(store)
  if found.get("session") is None:
    return None
  try:
    silent = store.age(KEY)
  except store_lib.MissingError:  # Deleted meanwhile.
    return None
  return Seen(_in_words(found), silent, silent < _stale_after(found))


def last_list(found: Mapping[str, Any]) -> int:
  """The number of the newest list, as the object says; 0 if it does not."""
  number = found.get("list")
  return number if type(number) is int and number > 0 else 0


def release_for(store: store_lib.Store, host: str, pid: int) -> None:
  """Lets the next one in at once, for an owner that can no longer do so.

  Args:
    store: of the folder.
    host: of the process that may have been the owner.
    pid: its id. It has ended: that has to be certain.

  Raises:
    StoreError: if the store fails.
  """
  found, version = read(store)
  is_that = (found.get("host"), found.get("pid")) == (host, pid)
  if is_that and found.get("session") is not None:
    data = f"{json.dumps({**found, 'session': None})}\n".encode()
    with contextlib.suppress(store_lib.ChangedError):
      store.put_if(KEY, data, version=version)


class Owner:
  """The right to write, from `claim` until `release`.

  Args:
    store: of the folder.
    url: of the folder, for messages.
    session: of the mirror.

  Attributes:
    last_list: number of the newest list, for those who come later.
  """

  def __init__(self, store: store_lib.Store, url: str, session: str) -> None:
    self._store, self._url, self._session = store, url, session
    self._version = store_lib.ABSENT
    self._since = datetime.datetime.now(datetime.UTC).isoformat("T", "seconds")
    self._beats = 0
    self._lock = threading.Lock()
    self._over = threading.Event()
    self._taken_by: str | None = None
    self._thread: threading.Thread | None = None
    self.last_list = 0

  def claim(self, *, before: str, tell: Tell) -> None:
    """Becomes the owner, and starts to beat.

    Args:
      before: session of the mirror that this machine had of the folder; it has
        ended, so it need not be waited for.
      tell: gets a line if somebody else has to be watched.

    Raises:
      FolderInUseError: if there is an owner that beats.
      UserError: if the store does not heed preconditions.
      StoreError: if it fails.
    """
    while True:
      found, version = read(self._store)
      if found and found.get("session") not in (before, self._session, None):
        _watch(self._store, self._url, (found, version), tell)
      self.last_list = last_list(found)
      self._version = version
      try:
        self._write()
        break
      except store_lib.ChangedError:
        continue  # Somebody was faster, or it has beaten at last.
    self._check_preconditions()
    self._thread = threading.Thread(target=self._beat_on, daemon=True)
    self._thread.start()

  @property
  def is_lost(self) -> bool:
    """Whether another has taken over."""
    return self._taken_by is not None

  def check(self) -> None:
    """Raises FolderInUseError if another has taken over."""
    if self._taken_by is not None:
      raise errors.FolderInUseError(
        f"{self._url}: {self._taken_by or 'another run'} has taken it over, "
        f"because nothing was heard of this one for {STALE:.0f} seconds.\n"
        "Wait until it has ended, or give another --workdir."
      )

  def beat(self) -> None:
    """Renews the object, and finds out whether it is still this owner's.

    Raises:
      StoreError: if nothing is known.
    """
    with self._lock:
      if self._over.is_set() or self.is_lost:
        return
      try:
        self._write()
      except store_lib.ChangedError:
        # An answer may have been lost: then it is this owner's own beat.
        found, version = read(self._store)
        if found.get("session") == self._session:
          self._version = version
        else:
          self._taken_by = _in_words(found)

  def release(self) -> None:
    """Lets the next one in at once. It is no matter if this fails."""
    self._over.set()
    with self._lock:
      if self.is_lost or self._version == store_lib.ABSENT:
        return
      with contextlib.suppress(store_lib.StoreError, store_lib.ChangedError):
        self._write(session=None)

  def _beat_on(self) -> None:
    while not self._over.wait(BEAT) and not self.is_lost:
      # If it fails, the mirror says so. The object may still be this owner's.
      with contextlib.suppress(store_lib.StoreError):
        self.beat()

  def _write(self, **other: Any) -> None:
    self._beats += 1
    fields = {
      "session": self._session,
      "host": socket.gethostname(),
      "pid": os.getpid(),
      "since": self._since,
      "beats": self._beats,
      "stale_after": STALE,
      "list": self.last_list,
      **other,
    }
    data = f"{json.dumps(fields)}\n".encode()
    self._version = self._store.put_if(KEY, data, version=self._version)

  def _check_preconditions(self) -> None:
    """Refuses a store that would let two runs write.

    Raises:
      UserError: if it writes although the object is there.
    """
    try:
      self._store.put_if(KEY, b"{}\n", version=store_lib.ABSENT)
    except store_lib.ChangedError:
      return
    raise errors.UserError(
      f"{self._url}: this store writes over an object in spite of a "
      "precondition (If-None-Match), so that it cannot keep two runs apart.\n"
      "Give a --workdir in another store."
    )


def _watch(
  store: store_lib.Store,
  url: str,
  first: tuple[dict[str, Any], str],
  tell: Tell,
) -> None:
  """Returns when an owner has been silent for the time that it has stated.

  Raises:
    FolderInUseError: when it beats.
  """
  found, version = first
  whom = _in_words(found)
  seconds = _stale_after(found)
  tell(f"{url}: {whom} is using it; watching for {seconds:.0f} seconds whether "
       "it is alive")  # fmt: skip
  until = time.monotonic() + seconds
  while time.monotonic() < until:
    time.sleep(min(LOOK, seconds / 10))
    found, now = read(store)
    if now == version:
      continue
    if found.get("session") is None:
      return  # It has ended meanwhile.
    raise errors.FolderInUseError(
      f"{url}: another run is using this folder ({_in_words(found)}).\n"
      "Wait until it has ended, or give another --workdir."
    )
  tell(f"{url}: nothing has been heard of {whom}; taking over")


def _stale_after(found: Mapping[str, Any]) -> float:
  """Seconds after which an owner has said that others may take over."""
  limit = found.get("stale_after")
  if isinstance(limit, int | float) and 0 < limit <= _LONGEST_STALE:
    return float(limit)
  return STALE


def _in_words(found: Mapping[str, Any]) -> str:
  """An owner, as messages name it."""
  try:
    since = datetime.datetime.fromisoformat(found["since"]).astimezone()
    return (
      f"process {int(found['pid'])} on {found['host']}, since "
      f"{since.isoformat(' ', timespec='seconds')}"
    )
  except (ValueError, LookupError, TypeError):
    return "another run"
