"""What the page says of its runs, from invented run folders."""

import json

from sr2_jax.records import rows as rows_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import runs as runs_lib
from tests import paper_world, result_rows


def _runs(folder):
  return measurements_lib.read(folder, split="test").runs()


def _training(folder):
  return "\n".join(block.text for block in runs_lib.training(_runs(folder)))


def _write(folder, name, **settings):
  return paper_world.write_run(
    folder / name, name, paper_world.constant(0.7), **settings
  )


def test_how_long_was_trained_and_on_what(tmp_path):
  for name in ("fsrcnn", "sr2_fsrcnn"):
    _write(tmp_path, name)
  text = _training(tmp_path)
  assert "7 of `pretrain`, 5 of `joint`; the authors' script has 120" in text
  assert "**Data**: mnist: half of it." in text
  for word in ("differently", "Unfinished", "unknown"):
    assert word not in text


def test_another_recipe_is_named(tmp_path):
  _write(tmp_path, "fsrcnn")
  _write(tmp_path, "sr2_fsrcnn", loss="l1")
  _write(tmp_path, "wdsr", scale=2, loss="l1")
  text = _training(tmp_path)
  assert "on mnist x4: loss.super_resolution differ" in text
  assert "x2:" not in text


def test_other_images_are_named(tmp_path):
  _write(tmp_path, "fsrcnn")
  path = _write(tmp_path, "sr2_fsrcnn") / "config.json"
  description = json.loads(path.read_text())
  description["dataset"]["fingerprint"] = "0"
  path.write_text(json.dumps(description))
  assert "on mnist x4: images differ" in _training(tmp_path)
  del description["dataset"]["fingerprint"]
  path.write_text(json.dumps(description))
  assert "differ" not in _training(tmp_path)


def test_a_run_that_has_not_finished_is_named(tmp_path):
  """It has no rows of `joint` yet, whose epochs say nothing."""
  _write(tmp_path, "fsrcnn")
  folder = _write(tmp_path, "wdsr")
  (folder / "DONE").unlink()
  description = json.loads((folder / "config.json").read_text())
  description["config"]["joint"]["num_epochs"] = 9
  (folder / "config.json").write_text(json.dumps(description))
  text = _training(tmp_path)
  assert "7 of `pretrain`, none of `joint`" in text
  assert "**Unfinished**: wdsr." in text
  assert "differently" not in text


def test_rows_alone_say_nothing_of_training(tmp_path):
  rows_lib.merge(tmp_path / "rows.jsonl", [result_rows.row()])
  assert _training(tmp_path / "rows.jsonl").startswith("**Epochs unknown**")


def test_a_row_a_run_with_all_that_it_was_started_with(tmp_path):
  _write(tmp_path, "sr2_fsrcnn", seeds=(0, 2))
  rows_lib.merge(tmp_path / "rows.jsonl", [result_rows.row()])
  [alone] = runs_lib.table(_runs(tmp_path / "rows.jsonl")).rows
  assert alone[1] == "rows.jsonl (rows alone)"
  assert alone[4] == alone[6] == alone[8] == "—"
  [row] = runs_lib.table(_runs(tmp_path / "sr2_fsrcnn")).rows
  assert row == (
    "sr2_fsrcnn", "sr2_fsrcnn", "sr2_fsrcnn", "0, 2", "7 + 5", "12",
    "0123456789 with changes, then fedcba9876", "1 × cpu, 2 cores", "finished",
  )  # fmt: skip
