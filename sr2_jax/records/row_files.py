"""Finds files of rows; no JAX."""

import os
import pathlib
from typing import NoReturn

from sr2_jax import errors, files
from sr2_jax.records import json_lines


def count(path: pathlib.Path) -> int:
  """The number of rows in a file, none if there is no such file."""
  return len(json_lines.read_lines(path))


def find(path: str | os.PathLike[str], name: str) -> list[pathlib.Path]:
  """Files of rows at a path: the file itself, or all in or below a folder.

  Args:
    path: a run folder, a folder of run folders or of files of rows
      (`*.jsonl`), or a file of any name.
    name: of the file of rows in a run folder.

  Raises:
    UserError: if there are none, or as `below` does.
  """
  path = pathlib.Path(path)
  if path.is_file():
    return [path]
  if not path.is_dir():
    raise errors.UserError(
      f"{path}: no such file or folder.\n"
      "Give the folder of a run, its --workdir."
    )
  if (path / name).is_file():
    return [path / name]
  found = below(path, name)
  # A run folder that has no rows yet has other logs.
  if not found and not (path / "config.json").exists():
    found = sorted(path.glob("*.jsonl"))
  if not found:
    raise errors.UserError(
      f"{path}: no {name} in it.\n"
      "The first evaluation of a run writes it. To read a file with another "
      "name, give its path."
    )
  return found


def below(folder: pathlib.Path, name: str) -> list[pathlib.Path]:
  """Files of a name below a folder; those that several links lead to once.

  Raises:
    UserError: if a folder cannot be read, as its rows would be missing.
  """
  every = files.below(folder, once=True, on_error=_refuse)
  return sorted(file for file in every if file.name == name)


def _refuse(error: OSError) -> NoReturn:
  raise errors.UserError(
    f"{error.filename}: cannot be read ({files.in_words(error)}); rows in it "
    "would be missing.\nChange its permissions, or give the folders of runs."
  ) from error
