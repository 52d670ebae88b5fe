import dataclasses
import json

import pytest

from sr2_jax import errors
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.report.reproduction import collect
from tests import paper_world
from tests.report.reproduction import worlds


def _run(folder, *, seeds, is_done=True, minutes=2.0):
  """A run of an experiment that others may share."""
  paper_world.write_run(
    folder, "sr2_fsrcnn", worlds.constant(0.8), seeds=seeds, arrays=False
  )
  run = folder_lib.RunFolder(folder)
  rows = rows_lib.read(folder)
  path = folder / rows_lib.FILE_NAME
  path.unlink()
  rows_lib.merge(path, [_renamed(row) for row in rows])
  run.record(
    {
      "config": {},
      "git_revision": "0123456789abcdef",
      "devices": {"platform": "cpu", "cpu_cores": 2},
    }
  )
  line = {"start": 0, "phase": "joint", "phase_seconds": 60 * minutes}
  (folder / "timing.jsonl").write_text(json.dumps(line) + "\n")
  if not is_done:
    (folder / "DONE").unlink()
  return folder


def _renamed(row):
  return dataclasses.replace(row, experiment="P1")


def test_runs_of_other_seeds_share_a_file(tmp_path):
  runs, results = tmp_path / "runs", tmp_path / "results"
  _run(runs / "a", seeds=(0, 1))
  _run(runs / "b", seeds=(2, 3), minutes=3.0)
  _run(runs / "c", seeds=(4, 5), is_done=False)
  for _ in range(2):  # Again changes nothing.
    assert collect.collect(runs, results) == [results / "P1.jsonl"]
    rows = rows_lib.read(results / "P1.jsonl")
    assert {row.seed for row in rows} == {0, 1, 2, 3}
    assert len({row.key for row in rows}) == len(rows)
    known = collect.read_known(results)["P1"]
    assert known["revision"] == "0123456789ab"
    assert known["time"] == "5 min"
    assert known["machine"] == "2 cores"
    assert set(known["runs"]) == {"a", "b"}


def test_a_folder_without_a_finished_run_is_refused(tmp_path):
  _run(tmp_path / "runs" / "c", seeds=(4, 5), is_done=False)
  with pytest.raises(errors.UserError, match="no run in it has finished"):
    collect.collect(tmp_path / "runs", tmp_path / "results")
  assert not (tmp_path / "results").exists()
