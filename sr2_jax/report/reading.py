"""Reads the rows behind a report, of many runs at once; no JAX."""

import dataclasses
import itertools
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from sr2_jax import errors
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.report.paper import values as paper_values

# Runs of another recipe, which ask why numbers differ: their files or run
# folders have names that begin so.
OTHER_RECIPES = "why_"

# What rows of any folder of images have as their data set.
_FOLDER = "folder"

# Fields of a row in which one run may differ from itself.
_OF_A_TIME = (*rows_lib.MEASURED, "step")

RowsWithFiles = list[tuple[rows_lib.Row, pathlib.Path]]


@dataclasses.dataclass(frozen=True)
class Found:
  """Rows with their files, and what a reader has to know about them."""

  rows: RowsWithFiles
  notes: tuple[str, ...]


def read(paths: rows_lib.Paths) -> Found:
  """The rows of run folders, folders of them or of rows, or files of rows.

  Runs of other recipes are left out where there are runs of the usual one. Two
  runs of one name are taken apart: the later file's experiment gets the name of
  the file as well. Images of a user are called as their folder is.

  Args:
    paths: as `rows.read` has them.

  Raises:
    UserError: if there are no rows, or a row is damaged.
  """
  found = with_folder_names(rows_lib.read_with_files(paths))
  usual = [
    (row, file)
    for row, file in found
    if not name_of(file).startswith(OTHER_RECIPES)
  ]
  notes = []
  if usual and len(usual) < len(found):
    left_out = sorted({name_of(file) for _, file in found} - _names(usual))
    notes.append(
      "Left out, because they are of other recipes: "
      f"{', '.join(f'`{name}`' for name in left_out)}."
    )
    found = usual
  renamed = _taken_apart(found)
  for (file, experiment), other in renamed.items():
    notes.append(
      f"`{name_of(file)}` is another run than those before it with the name "
      f"`{experiment}`; here it is `{other}`."
    )
  rows = [
    (
      dataclasses.replace(row, experiment=renamed[file, row.experiment])
      if (file, row.experiment) in renamed
      else row,
      file,
    )
    for row, file in found
  ]
  return Found(rows, tuple(notes))


def with_folder_names(found: RowsWithFiles) -> RowsWithFiles:
  """The rows, those of `data.name=folder` with the folder's name instead.

  Rows do not say which images they are of; config.json beside them does. If two
  folders of one name have other images, or the name is that of another data
  set, the start of their fingerprint follows.
  """
  of_files: dict[pathlib.Path, str] = {}
  fingerprints: dict[str, str] = dict.fromkeys(
    (*paper_values.DATA_SETS, ""), ""
  )
  for file in dict.fromkeys(x for row, x in found if row.dataset == _FOLDER):
    if file.name != rows_lib.FILE_NAME:
      continue
    try:
      record = folder_lib.RunFolder(file.parent).read() or {}
      name = pathlib.Path(record["config"]["data"]["path"]).name
      fingerprint = str(record["dataset"]["fingerprint"])
    except (errors.UserError, KeyError, TypeError):
      continue
    if fingerprints.setdefault(name, fingerprint) != fingerprint:
      name = f"{name} {fingerprint[:6]}"
    of_files[file] = name
  return [
    (dataclasses.replace(row, dataset=of_files[file]), file)
    if row.dataset == _FOLDER and file in of_files
    else (row, file)
    for row, file in found
  ]


def name_of(file: pathlib.Path) -> str:
  """The run folder's name, or that of a file of rows."""
  return file.parent.name if file.name == rows_lib.FILE_NAME else file.stem


def _names(rows: RowsWithFiles) -> set[str]:
  return {name_of(file) for _, file in rows}


def _taken_apart(
  found: RowsWithFiles,
) -> dict[tuple[pathlib.Path, str], str]:
  """New names of experiments that clash, by file and old name."""
  files: dict[str, dict[pathlib.Path, RowsWithFiles]] = {}
  for row, file in found:
    of_file = files.setdefault(row.experiment, {})
    of_file.setdefault(file, []).append((row, file))
  renamed = {}
  for experiment, of_experiment in files.items():
    # Files that agree are of one experiment: other seeds of it, for example.
    groups: list[list[pathlib.Path]] = []
    for file in of_experiment:
      for group in groups:
        if not _disagree(of_experiment, [*group, file]):
          group.append(file)
          break
      else:
        groups.append([file])
    for group in groups[1:]:
      for file in group:
        name = f"{experiment} ({name_of(group[0])})"
        renamed[file, experiment] = name
  return renamed


def _disagree(
  rows: Mapping[pathlib.Path, RowsWithFiles], files: Sequence[pathlib.Path]
) -> bool:
  """Whether two files differ in a measurement.

  One run would silently replace the other, or be averaged with it over seeds.
  """
  newest: dict[tuple[Any, ...], dict[pathlib.Path, rows_lib.Row]] = {}
  for row, file in itertools.chain.from_iterable(rows[x] for x in files):
    of_files = newest.setdefault(row.without(*_OF_A_TIME), {})
    # A file may hold a best checkpoint's rows beside those of the last.
    if file not in of_files or row.step >= of_files[file].step:
      of_files[file] = row
  return any(
    not _agree(*pair)
    for of_files in newest.values()
    for pair in itertools.pairwise(of_files.values())
  )


def _agree(a: rows_lib.Row, b: rows_lib.Row) -> bool:
  # Untrained methods may differ in rounding between machines.
  is_close = math.isclose(a.value, b.value, rel_tol=1e-5, abs_tol=1e-6)
  are_nan = math.isnan(a.value) and math.isnan(b.value)
  return a.step == b.step and (is_close or are_nan)
