"""Folders of rows, as results/ is one."""

import json

from sr2_jax.records import rows as rows_lib
from tests import paper_world


def write(folder, runs, *, known=None):
  """Files of rows: {name: (method, score, settings)}."""
  for name, (method, score, settings) in runs.items():
    paper_world.write_run(
      folder.parent / "runs" / name, method, score, arrays=False, **settings
    )
    rows_lib.merge(
      folder / f"{name}.jsonl",
      rows_lib.read(folder.parent / "runs" / name),
    )
  if known is not None:
    (folder / "runs.json").write_text(json.dumps(known))
  return folder


def constant(value):
  """The same for every image, a hair apart between seeds."""
  return lambda metric, level, seed, _: value + 1e-4 * (seed or 0)
