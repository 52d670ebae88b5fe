"""Google Cloud Storage, over gcsfs; no JAX."""

import asyncio
import contextlib
import datetime
import logging
from typing import Any

import fsspec.asyn
import gcsfs  # pyright: ignore[reportMissingImports]
import gcsfs.retry  # pyright: ignore[reportMissingImports]
import google.auth.exceptions  # pyright: ignore[reportMissingImports]

from sr2_jax import errors, json_files
from sr2_jax.buckets import address as address_lib
from sr2_jax.buckets import store as store_lib

_LASTING = {400, 401, 403, 404}


def connect(address: address_lib.Address) -> store_lib.Store:
  """The store behind a URL.

  Raises:
    StoreError: if there are no credentials.
  """
  # It prints a traceback for each request that fails.
  logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
  try:
    system = gcsfs.GCSFileSystem(
      skip_instance_cache=True, use_listings_cache=False
    )
  except Exception as error:
    raise _translated(error) from error
  return _GCS(system, address)


class _GCS(store_lib.Remote):
  def get(self, key: str) -> tuple[bytes, str]:
    headers, data = self._call("GET", "b/{}/o/{}", key, alt="media")
    lower = {name.lower(): value for name, value in headers.items()}
    return data, lower["x-goog-generation"]

  def age(self, key: str) -> float:
    headers, data = self._call("GET", "b/{}/o/{}", key)
    written = str(json_files.parse(data)["updated"])
    return store_lib.seconds_before(
      headers, datetime.datetime.fromisoformat(written)
    )

  def put(self, key: str, data: bytes) -> None:
    self._put(key, data)

  def put_if(self, key: str, data: bytes, *, version: str) -> str:
    try:
      return self._put(key, data, ifGenerationMatch=version or "0")
    except store_lib.MissingError as error:
      raise store_lib.ChangedError(key) from error

  def _put(self, key: str, data: bytes, **condition: str) -> str:
    uploads = self._system.base.replace("/storage/v1/", "/upload/storage/v1/")
    found = self._call(
      "POST",
      f"{uploads}b/{{}}/o",
      uploadType="media",
      name=self._root + key,
      headers={"Content-Type": "application/octet-stream"},
      data=data,
      json_out=True,
      **condition,
    )
    return str(found["generation"])

  def keys(self, prefix: str) -> list[str]:
    pages = self._pages(prefix=self._root + prefix)
    keys = [found["name"] for page in pages for found in page.get("items", ())]
    return [key.removeprefix(self._root) for key in keys]

  def folders(self) -> list[str]:
    pages = self._pages(prefix=self._folder, delimiter="/")
    found = [name for page in pages for name in page.get("prefixes", ())]
    return [name.removeprefix(self._folder).rstrip("/") for name in found]

  def _pages(self, **asked: str) -> list[Any]:
    pages: list[Any] = []
    following = None
    while not pages or following:
      page = self._call(
        "GET", "b/{}/o", pageToken=following, json_out=True, **asked
      )
      pages.append(page)
      following = page.get("nextPageToken")
    return pages

  def delete(self, key: str) -> None:
    with contextlib.suppress(store_lib.MissingError):
      self._call("DELETE", "b/{}/o/{}", key)

  def _call(self, method: str, path: str, *keys: str, **more: Any) -> Any:
    """What a request gives; its errors are those of `store`."""
    places = [self._bucket, *(self._root + key for key in keys)]
    try:
      return fsspec.asyn.sync(
        self._system.loop,
        self._system._call,
        method,
        path,
        *places,
        timeout=store_lib.SECONDS,
        **more,
      )
    except FileNotFoundError as error:
      if keys:
        raise store_lib.MissingError from error
      raise store_lib.StoreError(
        f"there is no bucket {self._bucket}", may_pass=False
      ) from error
    except FileExistsError as error:
      raise store_lib.ChangedError from error
    except Exception as error:
      raise _translated(error) from error


def _translated(error: Exception) -> store_lib.StoreError:
  if isinstance(error, asyncio.TimeoutError | fsspec.asyn.FSTimeoutError):
    return store_lib.StoreError("no answer")
  if isinstance(error, gcsfs.retry.HttpError):
    is_lasting = getattr(error, "code", None) in _LASTING
  else:
    # gcsfs says "Forbidden" and "Bad Request" with these.
    is_lasting = isinstance(
      error, google.auth.exceptions.DefaultCredentialsError | ValueError
    ) or str(error).startswith("Forbidden")
  reason = errors.reason(error, most=300)
  return store_lib.StoreError(reason, may_pass=not is_lasting)
