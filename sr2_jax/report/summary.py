"""What a run shows of its rows: curves in its folder, tables on the screen."""

import pathlib
from collections.abc import Sequence

from sr2_jax import errors
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import figures, tables
from sr2_jax.training import run as run_lib


def show(
  run: run_lib.Run,
  rows_of_run: Sequence[rows_lib.Row],
  *,
  checkpoint: str = "last",
) -> None:
  """Draws SSIM and accuracy over the noise variances, and prints them.

  Args:
    run: the run.
    rows_of_run: those of one checkpoint of each phase.
    checkpoint: which one that is, "last" or "best".
  """
  stem = "curves" if checkpoint == "last" else f"curves_{checkpoint}"
  shown = [*pretraining_rows(run), *rows_of_run]
  for split in run.config.eval.splits:
    path = run.folder.images / f"{stem}_{split}.png"
    figures.curves(shown, path, split=split)
  for kind in (tables.table, tables.corruption_table):
    for metric in ("ssim", "accuracy"):
      split = run.config.eval.splits[-1]
      table = kind(shown, metric=metric, split=split)
      if table:
        print(table + "\n")
  print(f"Rows, pictures and checkpoints are in {run.folder.path}.")


def pretraining_rows(run: run_lib.Run) -> list[rows_lib.Row]:
  """The rows of the pretraining in another run that this one started from.

  None where they are damaged: another's file keeps no run from its end.
  """
  source = pathlib.Path(run.config.init_from) / rows_lib.FILE_NAME
  if not run.config.init_from or not source.exists():
    return []
  seeds = range(run.config.seed, run.config.seed + run.config.num_seeds)
  try:
    rows = rows_lib.read(source)
  except errors.UserError as error:
    run_lib.say(f"left out of tables and curves: {error}")
    return []
  return [row for row in rows if row.phase == "pretrain" and row.seed in seeds]
