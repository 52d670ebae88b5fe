"""Which pretraining the networks of an experiment have; no JAX."""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from sr2_jax import errors
from sr2_jax.records import folder as folder_lib
from sr2_jax.report.paper import sources


@dataclasses.dataclass(frozen=True)
class Start:
  """A pretraining.

  Attributes:
    folders: names of the run folders that trained it; empty if unknown.
    weights: sha256 of the files that were fine-tuned in it, or none; None if
      unknown.
  """

  folders: frozenset[str] = frozenset()
  weights: frozenset[str] | None = None

  def best(self, others: Iterable[tuple["Start", str]]) -> tuple[str, ...]:
    """Names of those that have this start or, without any, may have such one.

    Runs of one seed and one recipe have the same start, wherever it was
    trained; but not if one was fine-tuned.
    """
    others = list(others)
    same = tuple(name for start, name in others if self.folders & start.folders)
    return same or tuple(
      name
      for start, name in others
      if None in (self.weights, start.weights) or self.weights == start.weights
    )


def find(rows: sources.RowsWithFiles) -> dict[str, Start]:
  """The start of each experiment, as config.json of its folders says."""
  places = dict.fromkeys((row.experiment, file.parent) for row, file in rows)
  records = {folder: _record(folder) for _, folder in places}
  by_name = {folder.name: record for folder, record in records.items()}
  found: dict[str, Start] = {}
  for experiment, folder in places:
    start = _start(folder.name, records[folder], by_name)
    known = found.get(experiment, start)
    found[experiment] = Start(
      known.folders | start.folders,
      None
      if known.weights is None or start.weights is None
      else known.weights | start.weights,
    )
  return found


def _record(folder: pathlib.Path) -> Mapping[str, Any]:
  try:
    return folder_lib.RunFolder(folder).read() or {}
  except errors.UserError:
    return {}


def _start(
  name: str, record: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]
) -> Start:
  """The start of the run in a folder.

  Folders may have moved since `init_from` was given, so their names count.

  Args:
    name: of the folder.
    record: its config.json; empty if there is none.
    others: those of all folders, by name.
  """
  config = record.get("config", {})
  source = config.get("init_from")
  if source and not config.get("fine_tune"):
    # It may name weights in the folder.
    parts = pathlib.PurePath(source).parts
    above = parts[: (*parts, "weights").index("weights")]
    name = above[-1] if above else source
    record = others.get(name, {})
  if not record:
    return Start(frozenset({name}) if source else frozenset())
  weights = frozenset(record.get("fine_tuned_from", ()))
  return Start(frozenset({name}), weights)
