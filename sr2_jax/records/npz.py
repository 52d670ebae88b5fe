"""NumPy archives, from which only arrays are ever read; no JAX."""

import contextlib
import pathlib
import zipfile
from collections.abc import Iterator

import numpy as np

from sr2_jax import errors, files


def read(path: pathlib.Path) -> dict[str, np.ndarray] | None:
  """The arrays of an archive, or None if there is no such file.

  Raises:
    UserError: if it is damaged or of another kind.
  """
  # Opened here because NumPy leaves a damaged file open.
  try:
    with files.open_regular(path) as file:
      if not zipfile.is_zipfile(file):
        raise ValueError("it is no .npz archive")
      file.seek(0)
      with np.load(file, allow_pickle=False) as arrays:
        found = dict(arrays)
    # What is in an archive under another name is not decoded.
    if not all(isinstance(array, np.ndarray) for array in found.values()):
      raise ValueError("it holds more than arrays")
    return found
  except FileNotFoundError:
    return None
  # NumPy, zipfile and zlib raise anything on a file that is damaged.
  except Exception as error:
    raise errors.UserError(
      f"{path} cannot be read: {files.in_words(error)}"
    ) from error


@contextlib.contextmanager
def named(path: pathlib.Path) -> Iterator[None]:
  """Turns errors about the arrays of an archive into a UserError."""
  try:
    yield
  except KeyError as error:
    raise errors.UserError(f"{path} is damaged: no array {error}") from error
  except (ValueError, TypeError) as error:
    raise errors.UserError(f"{path} is damaged: {error}") from error
