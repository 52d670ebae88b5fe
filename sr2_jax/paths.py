"""Paths as a user types them, checked before anything is done with them.

A path is local: Python would take a URL for a folder called "gs:".
"""

import os
import pathlib
import re
import sys
import unicodedata
from collections.abc import Sequence
from typing import NoReturn

from sr2_jax import errors

# Longer names exist on no file system that Linux or macOS mounts.
_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # bytes
# How many names a message lists.
_NAMES_SHOWN = 5


def local(path: str, name: str, *, any_bytes: bool = False) -> str:
  """A typed path, with ~ replaced by the home folder that it means.

  Args:
    path: as it was typed; "" stays "".
    name: of the flag, field or variable, for messages.
    any_bytes: whether it may be no UTF-8, which a run folder may not.

  Raises:
    UserError: names what this machine cannot use the path for, in one line.
  """
  if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path):
    _refuse(path, name, "is a URL, but has to be a path on this machine")
  expanded = os.path.expanduser(path)
  if expanded.startswith("~"):
    user = expanded.partition("/")[0]
    _refuse(path, name, f"{user} has no home folder here; write it out")
  if "\0" in expanded:
    _refuse(path, name, "a path cannot hold a null character")
  try:
    os.fsencode(expanded)
    # Where a link leads, too. TensorStore takes UTF-8 only, in any locale.
    whole = os.path.realpath(expanded)
    if not any_bytes:
      whole.encode()
  except UnicodeEncodeError as error:
    character = ascii(error.object[error.start])
    encoding = sys.getfilesystemencoding()
    _refuse(
      path,
      name,
      f"{character} cannot be encoded in this locale ({encoding}); rename it, "
      "or set another LC_ALL",
    )
  except OSError as error:  # The current folder has been deleted.
    _refuse(path, name, error.strerror or str(error))
  if any(len(os.fsencode(n)) > _LONGEST_NAME for n in whole.split("/")):
    _refuse(path, name, f"a name has more than {_LONGEST_NAME} bytes")
  if len(os.fsencode(whole)) > _LONGEST_PATH:
    _refuse(path, name, f"it has more than {_LONGEST_PATH:,} bytes")
  return expanded


def for_checkpoints(path: str, name: str) -> str:
  """A `local` path of a run folder.

  TensorStore, which writes the arrays of a checkpoint, takes a backslash for a
  slash, and orbax the end of a folder's name in "gs:" for the start of a URL.

  Raises:
    UserError: as `local`, or names what checkpoints cannot have in their path.
  """
  expanded = local(path, name)
  for text in ("\\", "gs:/"):
    if text in os.path.realpath(expanded):
      _refuse(path, name, f'the path of a run folder cannot hold "{text}"')
  return expanded


def check_writable(folder: pathlib.Path, name: str) -> None:
  """Refuses what would be found out only when everything has been made.

  Args:
    folder: for outputs; it need not exist yet.
    name: of the flag, for messages.

  Raises:
    UserError: if it is a file, or nothing can be written there.
  """
  if folder.exists() and not folder.is_dir():
    raise errors.UserError(f"{name}={folder} is a file, not a folder.")
  place = next(p for p in (folder, *folder.absolute().parents) if p.exists())
  if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
    _refuse(str(folder), name, f"nothing can be written to {place}")


def _refuse(path: str, name: str, problem: str) -> NoReturn:
  """Raises a UserError of one line, whatever characters the path has."""
  text = shown(path)
  if len(text) > _LONGEST_NAME:
    text = f"{text[:60]}..."
  raise errors.UserError(f"{name}={text}: {problem}.")


def composed(name: str) -> str:
  """A name with one character for an "ü"; macOS writes two, of equal looks."""
  return unicodedata.normalize("NFC", name)


def shown(path: str | os.PathLike[str]) -> str:
  """A path in one line, whatever characters it has."""
  text = os.fspath(path)
  return text if text.isprintable() else ascii(text)


def listed(found: Sequence[str | os.PathLike[str]]) -> str:
  """The first few of some paths, and how many more there are."""
  more = len(found) - _NAMES_SHOWN
  first = ", ".join(map(shown, found[:_NAMES_SHOWN]))
  return f"{first} and {more:,} more" if more > 0 else first
