"""Invented runs on a folder of images: SR², its control, and bicubic."""

import json

import numpy as np

from tests import paper_world

LEVELS = (0.0, 1e-3)
CLASS_NAMES = tuple("ABCDEFGHIJ")


def write(folder, *, gain=0.02, control=True, seeds=(0, 1, 2), name="plates"):
  """Run folders `own` and `control`; the gain differs a little by seed."""

  def score(value, spread):
    def of(metric, level, seed, weight):
      return value + 0.1 * (seed or 0) + spread * ((seed or 0) - 1) - level

    return of

  for run, method, value, spread in (
    ("own", "sr2_fsrcnn", 0.5 + gain, 1e-3),
    ("control", "sr_continued_fsrcnn", 0.5, 0.0),
    ("own", "fsrcnn", 0.45, 0.0),
    ("own", "bicubic", 0.3, 0.0),
  )[: None if control else 1]:
    paper_world.write_run(
      folder / run,
      method,
      score(value, spread),
      dataset="folder",
      loss_weights=(0.1,) if method == "sr2_fsrcnn" else None,
      metrics=("ssim", "psnr_db")
      + (("accuracy",) if method == "sr2_fsrcnn" else ()),
      levels=LEVELS,
      seeds=seeds,
      examples=True,
    )
    path = folder / run / "config.json"
    record = json.loads(path.read_text())
    record["config"]["data"]["path"] = f"data/{name}"
    record["dataset"]["class_names"] = CLASS_NAMES
    path.write_text(json.dumps(record))
  return folder


def gain_of(seeds, gain):
  """SR² less its control by seed, as `write` has it."""
  return gain + 1e-3 * (np.array(seeds) - 1)


def rename(folder, name, runs, tuned):
  """Moves what `write` has written to runs/<name> and runs/<name>_control.

  The control starts from the other; `tuned` is added to its config.json.
  """
  for old, new, source in (
    ("own", name, ""),
    ("control", f"{name}_control", f"elsewhere/{name}/weights"),
  ):
    place = runs / new
    runs.mkdir(exist_ok=True)
    (folder / old).rename(place)
    path = place / "config.json"
    record = json.loads(path.read_text())
    record["config"].update(experiment=new, init_from=source)
    record.update({} if source else tuned)
    path.write_text(json.dumps(record))
    lines = (place / "results.jsonl").read_text().splitlines()
    rows = [{**json.loads(line), "experiment": new} for line in lines]
    (place / "results.jsonl").write_text(
      "".join(json.dumps(row) + "\n" for row in rows)
    )
