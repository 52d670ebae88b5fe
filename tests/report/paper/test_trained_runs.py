"""What the page says of its runs, from invented run folders."""

import json

from sr2_jax.records import rows as rows_lib
from sr2_jax.report.paper import trained_runs
from tests import paper_world, result_rows
from tests.report import test_divergences


def _runs(folder):
  return trained_runs.find(rows_lib.read_with_files(folder))


def _training(folder):
  return "\n".join(block.text for block in trained_runs.training(_runs(folder)))


def _write(folder, name, **settings):
  return paper_world.write_run(
    folder / name, name, paper_world.constant(0.7), **settings
  )


def test_runs_tell_what_their_numbers_depend_on(tmp_path):
  paper_world.write_run(tmp_path / "b", "wdsr", paper_world.constant(0.7))
  paper_world.write_run(tmp_path / "a", "bicubic", paper_world.constant(0.3))
  first, second = _runs(tmp_path)
  assert (first.experiment, first.seeds) == ("a", ())
  assert (second.methods, second.seeds) == (("wdsr",), (0, 1, 2))
  assert second.is_done
  assert second.description["git_revision"].startswith("0123")


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


def test_a_network_that_was_fine_tuned_is_named(tmp_path):
  """Its control says nothing of that, nor does that of another run."""

  def set_fields(path, **fields):
    description = json.loads((path / "config.json").read_text())
    description["config"].update(fields)
    (path / "config.json").write_text(json.dumps(description))

  tuned = _write(tmp_path, "sr2_fsrcnn")
  control = _write(tmp_path, "sr_continued_fsrcnn")
  set_fields(tuned, init_from="digits", fine_tune=True)
  set_fields(control, init_from="runs/sr2_fsrcnn", fine_tune=False)
  assert "differ" not in _training(tmp_path)
  _write(tmp_path, "fsrcnn")
  assert "on mnist x4: fine_tune differ" in _training(tmp_path)


def test_fields_that_an_older_version_did_not_know_are_no_difference(tmp_path):
  paths = [_write(tmp_path, name) for name in ("fsrcnn", "sr2_fsrcnn")]
  for path, augmentation in zip(
    paths,
    ({"max_shift": 3}, {"max_shift": 3, "crop": 0}),
    strict=True,
  ):
    description = json.loads((path / "config.json").read_text())
    description["config"]["augmentation"] = augmentation
    (path / "config.json").write_text(json.dumps(description))
  assert "differ" not in _training(tmp_path)


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
  assert "7 of `pretrain`; the authors' script" in text
  assert "**Unfinished**: wdsr." in text
  assert "differently" not in text


def test_members_that_diverged_are_named(tmp_path):
  _write(tmp_path, "fsrcnn")
  assert "Diverged" not in _training(tmp_path)
  folder = _write(tmp_path, "sr2_fsrcnn")
  (folder / "DONE").write_text(test_divergences.DONE)
  text = _training(tmp_path)
  assert "**Diverged**: sr2_fsrcnn, seed 1, L2 0.01, λ 9: step 7 of" in text
  states = [row[-1] for row in trained_runs.table(_runs(tmp_path)).rows]
  assert states == ["finished", "finished, 1 diverged"]


def test_rows_alone_say_their_epochs(tmp_path):
  rows = [
    result_rows.row(step=100 * epochs, epochs=epochs, pretrain_epochs=30)
    for epochs in (1, 3)
  ]
  rows_lib.merge(tmp_path / "rows.jsonl", rows)
  [run] = _runs(tmp_path / "rows.jsonl")
  assert run.epochs == {"joint": [1, 3], "pretrain": [30]}
  text = _training(tmp_path / "rows.jsonl")
  assert "30 of `pretrain`, 1 to 3 of `joint`" in text
  [row] = trained_runs.table([run]).rows
  assert row[4] == "30 + 1, 3"


def test_rows_without_epochs_say_their_steps(tmp_path):
  rows_lib.merge(tmp_path / "rows.jsonl", [result_rows.row()])
  [run] = _runs(tmp_path / "rows.jsonl")
  assert (run.source, run.description) == ("rows.jsonl", None)
  text = _training(tmp_path / "rows.jsonl")
  assert text.startswith("**Epochs unknown** to the rows of 1 of 1 runs")


def test_a_row_for_each_run_with_all_that_it_was_started_with(tmp_path):
  _write(tmp_path, "sr2_fsrcnn", seeds=(0, 2))
  rows_lib.merge(tmp_path / "rows.jsonl", [result_rows.row()])
  [row] = trained_runs.table(_runs(tmp_path / "rows.jsonl")).rows
  assert row[1] == "rows.jsonl (rows only)"
  assert row[4] == "600 steps"
  assert row[6] == row[8] == "—"
  [row] = trained_runs.table(_runs(tmp_path / "sr2_fsrcnn")).rows
  assert row == (
    "sr2_fsrcnn", "sr2_fsrcnn", "sr2_fsrcnn", "0, 2", "7 + 5", "12",
    "0123456789 with changes, then fedcba9876", "1 × cpu, 2 cores", "finished",
  )  # fmt: skip
