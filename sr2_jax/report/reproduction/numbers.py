"""The numbers behind docs/reproduction.md; no JAX."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sr2_jax import names
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report import reading
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import page as page_lib
from sr2_jax.report.paper import verdicts
from sr2_jax.report.reproduction import collect

NOT_RUN = "Not run yet with re-estimated statistics."


@dataclasses.dataclass(frozen=True)
class Numbers:
  """Everything behind the page.

  Attributes:
    new: rows with re-estimated statistics, and rulings on all claims.
    old: rows of files without re-estimated statistics, and rulings.
    of_validation: new and old rows of the validation split, by statistics.
    why: rows of other recipes, by the name of their file.
    known: revision, time and machine of each file of rows, from runs.json.
  """

  new: measurements_lib.Measurements
  old: measurements_lib.Measurements
  of_new: Sequence[verdicts.Ruling]
  of_old: Sequence[verdicts.Ruling]
  of_validation: Mapping[str | None, measurements_lib.Measurements]
  why: Mapping[str, measurements_lib.Measurements]
  known: Mapping[str, Mapping[str, Any]]


def read(results: pathlib.Path) -> Numbers:
  """The rows in a folder.

  Raises:
    UserError: as `reading.read` does.
  """
  rows = reading.read(results)
  found, of_validation = (
    measurements_lib.of_the_paper(rows, split=split)
    for split in ("test", "validation")
  )
  new, old = found.by("reestimated"), found.by("running", alone=True)
  return Numbers(
    new,
    old,
    page_lib.judge(new),
    page_lib.judge(old),
    {
      kind: of_validation.by(kind, alone=kind == "running")
      for kind in names.BATCH_NORMS
    },
    {
      file.stem: measurements_lib.read(file, split="test")
      for file in sorted(results.glob(f"{reading.OTHER_RECIPES}*.jsonl"))
    },
    collect.read_known(results),
  )


def new_and_old(
  numbers: Numbers,
  blocks_of: Callable[[measurements_lib.Measurements], list[blocks_lib.Block]],
) -> list[blocks_lib.Block]:
  """Blocks of the new rows, and folded those of the older ones."""
  has_new = any(row.batch_norm == "reestimated" for row, _ in numbers.new.rows)
  new = blocks_of(numbers.new) if has_new else []
  blocks = new or [blocks_lib.Paragraph(NOT_RUN)]
  if old := blocks_of(numbers.old):
    blocks = [
      *blocks, blocks_lib.Details("Older rows, with running statistics", old),
    ]  # fmt: skip
  return blocks
