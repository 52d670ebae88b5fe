import errno
import os

import pytest

from sr2_jax import errors, files
from sr2_jax.records import row_files


def test_a_file_a_run_and_a_folder_of_runs(tmp_path):
  found = [tmp_path / name / "rows.jsonl" for name in ("a", "b/c")]
  make(*found)
  other = tmp_path / "a" / "other.jsonl"
  other.touch()
  assert row_files.find(other, "rows.jsonl") == [other]
  assert row_files.find(tmp_path / "a", "rows.jsonl") == found[:1]
  assert row_files.find(str(tmp_path), "rows.jsonl") == found
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


def make(*names):
  for path in names:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_a_run_that_links_lead_to_is_found_once_under_its_own_name(tmp_path):
  runs, disk = tmp_path / "runs", tmp_path / "disk"
  make(runs / "b/rows.jsonl", disk / "1/rows.jsonl")
  (runs / "a").symlink_to("b")
  (runs / "first").symlink_to(disk / "1")
  (runs / "second").symlink_to(disk)
  expected = [runs / "b/rows.jsonl", runs / "first/rows.jsonl"]
  assert row_files.find(runs, "rows.jsonl") == expected


def test_links_across_many_folders_come_to_an_end(tmp_path):
  """There are more ways through these than anybody could go."""
  names = [f"{number:02}" for number in range(20)]
  for name in names:
    make(tmp_path / name / "rows.jsonl")
    for other in names:
      if other != name:
        (tmp_path / name / f"to_{other}").symlink_to(tmp_path / other)
  expected = [tmp_path / name / "rows.jsonl" for name in names]
  assert row_files.find(tmp_path, "rows.jsonl") == expected
  # Images may have several names, and come to an end as well.
  assert len(list(files.below(tmp_path))) == 20 + 20 * 19


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
  """Its rows would be missing. A test as root has to pretend."""
  make(tmp_path / "a/rows.jsonl", tmp_path / "b/c/rows.jsonl")
  scan = os.scandir

  def scandir(path):
    if os.fspath(path) == str(tmp_path / "b/c"):
      raise PermissionError(errno.EACCES, "Permission denied", str(path))
    return scan(path)

  monkeypatch.setattr(os, "scandir", scandir)
  with pytest.raises(
    errors.UserError, match=r"b/c: cannot be read.*Permission"
  ):
    row_files.find(tmp_path, "rows.jsonl")
  monkeypatch.undo()
  assert len(row_files.find(tmp_path, "rows.jsonl")) == 2


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
