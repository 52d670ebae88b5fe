"""An object store in memory, which fails as it is told to."""

import threading
import time

from sr2_jax.buckets import store as store_lib


class Memory:
  """A `store.Store`.

  Attributes:
    objects: {key: (data, version)}.
    faults: functions of a method's name and a key. They may raise, wait, or
      return bytes to be used instead of those asked for or put.
    requests: methods and keys, as they came.
    ages: {key: seconds} since objects were written, if that is not now.
    shown: keys that `keys` shows instead of those that there are.
  """

  def __init__(self):
    self.objects, self.faults, self.requests = {}, [], []
    self.ages, self.shown = {}, None
    self._lock = threading.Lock()
    self._number = 0

  def get(self, key):
    self._note("get", key)
    with self._lock:
      if key not in self.objects:
        raise store_lib.MissingError(key)
      data, version = self.objects[key]
    return self._faulty("get", key, data), version

  def age(self, key):
    self._note("age", key)
    if key not in self.objects:
      raise store_lib.MissingError(key)
    return self.ages.get(key, 0.0)

  def put(self, key, data):
    self._note("put", key)
    self._write(key, self._faulty("put", key, data))
    self._faulty("answer", key, data)

  def put_if(self, key, data, *, version):
    self._note("put_if", key)
    data = self._faulty("put", key, data)
    with self._lock:
      if self.objects.get(key, (b"", store_lib.ABSENT))[1] != version:
        raise store_lib.ChangedError(key)
    new = self._write(key, data)
    self._faulty("answer", key, data)
    return new

  def keys(self, prefix):
    self._note("keys", prefix)
    self._faulty("keys", prefix, b"")
    with self._lock:
      found = self.objects if self.shown is None else self.shown
      return sorted(key for key in found if key.startswith(prefix))

  def folders(self):
    return []

  def delete(self, key):
    self._note("delete", key)
    self._faulty("delete", key, b"")
    with self._lock:
      self.objects.pop(key, None)

  def count(self, method, start=""):
    """How often a method was called with keys that begin so."""
    return sum(m == method and k.startswith(start) for m, k in self.requests)

  def _note(self, method, key):
    with self._lock:
      self.requests.append((method, key))

  def _write(self, key, data):
    with self._lock:
      self._number += 1
      self.objects[key] = data, str(self._number)
      return str(self._number)

  def _faulty(self, method, key, data):
    for fault in list(self.faults):
      data = fault(method, key, data)
    return data


def away(*methods):
  """A fault: the store does not answer."""

  def fault(method, key, data):
    if not methods or method in methods:
      raise store_lib.StoreError("503: as told")
    return data

  return fault


def times(number, fault):
  """A fault that goes away after some requests."""
  left = [number]

  def some(method, key, data):
    if left[0] <= 0:
      return data
    before = left[0]
    left[0] -= 1
    try:
      result = fault(method, key, data)
    except store_lib.StoreError:
      raise
    if result is data:
      left[0] = before  # It did not concern this request.
    return result

  return some


def slow(seconds, start=""):
  """A fault: requests take some time."""

  def fault(method, key, data):
    if key.startswith(start):
      time.sleep(seconds)
    return data

  return fault


def cut(start="", *, at=3):
  """A fault: only the first bytes of an object arrive, and then an error."""

  def fault(method, key, data):
    return data[:at] if method == "get" and key.startswith(start) else data

  return fault
