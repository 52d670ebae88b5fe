"""Finds files of rows; no JAX."""

import os
import pathlib

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
    UserError: if there are none.
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
  found = sorted(file for file in files.below(path) if file.name == name)
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
