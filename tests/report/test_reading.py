import json

import pytest

from sr2_jax import errors
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import reading
from tests import result_rows

_row = result_rows.row


def _write(folder, **files):
  for name, rows in files.items():
    rows_lib.merge(folder / f"{name}.jsonl", rows)
  return folder


def _experiments(found):
  return {reading.name_of(file): row.experiment for row, file in found.rows}


@pytest.mark.parametrize(
  "changes", [{"value": 0.3}, {"step": 700}, {"value": float("nan")}]
)
def test_two_runs_of_one_name_are_taken_apart(tmp_path, changes):
  """Merging them would silently replace one run's number by the other's."""
  folder = _write(
    tmp_path,
    a=[_row(), _row(seed=1)],
    b=[_row(seed=2), _row(seed=1, **changes)],
    c=[_row(seed=3)],
  )
  found = reading.read(folder)
  assert _experiments(found) == {
    "a": "quickstart", "b": "quickstart (b)", "c": "quickstart",
  }  # fmt: skip
  [note] = found.notes
  assert "`b` is another run" in note
  assert "`quickstart (b)`" in note


def test_files_of_different_seeds_are_one_run(tmp_path):
  """They share a measurement that two machines rounded differently."""
  folder = _write(
    tmp_path,
    **{
      name: [_row(seed=seed), _row("bicubic", value=0.5 + 1e-7 * seed)]
      for seed, name in enumerate("ab")
    },
  )
  found = reading.read(folder)
  assert len(found.rows) == 4
  assert not found.notes


def test_a_copy_of_a_run_with_two_steps_agrees_with_it(tmp_path):
  rows = [_row(), _row(step=400, value=0.9)]
  folder = _write(tmp_path, a=rows, b=rows)
  assert not reading.read(folder).notes
  rows_lib.merge(folder / "b.jsonl", [_row(value=0.7)])
  assert len(reading.read(folder).notes) == 1


def test_runs_of_other_recipes_are_left_out_beside_the_usual_ones(tmp_path):
  rows_lib.merge(tmp_path / "runs" / "usual" / "results.jsonl", [_row()])
  other = tmp_path / "runs" / "why_l1"
  rows_lib.merge(other / "results.jsonl", [_row(value=0.1)])
  found = reading.read(tmp_path / "runs")
  assert [row.value for row, _ in found.rows] == [0.8]
  assert found.notes == (
    "Left out, because they are of other recipes: `why_l1`.",
  )
  alone = reading.read(other)
  assert [row.value for row, _ in alone.rows] == [0.1]
  assert not alone.notes


def test_a_folder_without_rows_is_refused(tmp_path):
  (tmp_path / "notes.txt").touch()
  with pytest.raises(errors.UserError, match=r"no results\.jsonl"):
    reading.read(tmp_path)


def _folder_run(folder, path, fingerprint):
  rows_lib.merge(folder / "results.jsonl", [_row(dataset="folder")])
  record = {
    "config": {"data": {"name": "folder", "path": path}},
    "dataset": {"fingerprint": fingerprint},
  }
  (folder / "config.json").write_text(json.dumps(record))


def test_images_of_a_user_are_called_as_their_folder(tmp_path):
  for run, path, fingerprint in (
    ("a", "data/plates", "0123456789"),
    ("b", "elsewhere/plates/", "0123456789"),
    ("c", "other/plates", "abcdefabcd"),
    ("d", "data/mnist", "9876543210"),
  ):
    _folder_run(tmp_path / run, path, fingerprint)
  rows_lib.merge(tmp_path / "e" / "results.jsonl", [_row(dataset="folder")])
  rows_lib.merge(tmp_path / "f" / "results.jsonl", [_row()])
  found = reading.read(tmp_path)
  assert {reading.name_of(file): row.dataset for row, file in found.rows} == {
    "a": "plates", "b": "plates", "c": "plates abcdef", "d": "mnist 987654",
    "e": "folder", "f": "mnist5k",
  }  # fmt: skip
