"""Keeps a bucket in step with a folder here, from its own thread; no JAX.

Only `wait` and `close` wait for it. New parts of files are put
first, then the list that names them, under a number that no other list has. A
kill at any time leaves the lists that there were.
"""

import collections
import concurrent.futures
import contextlib
import hashlib
import math
import pathlib
import threading
import time
from collections.abc import Callable, Mapping

from sr2_jax.buckets import fetch, lists, snapshot, state
from sr2_jax.buckets import owner as owner_lib
from sr2_jax.buckets import store as store_lib

# Bytes of a part. A log that grows is sent again from its last part on.
PART = 8 * 2**20
# In seconds: pauses after failures; when a note tells of them.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_NOTES = (60.0, 600.0)
# How long a checkpoint may take to be written before it is left out.
_LONGEST_SAVE, _LOOK = 120.0, 0.05
_ATTEMPTS = 20


class Mirror:
  """Sends a folder to a bucket, again whenever it is asked to.

  Args:
    store: of the folder in the bucket.
    folder: on this machine.
    url: for messages.
    owner: of the folder in the bucket.
    base: the newest list there, if the folder has its files or later ones.
    tell: gets notes.
    is_part: whether a file is mirrored, by its path in the folder.
    every: seconds from request to request; None: only what is asked for.

  Attributes:
    number: of the newest list.
    reason: why the last request that failed did.
  """

  def __init__(
    self,
    store: store_lib.Store,
    folder: pathlib.Path,
    url: str,
    owner: owner_lib.Owner,
    session: str,
    base: lists.FileList | None,
    tell: owner_lib.Tell,
    is_part: Callable[[str], bool] = snapshot.everything,
    every: float | None = None,
  ) -> None:
    self.url = url
    self._is_part, self._every = is_part, every
    state.mark(folder, is_unsent=True)
    self._store, self._folder, self._owner = store, folder, owner
    self._session, self._tell = session, tell
    # The newest lists, whose objects stay.
    self._kept: collections.deque[lists.FileList] = collections.deque()
    if base is not None:
      self._kept.append(base)
    self.number = max(base.number if base else 0, owner.last_list)
    self._stamps: dict[str, snapshot.Stamp] = {}
    self._garbage: set[str] = set()
    # Put since the newest list.
    self._put: set[str] = set()
    self._present: frozenset[str] | None = None
    self._is_swept = False
    self._changed = threading.Condition()
    self._wanted = self._done = 0
    self._is_saving: Callable[[], bool] = lambda: False
    self._is_closing = self._is_over = False
    self._failing_since: float | None = None
    self.reason = ""
    self._notes_told = 0
    self._thread = threading.Thread(target=self._work, daemon=True)
    self._thread.start()

  def request(self, is_saving: Callable[[], bool] | None = None) -> None:
    """Asks for the folder as it is now, and returns at once.

    Args:
      is_saving: whether a checkpoint is still being written that belongs to it.
    """
    with self._changed:
      self._is_saving = is_saving or self._is_saving
      self._wanted += 1
      self._changed.notify_all()

  def check(self) -> None:
    """Raises FolderInUseError if another run has taken the folder over."""
    self._owner.check()

  def wait(self, patience: float) -> bool:
    """Waits until what was asked for is in the bucket; whether it is.

    As long as it gets on, this waits.

    Args:
      patience: seconds for which the store may have failed.

    Raises:
      FolderInUseError: as `check`.
    """
    with self._changed:
      began = time.monotonic()
      while self._done < self._wanted and not self._owner.is_lost:
        since = max(self._failing_since or math.inf, began)
        if time.monotonic() > since + patience:
          break
        self._changed.wait(0.5)
    self.check()
    return self._done >= self._wanted

  def close(self, patience: float, *, is_done: bool = False) -> list[str]:
    """Sends what is new and gives the folder free; the files not sent.

    Args:
      patience: as in `wait`.
      is_done: whether nothing follows, so that older files are of no use.

    Raises:
      FolderInUseError: as `check`.
    """
    self._is_closing = True
    self.request()
    try:
      self.wait(patience)
    finally:
      with self._changed:
        self._is_over = True
        self._changed.notify_all()
    left = self._not_sent()
    if not left:
      state.mark(self._folder, is_unsent=False)
      self._thread.join()
      if is_done:
        self._drop_the_list_before()
    self._owner.release()
    return left

  def _not_sent(self) -> list[str]:
    return [
      name
      for name in filter(self._is_part, snapshot.names(self._folder))
      if self._stamps.get(name) != snapshot.stamp(self._folder / name)
    ]

  def _drop_the_list_before(self) -> None:
    """Deletes what only the list before the last names, such as states."""
    with contextlib.suppress(store_lib.StoreError):
      if len(self._kept) == 2 and self._kept[0].keys - self._kept[1].keys:
        self._put_list(self._kept[1].files)
        self._collect()

  def _work(self) -> None:
    pause = _FIRST_PAUSE
    while True:
      with self._changed:
        while self._done >= self._wanted and not self._is_over:
          if not self._changed.wait(self._every):
            self._wanted += 1
        if self._done >= self._wanted or self._owner.is_lost:
          break
        wanted = self._wanted
      try:
        self._send()
      except Exception as error:
        # Whatever it is, the run goes on, and says at its end what is missing.
        self._has_failed(error)
        with self._changed:
          if self._is_over:
            break
          self._changed.wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
        continue
      pause = _FIRST_PAUSE
      self._has_succeeded()
      with self._changed:
        self._done = wanted
        self._changed.notify_all()
      self._collect()

  def _has_failed(self, error: Exception) -> None:
    now = time.monotonic()
    with self._changed:
      self.reason = str(error)
      if self._failing_since is None:
        self._failing_since = now
      failing = now - self._failing_since
      self._changed.notify_all()
    if failing >= (*_NOTES, math.inf)[self._notes_told]:
      self._notes_told += 1
      self._tell(
        f"note: {self.url} has not been reached for "
        f"{failing / 60:.0f} minutes ({self.reason}); the run goes on, and "
        f"its files are in {self._folder}"
      )

  def _has_succeeded(self) -> None:
    with self._changed:
      self._failing_since = None
    if self._notes_told:
      self._tell(f"note: {self.url} is up to date again")
      self._notes_told = 0

  def _send(self) -> None:
    """Puts what is new, and a list of all.

    Raises:
      StoreError: if a request fails.
      OSError: if a file cannot be read.
    """
    self._wait_for_checkpoint()
    room = self._folder / state.OWN / "files"
    for attempt in range(_ATTEMPTS):
      try:
        with snapshot.of(self._folder, room, self._is_part) as frozen:
          self._send_files(frozen)
        return
      except FileNotFoundError:
        # An old checkpoint has been deleted meanwhile.
        if attempt == _ATTEMPTS - 1:
          raise
        time.sleep(_LOOK)

  def _wait_for_checkpoint(self) -> None:
    until = time.monotonic() + _LONGEST_SAVE
    while self._is_saving() or snapshot.is_saving(self._folder):
      # At the end, only a save that has failed is left.
      if self._is_closing or time.monotonic() > until:
        return
      time.sleep(_LOOK)

  def _send_files(self, frozen: Mapping[str, snapshot.Frozen]) -> None:
    known = self._kept[-1].files if self._kept else {}
    if self._present is None:
      # What an earlier mirror has put might have been deleted by hand.
      self._present = frozenset(self._store.keys("files/"))
    same = {
      name: known[name]
      for name, one in frozen.items()
      if name in known and self._stamps.get(name) == one.stamp
    }
    places = [
      (name, start)
      for name, one in frozen.items()
      if name not in same
      for start in range(0, one.size, PART)
    ]
    with concurrent.futures.ThreadPoolExecutor(fetch.AT_ONCE) as pool:
      parts = [*pool.map(lambda x: self._send_part(frozen[x[0]], *x), places)]
    sent: dict[str, list[lists.Part]] = {}
    for (name, _), part in zip(places, parts, strict=True):
      sent.setdefault(name, []).append(part)
    new = {name: same.get(name, (*sent.get(name, ()),)) for name in frozen}
    if not self._kept or new != self._kept[-1].files:
      self._put_list(new)
    self._stamps = snapshot.stamps(frozen)

  def _send_part(
    self, frozen: snapshot.Frozen, name: str, start: int
  ) -> lists.Part:
    size = min(PART, frozen.size - start)
    with frozen.path.open("rb") as file:
      file.seek(start)
      data = file.read(size)
    if len(data) < size:
      raise FileNotFoundError(frozen.path)  # Cut back since: take another look.
    digest = hashlib.sha256(data).hexdigest()
    for part in self._kept[-1].files.get(name, ()) if self._kept else ():
      if part.sha256 == digest and self._has(part.key):
        return part
    # With the session, two mirrors never have an object in common that one of
    # them might delete.
    key = f"files/{name}/{digest}-{self._session}"
    if key not in self._put:
      self._store.put(key, data)
      self._put.add(key)
    return lists.Part(key, digest, size)

  def _has(self, key: str) -> bool:
    """Whether the bucket holds a part that the newest list names."""
    return key.endswith(self._session) or key in (self._present or ())

  def _put_list(self, found: Mapping[str, tuple[lists.Part, ...]]) -> None:
    """Puts the list after the newest, as long as this mirror owns the folder.

    Raises:
      StoreError: if that fails, or another owns it.
    """
    while True:
      one = lists.FileList(self.number + 1, self._session, found)
      key, data = lists.key_of(one.number), one.encode()
      try:
        self._store.put_if(key, data, version=store_lib.ABSENT)
      except store_lib.ChangedError:
        there = lists.read(self._store, one.number)
        if there is None or there.mark != one.mark or there.files != one.files:
          # Of a mirror that was here before, and was too slow.
          self._owner.beat()
          if self._owner.is_lost:
            raise store_lib.StoreError("another run has taken over") from None
          self.number += 1
          continue
      break
    self.number = self._owner.last_list = one.number
    self._kept.append(one)
    self._garbage |= self._put - one.keys
    self._put.clear()
    state.remember(self._folder, self._session, one)

  def _collect(self) -> None:
    """Deletes what neither of the last two lists names."""
    while len(self._kept) > 2:
      old = self._kept.popleft()
      self._garbage |= {*old.keys, lists.key_of(old.number)}
    with contextlib.suppress(store_lib.StoreError):
      if not self._is_swept and len(self._kept) == 2:
        left_behind = self._left_behind()
        # In this order: what a mirror that takes over puts was not there yet.
        self._owner.beat()
        if self._owner.is_lost:
          return
        self._garbage |= left_behind
        self._is_swept = True
      needed = {key for one in self._kept for key in one.keys}
      for key in sorted(self._garbage - needed):
        self._store.delete(key)
        self._garbage.discard(key)
      self._garbage -= needed

  def _left_behind(self) -> set[str]:
    """Objects of mirrors that ended before they had put their list."""
    first = self._kept[0].number
    old = {lists.key_of(x) for x in lists.numbers(self._store) if x < first}
    return old | {
      key
      for key in self._store.keys("files/")
      if not key.endswith(self._session)
    }
