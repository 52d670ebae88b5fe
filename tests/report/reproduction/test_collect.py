import dataclasses
import json

import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.records import weights as weights_lib
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


def _with_weights(folder, network="pretrain_fsrcnn"):
  """A run with the last and best weights of two members."""
  phase, method = network.split("_", 1)
  for seed in (0, 1):
    for kind in ("last", "best"):
      weights_lib.write(
        folder / "weights" / network / f"seed_{seed}" / f"{kind}.safetensors",
        {"params/kernel": np.full(3, seed, np.float32)},
        weights_lib.Origin(
          config={},
          image_shape=(28, 28, 1),
          class_names=(),
          phase=phase,
          method=method,
          member=rows_lib.Member(seed=seed),
          step=7,
        ),
      )
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


def test_weights_of_a_pretraining_are_kept_as_a_finished_run(tmp_path):
  runs, results = tmp_path / "runs", tmp_path / "results"
  source = _with_weights(_run(runs / "pretrained", seeds=(0, 1)))
  for _ in range(2):  # Again changes nothing.
    assert collect.collect(runs, results) == [
      results / "P1.jsonl", results / "weights" / "pretrained",
    ]  # fmt: skip
    kept = results / "weights" / "pretrained"
    found = {
      path.relative_to(kept).as_posix(): path.read_bytes()
      for path in kept.rglob("*")
      if path.is_file()
    }
    weights = [
      f"weights/pretrain_fsrcnn/seed_{seed}/last.safetensors{end}"
      for seed in (0, 1)
      for end in ("", ".sha256")
    ]
    assert sorted(found) == ["DONE", "config.json", *weights]
    for name, data in found.items():
      assert (source / name).read_bytes() == data, name
  # A run folder of this kind has no rows to collect.
  with pytest.raises(errors.UserError, match="no run in it has finished"):
    collect.collect(results / "weights", tmp_path / "others")


def test_weights_that_nothing_starts_from_are_not_kept(tmp_path):
  runs, results = tmp_path / "runs", tmp_path / "results"
  _with_weights(_run(runs / "srmd", seeds=(0, 1)), "pretrain_srmd_retrained")
  _with_weights(_run(runs / "joint", seeds=(0, 1)), "joint_sr2_fsrcnn")
  both = _with_weights(_run(runs / "both", seeds=(0, 1)))
  _with_weights(both, "joint_sr2_fsrcnn")
  _with_weights(_run(runs / "unfinished", seeds=(0, 1), is_done=False))
  diverged = _with_weights(_run(runs / "diverged", seeds=(0, 1)))
  line = {"seed": 1, "l2": 0.01, "loss_weight": None, "phase": "pretrain"}
  (diverged / "DONE").write_text(json.dumps({**line, "diverged_at": 7}) + "\n")
  assert collect.collect(runs, results) == [results / "P1.jsonl"]
  assert not (results / "weights").exists()


def test_damaged_weights_are_not_kept(tmp_path):
  runs, results = tmp_path / "runs", tmp_path / "results"
  folder = _with_weights(_run(runs / "pretrained", seeds=(0, 1)))
  path = folder / "weights" / "pretrain_fsrcnn" / "seed_1" / "last.safetensors"
  path.write_bytes(path.read_bytes()[:-1])
  with pytest.raises(errors.UserError, match="damaged; its sha256"):
    collect.collect(runs, results)
  assert not (results / "weights").exists()
