"""Run folders of revision b00bf7c: resumed, evaluated and reported.

`make_old_run` says what is in the archive and what made it.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from sr2_jax.records import rows as rows_lib
from tests import make_old_run

TIMEOUT = 400  # seconds; compiling on a busy machine takes long
# That revision had no other statistics and no other noise in validation.
AS_THEN = (
  "--config.eval.batch_norm=running",
  "--config.eval.validation_noise_variances=0",
  "--config.eval.epochs=",
)
# Fields of rows that it did not have.
NEW = ("epochs", "pretrain_epochs", "batch_norm", "class_accuracy")


@pytest.fixture(scope="module")
def old(tmp_path_factory):
  """The unpacked archive."""
  folder = tmp_path_factory.mktemp("old")
  with tarfile.open(make_old_run.ARCHIVE) as archive:
    archive.extractall(folder, filter="data")
  return folder


@pytest.fixture(scope="module")
def command(programs_of_runs):
  """Runs a module's command line and returns what it printed."""
  environment = os.environ | {
    "SR2_JAX_CACHE_DIR": str(programs_of_runs),
    "JAX_PLATFORMS": "cpu",
  }

  def run(module, *arguments):
    done = subprocess.run(
      (sys.executable, "-m", module, *map(str, arguments)),
      cwd=make_old_run.ROOT,
      env=environment,
      capture_output=True,
      text=True,
      timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr

  return run


@pytest.fixture(scope="module")
def main(command):
  def run(workdir, *arguments, as_then=AS_THEN):
    return command(
      "sr2_jax.main",
      "--config=tests/tiny.py",
      f"--workdir={workdir}",
      *make_old_run.FLAGS,
      *as_then,
      *arguments,
    )

  return run


@pytest.fixture(scope="module")
def resumed(old, main, tmp_path_factory):
  """The stopped run, trained to its end by this revision."""
  workdir = tmp_path_factory.mktemp("runs") / "resumed"
  shutil.copytree(old / "stopped", workdir)
  assert "resuming pretrain at step 10 of 20" in main(workdir)
  return workdir


def assert_same_rows(actual, expected, *, rtol):
  """Everything but floats is equal, the order of rows and fields included."""

  def split(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    fields = [
      field for row in rows for field in row.items() if field[0] not in NEW
    ]
    floats = [value for _, value in fields if isinstance(value, float)]
    others = [
      (name, "a float" if isinstance(value, float) else value)
      for name, value in fields
    ]
    return others, floats

  actual_others, actual_floats = split(actual)
  expected_others, expected_floats = split(expected)
  assert actual_others == expected_others
  np.testing.assert_allclose(actual_floats, expected_floats, rtol=rtol)


# Another processor rounds ten steps and the scores in another way: by 5e-6 with
# SSE4.2 only.
TRAINED = 1e-4


@pytest.mark.parametrize("name", ["metrics.jsonl", "results.jsonl"])
def test_a_resumed_run_ends_as_it_did_then(old, resumed, name):
  assert_same_rows(resumed / name, old / "finished" / name, rtol=TRAINED)


def test_rows_before_the_stop_are_untouched(old, resumed):
  before = (old / "stopped" / "metrics.jsonl").read_bytes()
  assert before.count(b"\n") > 20
  assert (resumed / "metrics.jsonl").read_bytes().startswith(before)


def test_scores_of_each_image_are_those_of_then(old, resumed):
  names = {path.name for path in (old / "finished" / "per_image").iterdir()}
  assert names == {"bicubic_test.npz", "fsrcnn_test.npz"}
  assert {path.name for path in (resumed / "per_image").iterdir()} == names
  for name in names:
    with (
      np.load(resumed / "per_image" / name) as actual,
      np.load(old / "finished" / "per_image" / name) as expected,
    ):
      assert [name for name in actual if name not in NEW] == list(expected)
      for key in expected:
        assert actual[key].dtype == expected[key].dtype
        if expected[key].dtype.kind == "f":
          np.testing.assert_allclose(
            actual[key], expected[key], rtol=TRAINED, atol=TRAINED
          )
        else:
          np.testing.assert_array_equal(actual[key], expected[key])


def test_an_old_checkpoint_scores_what_it_did_then(old, main, tmp_path):
  """The best one of the stopped run."""
  shutil.copytree(old / "stopped", tmp_path / "stopped")
  main(tmp_path / "stopped", *make_old_run.EVALUATION)
  assert_same_rows(
    tmp_path / "stopped" / "results.jsonl",
    old / "evaluated" / "results.jsonl",
    rtol=1e-5,
  )


def test_rows_of_old_weights_say_what_they_are(resumed):
  lines = (resumed / "results.jsonl").read_text().splitlines()
  assert {
    tuple(row[name] for name in ("method", *NEW))
    for row in map(json.loads, lines)
  } == {
    ("bicubic", None, None, None, None),
    ("fsrcnn", 5.0, None, "running", None),
  }


def test_an_old_run_is_evaluated_with_reestimated_statistics(
  old, main, resumed, tmp_path
):
  """The old rows stay beside the new ones, and tables show the new."""
  workdir = tmp_path / "again"
  shutil.copytree(resumed, workdir)
  shutil.copy(old / "finished" / "results.jsonl", workdir)
  before = rows_lib.read(workdir)
  text = main(workdir, "--mode=eval", as_then=())
  assert "there was no config.eval.batch_norm when this run was" in text
  rows = rows_lib.read(workdir)
  added = [row for row in rows if row.batch_norm == "reestimated"]
  trained = [row for row in before if row.batch_norm == "running"]
  assert len(added) == len(trained) > 0
  assert set(trained) < set(rows)
  untrained = [row for row in rows if row.batch_norm is None]
  assert rows_lib.current(rows) == [*untrained, *added]
  path = workdir / "per_image" / "fsrcnn_test.npz"
  with np.load(path) as arrays:
    assert str(arrays["batch_norm"]) == "reestimated"


def test_an_old_finished_run_is_done(old, main, tmp_path):
  shutil.copytree(old / "finished", tmp_path / "finished")
  assert "Nothing to do" in main(tmp_path / "finished")


def test_old_runs_are_reported(old, command, tmp_path):
  """Tables and curves, and the page with pictures of examples."""
  shutil.copytree(old / "joint", tmp_path / "joint")
  text = command("sr2_jax.report", tmp_path / "joint")
  # SSIM and PSNR without noise.
  for line in (
    "bicubic         0.201*",
    "sr2_fsrcnn      0.063±.022",
    "fsrcnn          10.27±2.17",
  ):
    assert f"\n{line}" in text
  assert "\nsr2_fsrcnn      0.000±.000*" in text  # accuracy
  assert (tmp_path / "joint" / "images" / "curves_test.png").is_file()
  command("sr2_jax.report", tmp_path / "joint", "--out", tmp_path / "out")
  made = {path.name for path in (tmp_path / "out").iterdir()}
  assert made >= {"fig5.png", "report.md", "report.html"}
