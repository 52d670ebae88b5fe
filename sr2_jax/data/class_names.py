"""Classes of images: a file that names them, and a choice among them."""

import codecs
import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, NoReturn

from sr2_jax import errors, files, paths

_COLUMNS = ("file", "label")
# Characters between columns, as spreadsheets of different countries write them.
_DELIMITERS = ",;\t"


class Labels(NamedTuple):
  """What a table says.

  Attributes:
    classes: by path, relative and with slashes.
    problems: one message for each kind of line that cannot be used.
  """

  classes: dict[str, str]
  problems: tuple[str, ...]


def read(path: Path) -> Labels:
  """The class of each file that a table names.

  Args:
    path: of a CSV file with the columns "file" and "label", and any others.

  Raises:
    UserError: if it cannot be read at all.
  """
  shown = f"config.data.labels={paths.shown(path)}"
  try:
    text = _text(files.read(path))
  except (OSError, ValueError) as error:
    raise errors.UserError(f"{shown}: {files.in_words(error)}.") from error
  head = text.partition("\n")[0].strip()
  delimiter = max(_DELIMITERS, key=head.count)
  table = csv.DictReader(
    # What ends a line is csv's to say: a label in quotation marks may have it.
    io.StringIO(text, newline=""),
    delimiter=delimiter,
    skipinitialspace=True,
  )
  try:
    table.fieldnames = [x.strip().lower() for x in table.fieldnames or ()]
    rows = [
      (
        table.line_num,
        (row.get("file") or "").strip(),
        paths.composed((row.get("label") or "").strip()),
      )
      for row in table
    ]
  except csv.Error as error:
    raise errors.UserError(
      f"{shown}: after line {table.line_num}: {error}; is a quotation mark "
      "never closed?"
    ) from error
  if not set(_COLUMNS) <= set(table.fieldnames):
    raise errors.UserError(
      f'{shown}: its first line is "{head[:80]}", but has to name the columns '
      'file and label, as in "file,label".'
    )
  return _checked(rows, shown)


def _text(data: bytes) -> str:
  """What a file of text in UTF-8 says.

  Raises:
    ValueError: it is no such file; says what to do.
  """
  if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
    raise ValueError("it is text in UTF-16; save it as CSV UTF-8")
  try:
    text, null = data.decode(), data.find(b"\0")
  except UnicodeDecodeError as error:
    raise ValueError(
      f"it is no text in UTF-8 (byte {error.start}); save it as CSV UTF-8"
    ) from error
  if null >= 0:
    raise ValueError(
      f"byte {null} is zero, as none is in text; save it as CSV UTF-8"
    )
  # Spreadsheets write an invisible mark first.
  return text.lstrip("\ufeff")


def _checked(rows: list[tuple[int, str, str]], shown: str) -> Labels:
  """Classes by file; each file has one, and lies below the folder."""
  labels: dict[str, str] = {}
  incomplete, outside, twice = [], [], []
  for line, file, label in rows:
    name = PurePosixPath(file.replace("\\", "/"))
    if not file or not label:
      incomplete.append(f"line {line}")
    elif name.is_absolute() or ".." in name.parts:
      outside.append(f"line {line}")
    elif labels.setdefault(str(name), label) != label:
      twice.append(f"line {line} ({name})")
  problems = [
    f"{shown}: {len(wrong):,} of {len(rows):,} lines {problem}: "
    f"{paths.listed(wrong)}.\nCorrect or remove them."
    for wrong, problem in (
      (incomplete, "without a file or label"),
      (outside, "with a path that is not below config.data.path"),
      (twice, "with another label than an earlier line of the same file"),
    )
    if wrong
  ]
  if not rows:
    problems.append(f"{shown} names no files.")
  return Labels(labels, tuple(problems))


def choice(text: str, names: Iterable[str]) -> dict[str, str]:
  """What becomes of classes: their new names; what is left out is missing.

  Args:
    text: of `data.classes`: items with commas between them. "a" keeps a class,
      "new=a+b" joins some, "-a" leaves one out, and "*" keeps all that no other
      item names. "" keeps all.
    names: of all classes.

  Raises:
    UserError: names the item that is wrong, and the classes there are.
  """
  known = set(names)
  chosen: dict[str, str] = {}
  left_out: set[str] = set()
  items = [item.strip() for item in paths.composed(text or "*").split(",")]
  for item in items:
    if item == "*":
      continue
    new, parts = _parsed(item, known)
    for part in parts:
      if part not in known:
        _refuse(item, f'there is no class "{part}"', known)
      if part in chosen or part in left_out:
        _refuse(item, f'"{part}" is named twice', known)
      if new is None:
        left_out.add(part)
      else:
        chosen[part] = new
  # Items that only leave out keep the others.
  if "*" in items or not chosen:
    rest = known - chosen.keys() - left_out
    chosen.update({name: name for name in rest})
  if not chosen:
    _refuse(text, "every class is left out", known)
  return chosen


def without(names: Sequence[str]) -> str:
  """What to do about classes that training does not see, in a line."""
  # An item ends at a comma, and loses the spaces around it.
  if any("," in x or x != x.strip() or not x.isprintable() for x in names):
    return "Add some, or move the classes away."
  items = ",".join(f"-{name}" for name in names)
  return f"Add some, or leave the classes out: config.data.classes={items}"


def _parsed(item: str, known: set[str]) -> tuple[str | None, list[str]]:
  """The new name in an item, None to leave out, and the classes it names."""
  if item in known:
    return item, [item]
  if item.startswith("-"):
    return None, [item[1:]]
  new, equals, old = item.partition("=")
  if not equals:
    return item, [item]
  parts = [part.strip() for part in old.split("+")]
  if not new.strip():
    _refuse(item, "the new name is missing, as in new=a+b", known)
  return new.strip(), parts


def _refuse(item: str, problem: str, known: Iterable[str]) -> NoReturn:
  raise errors.UserError(
    f'config.data.classes: in "{item}" {problem}.\n'
    f"The classes are {paths.listed(sorted(known))}."
  )
