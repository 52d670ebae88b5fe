"""S3 and what speaks its protocol, over s3fs; no JAX."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import fsspec.asyn
import s3fs  # pyright: ignore[reportMissingImports]
from botocore import exceptions  # pyright: ignore[reportMissingImports]

from sr2_jax import errors
from sr2_jax.buckets import address as address_lib
from sr2_jax.buckets import store as store_lib

# What no time makes right: rights, credentials, and a bucket that is not there.
_LASTING = {
  "AccessDenied", "AllAccessDisabled", "AuthorizationHeaderMalformed",
  "InvalidAccessKeyId", "InvalidBucketName", "NoSuchBucket",
  "SignatureDoesNotMatch", "401", "403",
}  # fmt: skip
_NO_CREDENTIALS = (
  exceptions.NoCredentialsError,
  exceptions.PartialCredentialsError,
  exceptions.ProfileNotFound,
  exceptions.ParamValidationError,
)


def connect(address: address_lib.Address) -> store_lib.Store:
  """The store behind a URL."""
  # Its debug lines would have headers.
  for name in ("s3fs", "botocore", "aiobotocore"):
    logging.getLogger(name).setLevel(logging.CRITICAL)
  system = s3fs.S3FileSystem(
    skip_instance_cache=True,
    use_listings_cache=False,
    config_kwargs={
      "connect_timeout": 10,
      "read_timeout": 60,
      "retries": {"total_max_attempts": 2},
    },
  )
  system.retries = 2
  return _S3(system, address)


class _S3(store_lib.Remote):
  def get(self, key: str) -> tuple[bytes, str]:
    async def read() -> tuple[bytes, str]:
      found = await self._system._call_s3(
        "get_object", Bucket=self._bucket, Key=self._root + key
      )
      async with found["Body"] as body:
        return await body.read(), found["ETag"]

    return self._do(read)

  def age(self, key: str) -> float:
    async def look() -> Any:
      return await self._system._call_s3(
        "head_object", Bucket=self._bucket, Key=self._root + key
      )

    found = self._do(look)
    headers = found["ResponseMetadata"]["HTTPHeaders"]
    return store_lib.seconds_before(headers, found["LastModified"])

  def put(self, key: str, data: bytes) -> None:
    self._put(key, data)

  def put_if(self, key: str, data: bytes, *, version: str) -> str:
    is_new = version == store_lib.ABSENT
    condition = {"IfNoneMatch": "*"} if is_new else {"IfMatch": version}
    try:
      return self._put(key, data, **condition)
    except store_lib.MissingError as error:  # Deleted, so it has changed.
      raise store_lib.ChangedError(key) from error

  def _put(self, key: str, data: bytes, **condition: str) -> str:
    async def write() -> Any:
      return await self._system._call_s3(
        "put_object",
        Bucket=self._bucket,
        Key=self._root + key,
        Body=data,
        **condition,
      )

    return self._do(write)["ETag"]

  def keys(self, prefix: str) -> list[str]:
    pages = self._pages(Prefix=self._root + prefix)
    keys = [
      found["Key"] for page in pages for found in page.get("Contents", ())
    ]
    return [key.removeprefix(self._root) for key in keys]

  def folders(self) -> list[str]:
    pages = self._pages(Prefix=self._folder, Delimiter="/")
    found = [
      x["Prefix"] for page in pages for x in page.get("CommonPrefixes", ())
    ]
    return [name.removeprefix(self._folder).rstrip("/") for name in found]

  def _pages(self, **asked: str) -> list[Any]:
    pages: list[Any] = []
    token: dict[str, str] = {}
    while not pages or token:

      async def page(token: dict[str, str] = token) -> Any:
        return await self._system._call_s3(
          "list_objects_v2", Bucket=self._bucket, **asked, **token
        )

      pages.append(self._do(page))
      following = pages[-1].get("NextContinuationToken")
      token = {"ContinuationToken": following} if following else {}
    return pages

  def delete(self, key: str) -> None:
    async def delete() -> Any:
      return await self._system._call_s3(
        "delete_object", Bucket=self._bucket, Key=self._root + key
      )

    self._do(delete)

  def _do(self, work: Callable[[], Any]) -> Any:
    """What a coroutine gives; its errors are those of `store`."""
    try:
      return fsspec.asyn.sync(
        self._system.loop, work, timeout=store_lib.SECONDS
      )
    except Exception as error:
      cause = error.__cause__
      response = getattr(cause if cause is not None else error, "response", {})
      details = response.get("Error", {}) if isinstance(response, dict) else {}
      code = str(details.get("Code", ""))
      if code in ("PreconditionFailed", "ConditionalRequestConflict", "412"):
        raise store_lib.ChangedError from error
      if code in ("NoSuchKey", "404"):
        raise store_lib.MissingError from error
      is_lasting = code in _LASTING or isinstance(error, _NO_CREDENTIALS)
      raise store_lib.StoreError(
        _in_words(error, code), may_pass=not is_lasting
      ) from error


def _in_words(error: Exception, code: str) -> str:
  if isinstance(error, asyncio.TimeoutError | fsspec.asyn.FSTimeoutError):
    return "no answer"
  text = errors.reason(error, most=300)
  return f"{code}: {text}"[:300] if code else text
