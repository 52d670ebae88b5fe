"""The folders of released weights and the lists of them; no JAX.

A folder has the form of model hubs: README.md (the card), config.json,
model.safetensors (in seed_<n>/ if there are several), metrics.json and
SHA256SUMS. `weights.json` lists the files of all, `weights.csv` their numbers.
"""

import csv
import dataclasses
import hashlib
import io
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sr2_jax import errors, files, json_files
from sr2_jax.config import record
from sr2_jax.records import released
from sr2_jax.records import rows as rows_lib
from sr2_jax.release import card, source

CONFIG, METRICS, CARD = "config.json", "metrics.json", "README.md"
TABLE = "weights.csv"
# What comes of a file whose parts are missing, or of other types.
_ODD = (ValueError, LookupError, TypeError, AttributeError)
Rows = Mapping[str, Sequence[rows_lib.Row]]


def metrics(rows: Rows) -> bytes:
  """metrics.json: "rows" of the files, and what is beside them."""
  listed = [
    f"{json.dumps(kind)}: [{_lines(of_kind)}]" for kind, of_kind in rows.items()
  ]
  return f"{{{', '.join(listed)}}}\n".encode()


def _lines(rows: Iterable[rows_lib.Row]) -> str:
  return ",".join(f"\n{json.dumps(dataclasses.asdict(row))}" for row in rows)


def read_metrics(path: pathlib.Path) -> dict[str, list[rows_lib.Row]]:
  """What `metrics` wrote.

  Raises:
    UserError: if the file is damaged.
  """
  try:
    return {
      kind: [rows_lib.of_fields(row) for row in rows]
      for kind, rows in _object(path).items()
    }
  except (AttributeError, TypeError, ValueError) as error:
    raise _damaged(path, error) from error


def _object(path: pathlib.Path) -> dict[str, Any]:
  """The object in a file of JSON; raises UserError if it has none."""
  try:
    found = json_files.read(path)
  except (OSError, ValueError) as error:
    raise _damaged(path, error) from error
  if not isinstance(found, dict):
    raise _damaged(path, ValueError("not a JSON object"))
  return found


def _damaged(path: pathlib.Path, error: Exception) -> errors.UserError:
  return errors.UserError(
    f"{path}: damaged, or not there ({files.in_words(error)}).\n"
    "Restore it, or release the network again."
  )


def contents(
  about: Mapping[str, Any], rows: Rows, models: Mapping[str, bytes]
) -> dict[str, bytes]:
  """The files of a folder by path, SHA256SUMS last."""
  found = {
    CARD: card.text(
      about, rows, {path: described(data) for path, data in models.items()}
    ).encode(),
    CONFIG: f"{json.dumps(about, indent=2)}\n".encode(),
    METRICS: metrics(rows),
    **models,
  }
  return {**found, released.SUMS: sums(found)}


def sums(of_files: Mapping[str, bytes]) -> bytes:
  """SHA256SUMS, as `sha256sum -c` takes it."""
  lines = [
    f"{described(data).sha256}  {path}\n" for path, data in of_files.items()
  ]
  return "".join(lines).encode()


def described(data: bytes) -> released.File:
  """What a file with these bytes has to be."""
  return released.File(hashlib.sha256(data).hexdigest(), len(data))


def write(folder: pathlib.Path, of_files: Mapping[str, bytes]) -> None:
  """Writes a folder's files, the sums last."""
  for path, data in of_files.items():
    files.write_atomically(folder / path, data)


def add_to_lists(
  folder: pathlib.Path,
  about: Mapping[str, Any],
  rows: Rows,
  models: Mapping[str, bytes],
  *,
  address: str | None,
) -> None:
  """Adds a network to weights.json and weights.csv of a folder."""
  described_models = {path: described(data) for path, data in models.items()}
  path = folder / released.INDEX
  entries = _object(path) if path.exists() else {}
  entries[about["name"]] = {
    "address": address,
    "files": {
      path: {"bytes": file.num_bytes, "sha256": file.sha256}
      for path, file in described_models.items()
    },
  }
  text = json.dumps(dict(sorted(entries.items())), indent=2)
  files.write_atomically(path, f"{text}\n".encode())
  released.index.cache_clear()
  lines = {line["name"]: line for line in read_table(folder)}
  lines[about["name"]] = line_of(about, rows, described_models)
  write_table(folder, [lines[name] for name in sorted(lines)])


