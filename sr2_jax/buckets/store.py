"""What a mirror asks of an object store; no JAX.

Whole objects are put, read, listed and deleted, and two are put under a
precondition. Nothing is appended to, renamed or locked.
"""

import datetime
import email.utils
import importlib
from collections.abc import Mapping
from typing import Any, Protocol

from sr2_jax import errors
from sr2_jax.buckets import address as address_lib
from sr2_jax.buckets import redaction

# The version of an object that is not there.
ABSENT = ""
# Until a request counts as failed. It has at most some megabytes.
SECONDS = 90.0


class StoreError(Exception):
  """A request has failed, for the reason that the message has, without secrets.

  Attributes:
    may_pass: whether it may succeed later, as where a store is away.
  """

  def __init__(self, reason: str, *, may_pass: bool = True) -> None:
    super().__init__(redaction.without_secrets(reason))
    self.may_pass = may_pass


class MissingError(Exception):
  """There is no such object."""


class ChangedError(Exception):
  """The object has another version than a precondition says."""


class Store(Protocol):
  """The objects that mirror a folder of a bucket, and the folders in it.

  Keys are relative to `address.MIRROR` in that folder.

  Every method may raise StoreError.
  """

  def get(self, key: str) -> tuple[bytes, str]:
    """An object and its version; raises MissingError."""
    ...

  def age(self, key: str) -> float:
    """Seconds since an object was written, by the store's own clock.

    Raises:
      MissingError: if it is not there.
    """
    ...

  def put(self, key: str, data: bytes) -> None:
    """Writes an object, whether it is there or not."""
    ...

  def put_if(self, key: str, data: bytes, *, version: str) -> str:
    """Writes an object that still has a version, or is ABSENT; its new version.

    Raises:
      ChangedError: if it has another version.
    """
    ...

  def keys(self, prefix: str) -> list[str]:
    """Keys that begin with a prefix. A store may show new ones late."""
    ...

  def folders(self) -> list[str]:
    """Names of the folders in this one."""
    ...

  def delete(self, key: str) -> None:
    """Deletes an object, if it is there."""
    ...


class Remote:
  """What stores behind a library of fsspec have in common.

  Args:
    system: of the library.
    address: of the folder.
  """

  def __init__(self, system: Any, address: address_lib.Address) -> None:
    self._system = system
    self._bucket = address.bucket
    self._folder = f"{address.key}/"
    self._root = f"{self._folder}{address_lib.MIRROR}/"


def seconds_before(answer: Mapping[str, str], time: datetime.datetime) -> float:
  """How long before an answer of the store something was, by its clock.

  Args:
    answer: its headers.
    time: with a zone.

  Raises:
    StoreError: if the answer has no date.
  """
  headers = {name.lower(): value for name, value in answer.items()}
  try:
    now = email.utils.parsedate_to_datetime(headers["date"])
    return max(0.0, (now - time).total_seconds())
  except (LookupError, ValueError, TypeError) as error:
    raise StoreError("its answers have no date", may_pass=False) from error


def connect(address: address_lib.Address) -> Store:
  """The store behind a URL. Credentials are those that its library finds.

  Raises:
    UserError: if the library is not installed.
  """
  module, library, extra = {
    "gs": ("gcs", "gcsfs", "gcs"),
    "s3": ("s3", "s3fs", "s3"),
  }[address.scheme]
  try:
    importlib.import_module(library)
  except ImportError as error:
    raise errors.UserError(
      f'{address} needs {library}: pip install "sr2_jax[{extra}]".'
    ) from error
  found: Any = importlib.import_module(f"sr2_jax.buckets.{module}")
  return found.connect(address)
