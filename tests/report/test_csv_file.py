import csv
import math
import os
import pathlib

import pytest

from sr2_jax import errors
from sr2_jax.records import row_values
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import csv_file
from tests import result_rows

# A name as files may have it, with what CSV and UTF-8 do not like.
ODD = pathlib.Path(os.fsdecode(b'a,"b\n\xff.jsonl'))


def _cells(path):
  """What another program reads."""
  with path.open(newline="", errors="surrogateescape") as file:
    return list(csv.DictReader(file))


def _value(name, cell):
  kind, *optional = rows_lib._TYPES[name]
  if cell and kind == row_values.OfClasses:
    return [float(number) for number in cell.split(" ")]
  return None if optional and cell == "" else kind(cell)


def test_every_field_of_every_row_is_read_again(tmp_path):
  rows = [
    result_rows.row(value=1 / 3, noise_variance=3.2e-5, l2=0.1 + 0.2),
    result_rows.row(seed=1, value=5e-324, epochs=2.0, pretrain_epochs=4),
    result_rows.row(
      metric="balanced_accuracy", class_accuracy=(0.1 + 0.2, None, 1.0)
    ),
    result_rows.row("bicubic", experiment='x, "y"\nz', split="validation"),
    *result_rows.corrupted("wdsr", 0.8, jpeg=(50.0,)),
  ]
  path = tmp_path / "rows.csv"
  assert csv_file.write(path, [(row, ODD) for row in rows]) == len(rows)
  cells = _cells(path)
  assert tuple(cells[0]) == csv_file.COLUMNS
  assert {each.pop("file") for each in cells} == {str(ODD)}
  read = [
    rows_lib.Row(**{name: _value(name, cell) for name, cell in each.items()})
    for each in cells
  ]
  assert read == rows


def test_a_value_that_is_not_finite_differs_from_none(tmp_path):
  row = result_rows.row("bicubic", value=math.nan)
  csv_file.write(tmp_path / "rows.csv", [(row, ODD)])
  [cells] = _cells(tmp_path / "rows.csv")
  assert math.isnan(float(cells["value"]))
  assert cells["seed"] == ""


def test_a_measurement_is_there_once_for_each_file(tmp_path):
  """A file may be named twice: by its folder and by its own path."""
  first, second = pathlib.Path("a.jsonl"), pathlib.Path("b.jsonl")
  row = result_rows.row()
  found = [(row, first), (row, second), (row, first)]
  assert csv_file.write(tmp_path / "rows.csv", found) == 2
  cells = _cells(tmp_path / "rows.csv")
  assert [each["file"] for each in cells] == ["a.jsonl", "b.jsonl"]


def test_nothing_is_replaced_unless_asked_and_rows_never(tmp_path):
  rows_lib.merge(tmp_path, [result_rows.row()])
  found = rows_lib.read_with_files(tmp_path)
  path = tmp_path / "rows.csv"
  path.write_text("mine")
  with pytest.raises(errors.UserError, match=r"rows\.csv exists\.\n--force"):
    csv_file.write(path, found)
  assert path.read_text() == "mine"
  csv_file.write(path, found, force=True)
  assert len(_cells(path)) == 1
  link = tmp_path / "link.csv"
  link.symlink_to(rows_lib.FILE_NAME)
  with pytest.raises(errors.UserError, match="one of the files of rows"):
    csv_file.write(link, found, force=True)
  assert rows_lib.read_with_files(tmp_path) == found
  with pytest.raises(errors.UserError, match="is a folder"):
    csv_file.write(tmp_path, found, force=True)