def line_of(
  about: Mapping[str, Any], rows: Rows, models: Mapping[str, released.File]
) -> dict[str, str]:
  """The line of a network in weights.csv; numbers are means over its seeds."""
  config = about["config"]
  line = {
    "name": about["name"],
    "trunk": config["model"]["trunk"],
    "wiring": config["model"]["wiring"]
    if about["phase"] == "joint"
    else "none",
    "scale": str(about["scale"]),
    "data": config["data"]["name"],
    "seeds": " ".join(map(str, about["seeds"])),
    "dtype": about["dtype"],
    "bytes": str(sum(file.num_bytes for file in models.values())),
    "sha256": " ".join(file.sha256 for file in models.values()),
  }
  for metric in source.METRICS:
    for variance in source.NOISE_VARIANCES:
      values = [
        row.value
        for row in rows["rows"]
        if row.metric == metric
        and rows_lib.is_close(row.noise_variance, variance)
      ]
      cell = f"{np.mean(values):.4f}" if values else ""
      line[f"{metric} at {variance:g}"] = cell
  return line


def read_table(folder: pathlib.Path) -> list[dict[str, str]]:
  """The lines of weights.csv; none without the file."""
  path = folder / TABLE
  if not path.exists():
    return []
  try:
    text = files.read(path).decode()
    lines = list(csv.DictReader(io.StringIO(text)))
    if not all(line["name"] for line in lines):
      raise ValueError("a line has no name")
    return lines
  except (OSError, ValueError, KeyError, csv.Error) as error:
    raise _damaged(path, error) from error


def write_table(folder: pathlib.Path, lines: Sequence[dict[str, str]]) -> None:
  """Writes weights.csv."""
  text = io.StringIO()
  writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
  writer.writeheader()
  writer.writerows(lines)
  files.write_atomically(folder / TABLE, text.getvalue().encode())


def rewrite(folder: pathlib.Path) -> None:
  """Makes the cards, the sums and weights.csv again from the other files.

  Raises:
    UserError: if the weights are not those that were released.
  """
  for name, entry in released.index(folder).items():
    place = folder / name
    if place.exists():
      about, rows, models = _read(place, entry)
      if {p: described(data) for p, data in models.items()} != entry.models:
        raise errors.UserError(
          f"{place}: its files are not those of {released.INDEX}.\n"
          "Restore them, or release the network again."
        )
      write(place, contents(about, rows, models))
      add_to_lists(folder, about, rows, models, address=entry.address)


def check(folder: pathlib.Path) -> list[str]:
  """What a folder's lists and the folders at hand do not agree in.

  Raises:
    UserError: if the list is missing or damaged.
  """
  entries = released.index(folder)
  if not entries:
    raise errors.UserError(f"{folder}: there is no {released.INDEX}.")
  table = {line["name"]: line for line in read_table(folder)}
  problems = [
    f"{name}: only in {TABLE}" for name in table.keys() - entries.keys()
  ]
  for name, entry in entries.items():
    place = folder / name
    if name not in table:
      problems.append(f"{name}: not in {TABLE}")
    if place.exists():
      problems += [
        f"{name}: {problem}" for problem in _problems(place, entry, table)
      ]
  return problems


def _problems(
  place: pathlib.Path,
  entry: released.Released,
  table: Mapping[str, dict[str, str]],
) -> list[str]:
  try:
    about, rows, models = _read(place, entry)
    expected = contents(about, rows, models)
    problems = [
      f"{path} is not what the other files say"
      for path, data in expected.items()
      if files.read(place / path) != data
    ]
    found = {path: described(data) for path, data in models.items()}
    if found != entry.models:
      problems.append(f"the files are not those of {released.INDEX}")
    if about["name"] != entry.name:
      problems.append(f"{CONFIG} names it {about['name']}")
    if table.get(entry.name) != line_of(about, rows, found):
      problems.append(f"{TABLE} is not what the other files say")
    return problems
  except errors.UserError as error:
    return [str(error).splitlines()[0]]
  except (OSError, *_ODD) as error:
    return [f"damaged ({type(error).__name__}: {error})"]


def _read(
  place: pathlib.Path, entry: released.Released
) -> tuple[dict[str, Any], dict[str, list[rows_lib.Row]], dict[str, bytes]]:
  """What a folder says of its network, its rows, and its models.

  Raises:
    UserError: if a file is missing or damaged.
  """
  path = place / CONFIG
  try:
    models = {path: files.read(place / path) for path in entry.models}
    about = _object(path)
    record.config_as_written(about["config"])
  except (OSError, *_ODD) as error:
    raise _damaged(path, error) from error
  return about, read_metrics(place / METRICS), models
