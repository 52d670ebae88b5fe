import pytest

from sr2_jax import errors
from sr2_jax.records import row_files


def test_a_file_a_run_and_a_folder_of_runs(tmp_path):
  files = [tmp_path / name / "rows.jsonl" for name in ("a", "b/c")]
  for file in files:
    file.parent.mkdir(parents=True)
    file.touch()
  other = tmp_path / "a" / "other.jsonl"
  other.touch()
  assert row_files.find(other, "rows.jsonl") == [other]
  assert row_files.find(tmp_path / "a", "rows.jsonl") == files[:1]
  assert row_files.find(str(tmp_path), "rows.jsonl") == files
  # A run folder is not searched for others.
  (tmp_path / "rows.jsonl").touch()
  assert row_files.find(tmp_path, "rows.jsonl") == [tmp_path / "rows.jsonl"]


def test_run_folders_may_be_links(tmp_path):
  """To a larger disk, say; one that leads back is not gone into again."""
  disk, runs = tmp_path / "disk", tmp_path / "runs"
  for folder in (disk / "a", runs / "b"):
    folder.mkdir(parents=True)
    (folder / "rows.jsonl").touch()
  (runs / "a").symlink_to(disk / "a")
  (runs / "again").symlink_to(runs)
  expected = [runs / "a" / "rows.jsonl", runs / "b" / "rows.jsonl"]
  assert row_files.find(runs, "rows.jsonl") == expected


def test_nothing_to_find_is_a_user_error(tmp_path):
  with pytest.raises(errors.UserError, match="nowhere: no such"):
    row_files.find(tmp_path / "nowhere", "rows.jsonl")
  with pytest.raises(errors.UserError, match=r"no rows\.jsonl"):
    row_files.find(tmp_path, "rows.jsonl")


def test_rows_are_counted(tmp_path):
  path = tmp_path / "results.jsonl"
  assert row_files.count(path) == 0
  path.write_text("{}\n{}")
  assert row_files.count(path) == 2
  path.unlink()
  path.mkdir()
  with pytest.raises(errors.UserError, match="it is a folder, not a file"):
    row_files.count(path)
