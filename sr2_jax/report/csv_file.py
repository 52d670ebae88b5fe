"""Rows of many files as one CSV file, for programs that read no JSON."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterable
from typing import Any

from sr2_jax import errors, files
from sr2_jax.records import rows as rows_lib

# The fields of a row, then the file that it is from.
COLUMNS = (*rows_lib.FIELDS, "file")


def write(
  path: pathlib.Path,
  found: Iterable[tuple[rows_lib.Row, pathlib.Path]],
  *,
  force: bool = False,
) -> int:
  """Writes rows in the order given; returns how many.

  A cell without a value is empty. Numbers have as many digits as it takes to
  read the same ones again; several of them have spaces between them. Of two
  rows of a file with the same key the later counts, as when it was written.

  Args:
    path: the CSV file.
    found: rows, each with its file, as from `rows.read_with_files`.
    force: replace a file that exists, but never one of rows.

  Raises:
    UserError: if the file exists, or is a folder.
  """
  rows = {(file, row.key): row for row, file in found}
  if path.exists():
    if path.is_dir():
      raise errors.UserError(f"--csv={path} is a folder; give a file.")
    if any(path.samefile(file) for file in {file for file, _ in rows}):
      raise errors.UserError(
        f"--csv={path} is one of the files of rows; choose another name."
      )
    if not force:
      raise errors.UserError(
        f"{path} exists.\n--force replaces it; another --csv keeps it."
      )
  buffer = io.StringIO(newline="")
  writer = csv.writer(buffer, lineterminator="\n")
  writer.writerow(COLUMNS)
  for (file, _), row in rows.items():
    writer.writerow([*map(_cell, dataclasses.astuple(row)), file])
  # Names of files may be no UTF-8; they are written as they are on disk.
  text = buffer.getvalue().encode(errors="surrogateescape")
  files.write_atomically(path, text)
  return len(rows)


def _cell(value: Any) -> Any:
  if not isinstance(value, tuple):
    return value
  return " ".join("nan" if x is None else repr(x) for x in value)
