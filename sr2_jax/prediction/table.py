"""The table of predictions: a row for each image, as JSON lines or CSV; no JAX.

Both forms have the same fields. In CSV what is no text or number is JSON.
"""

import csv
import dataclasses
import io
import json
import pathlib
from collections.abc import Iterable
from typing import Any

from sr2_jax import errors, files, json_files

SUFFIXES = (".jsonl", ".csv")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """What was predicted of an image.

  Attributes:
    file: the image.
    width: of the image that the network got; None if it could not be read.
    height: likewise.
    output: the super-resolved image; None if it failed.
    label: the most probable class; None without one, for which `note` has the
      reason.
    truth: the folder that the image is in, if it has the name of a class.
    probability: of the label, the mean of the members.
    probabilities: of all classes, likewise.
    members: seed, label and probability of each member.
    agree: how many of the members choose the label.
    spread: mean of the members' standard deviation over the picture; None for
      one member.
    weights: what --weights was.
    sha256: of the members' files.
    note: what to know about the image, or "".
    error: why it failed, or None.
  """

  file: str
  width: int | None = None
  height: int | None = None
  output: str | None = None
  label: str | None = None
  truth: str | None = None
  probability: float | None = None
  probabilities: dict[str, float] | None = None
  members: list[dict[str, Any]] | None = None
  agree: int | None = None
  spread: float | None = None
  weights: str
  sha256: list[str]
  note: str = ""
  error: str | None = None


FIELDS = tuple(field.name for field in dataclasses.fields(Row))
_NUMBERS = {"width": int, "height": int, "agree": int}
_NUMBERS |= {"probability": float, "spread": float}
_TEXTS = ("file", "output", "label", "truth", "weights", "note", "error")
_KINDS: dict[str, Any] = {
  **dict.fromkeys(_TEXTS, str),
  **dict.fromkeys(_NUMBERS, (int, float)),
  "probabilities": dict, "members": list, "sha256": list,
}  # fmt: skip
_ALWAYS = ("file", "weights", "note", "sha256")


def line(row: Row) -> str:
  """A row as one line of JSON, in ASCII."""
  return json.dumps(dataclasses.asdict(row)) + "\n"


def write(path: pathlib.Path, rows: Iterable[Row]) -> None:
  """Replaces the table in a file."""
  if path.suffix == ".csv":
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(FIELDS)
    for row in rows:
      values = dataclasses.asdict(row)
      writer.writerow(_cell(name, values[name]) for name in FIELDS)
    text = buffer.getvalue()
  else:
    text = "".join(map(line, rows))
  # Names of files may be no UTF-8; they are written as they are on disk.
  files.write_atomically(path, text.encode(errors="surrogateescape"))


def _cell(name: str, value: Any) -> Any:
  if value is None or name in _TEXTS or name in _NUMBERS:
    return value
  return json.dumps(value)


def read(path: pathlib.Path) -> list[Row]:
  """The rows of a file.

  Raises:
    UserError: if it is no table of predictions.
  """
  try:
    text = files.read(path).decode(errors="surrogateescape")
    if path.suffix == ".csv":
      listed = csv.DictReader(io.StringIO(text, newline=""))
      return [_row(_of_cells(cells)) for cells in listed]
    return [
      _row(json_files.parse(each, has_names=True)) for each in text.splitlines()
    ]
  except (OSError, TypeError, ValueError, csv.Error) as error:
    raise errors.UserError(
      f"{path}: no table of predictions ({files.in_words(error)}); choose "
      "another --table."
    ) from error


def _row(values: Any) -> Row:
  """The row with these values; TypeError where one is of another type."""
  row = Row(**values)
  for name, kind in _KINDS.items():
    value = getattr(row, name)
    is_none = value is None and name not in _ALWAYS
    if not is_none and not isinstance(value, kind):
      raise TypeError(f"{name} is {value!r}")
  return row


def _of_cells(cells: dict[str, str]) -> dict[str, Any]:
  values: dict[str, Any] = {}
  for name, cell in cells.items():
    if cell == "" and name != "note":
      values[name] = None
    elif name in _TEXTS:
      values[name] = cell
    else:
      values[name] = _NUMBERS.get(name, json_files.parse)(cell)
  return values
