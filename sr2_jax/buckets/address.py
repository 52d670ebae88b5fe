"""URLs of folders in buckets, and their folders on this machine; no JAX.

A run whose folder is in a bucket works in a scratch folder, which is mirrored
there. What is only read, such as weights for predictions, is copied first.
"""

import os
import pathlib
import re
from typing import NamedTuple, Self

from sr2_jax import errors, files, paths
from sr2_jax.buckets import redaction
from sr2_jax.peers import group

SCHEMES = ("gs", "s3")
# What a bucket holds of a mirrored folder is below this name there. No folder
# of a run can be called so.
MIRROR = ".mirror"
# Stores allow 1,024 bytes; the names of files follow.
_LONGEST_KEY = 500
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
# Stores and their tools take these for patterns, queries or generations, and
# TensorStore a backslash for a slash.
_ODD = set("*?[]{}#%\\\"'`<>|^~")


class Address(NamedTuple):
  """A folder in a bucket.

  Attributes:
    scheme: "gs" or "s3".
    bucket: its name.
    key: of the folder, without slashes at its ends.
  """

  scheme: str
  bucket: str
  key: str

  def __str__(self) -> str:
    return f"{self.scheme}://{self.bucket}/{self.key}"

  def below(self, name: str) -> Self:
    """The folder of this name in this one."""
    return self._replace(key=f"{self.key}/{name}")


def is_url(text: str | os.PathLike[str]) -> bool:
  """Whether a text is the URL of a bucket, whatever is wrong with it."""
  return re.match("(gs|s3)://", os.fspath(text)) is not None


def parse(text: str, name: str) -> Address:
  """The folder that a URL names.

  Args:
    text: for which `is_url` holds.
    name: of the flag or field, for messages.

  Raises:
    UserError: if it is no folder in a bucket, in one line.
  """
  scheme, _, rest = text.partition("://")
  bucket, _, key = rest.partition("/")
  key = key.rstrip("/")
  problem = ""
  if "@" in bucket:
    problem = "cannot hold credentials, which are those of the environment"
  elif not _BUCKET.fullmatch(bucket):
    problem = "has no bucket's name"
  elif not key:
    problem = "has to name a folder in the bucket"
  elif any(part in ("", ".", "..", MIRROR) for part in key.split("/")):
    problem = f'has an empty name, ".", ".." or {MIRROR}'
  elif len(os.fsencode(key)) > _LONGEST_KEY:
    problem = f"has more than {_LONGEST_KEY} bytes"
  elif odd := sorted(set(key) & _ODD):
    problem = f"cannot hold {odd[0]}"
  elif not key.isprintable():
    problem = "has characters that cannot be printed"
  if problem:
    shown = redaction.without_secrets(paths.shown(text))[:200]
    raise errors.UserError(
      f"{name}={shown}: {problem}; it has to be like "
      f"{scheme}://bucket/runs/mine."
    )
  return Address(scheme, bucket, key)


def run_folder(text: str, name: str) -> str:
  """A run folder as typed: a URL in a bucket, or `paths.for_checkpoints`.

  Raises:
    UserError: if it is neither.
  """
  if is_url(text):
    return str(parse(text, name))
  return paths.for_checkpoints(text, name)


def scratch(address: Address) -> pathlib.Path:
  """Where this process of a run works on the folder; it need not exist.

  Each process of a run has its own, whether or not they share a disk.
  """
  return _base() / below_scratch(address, group.current().index)


def below_scratch(address: Address, process: int) -> pathlib.Path:
  """The path in $SR2_JAX_SCRATCH_DIR where a process works on the folder."""
  return f"process_{process}" / _place(address)


def copy(address: Address) -> pathlib.Path:
  """Where this machine keeps what has been read of the folder."""
  return _base() / "copies" / _place(address)


def record(address: Address) -> pathlib.Path:
  """Where a sweep keeps what it knows of a run that other machines work on."""
  return _base() / "records" / _place(address)


def local(text: str | os.PathLike[str]) -> pathlib.Path:
  """The path of what another run has made: of the copy, if it is a URL."""
  text = os.fspath(text)
  if not is_url(text):
    return pathlib.Path(text)
  return copy(parse(text, "URL"))


def _place(address: Address) -> pathlib.Path:
  return pathlib.Path(address.scheme, address.bucket, address.key)


def _base() -> pathlib.Path:
  """$SR2_JAX_SCRATCH_DIR, or a folder beside the caches."""
  name = "SR2_JAX_SCRATCH_DIR"
  if chosen := os.environ.get(name):
    return pathlib.Path(paths.for_checkpoints(chosen, name)).absolute()
  return files.cache_folder("scratch").absolute()
