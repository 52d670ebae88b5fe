"""A run's results at its end: curves in its folder, tables on the screen."""

import pathlib
from collections.abc import Sequence

from sr2_jax.records import rows as rows_lib
from sr2_jax.report import divergences, figures, reading, tables


def show(
  rows: Sequence[rows_lib.Row],
  folder: pathlib.Path,
  *,
  splits: Sequence[str],
  checkpoint: str = "last",
) -> None:
  """Draws SSIM and accuracy over the noise variance, and prints tables of both.

  Args:
    rows: rows of one checkpoint of each phase.
    folder: the run folder; the curves go into its `images/`.
    splits: splits to draw; the last one is printed.
    checkpoint: "last" or "best": which one the rows are of.
  """
  file = folder / rows_lib.FILE_NAME
  rows = [
    row for row, _ in reading.with_folder_names([(row, file) for row in rows])
  ]
  stem = "curves" if checkpoint == "last" else f"curves_{checkpoint}"
  for split in splits:
    figures.curves(rows, folder / "images" / f"{stem}_{split}.png", split=split)
  for kind in (tables.table, tables.corruption_table):
    for metric in ("ssim", "accuracy"):
      table = kind(rows, metric=metric, split=splits[-1])
      if table:
        print(table + "\n")
  note = divergences.note([folder])
  if note:
    print(note + "\n")
  print(f"Rows, pictures and checkpoints are in {folder}.")
