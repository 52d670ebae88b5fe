"""The whole program as its users start it: real processes, real kills."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from sr2_jax import errors, names
from sr2_jax.peers import meeting
from sr2_jax.records import row_values, timing_log
from sr2_jax.records import rows as rows_lib
from tests.records import test_rows

ROOT = pathlib.Path(__file__).parents[1]
TIMEOUT = 400  # seconds; compiling on a busy machine takes long
PROMPT = 15  # seconds in which a process leaves if another one is gone
# Only super-resolution, which takes less time.
ONLY_PRETRAIN = "--config.joint.num_epochs=0"


@pytest.fixture(scope="module")
def environment(programs_of_runs):
  """Variables that give all processes one cache of compiled programs."""
  return os.environ | {
    "SR2_JAX_CACHE_DIR": str(programs_of_runs),
    "JAX_PLATFORMS": "cpu",
  }


@pytest.fixture(scope="module")
def quick(environment):
  """The same, for runs with programs of their own, which LLVM leaves alone."""
  return environment | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


@contextlib.contextmanager
def started(environment, workdir, *arguments):
  """A running process; it is killed at the end if it is still alive."""
  workdir.mkdir(parents=True, exist_ok=True)
  with (workdir.parent / f"{workdir.name}.log").open("a") as log:
    process = subprocess.Popen(
      (
        sys.executable, "-m", "sr2_jax.main", "--config=tests/tiny.py",
        f"--workdir={workdir}", *arguments,
      ),
      cwd=ROOT,
      env=environment,
      stdout=log,
      stderr=log,
    )  # fmt: skip
    try:
      yield process
    finally:
      if process.poll() is None:
        process.kill()
      process.wait()


def output(workdir):
  return (workdir.parent / f"{workdir.name}.log").read_text()


def run(environment, workdir, *arguments, expect=0):
  """Output of a run that has ended with the expected code."""
  with started(environment, workdir, *arguments) as process:
    code = process.wait(TIMEOUT)
  text = output(workdir)
  assert code == expect, text
  assert "Traceback" not in text, text
  return text


def wait_for(condition, process, workdir):
  deadline = time.monotonic() + TIMEOUT
  while not condition():
    assert process.poll() is None, output(workdir)
    assert time.monotonic() < deadline, output(workdir)
    time.sleep(0.01)


def rows(workdir):
  """Complete lines of metrics.jsonl, even while it is being written."""
  path = workdir / "metrics.jsonl"
  if not path.exists():
    return []
  return [
    json.loads(line)
    for line in path.read_text().splitlines(keepends=True)
    if line.endswith("\n")
  ]


def reached(workdir, phase, step):
  return lambda: any(
    row["phase"] == phase and row["step"] >= step for row in rows(workdir)
  )


def digests(workdir):
  """sha256 of every array of the last and best checkpoints of each phase."""
  found = {}
  for kind in workdir.glob("checkpoints/*/*"):
    newest = max(kind.iterdir(), default=None)
    if newest is not None and kind.name != "damaged":
      name = f"{kind.relative_to(workdir)}/{newest.name}"
      tree = ocp.StandardCheckpointer().restore(newest / "state")
      found[name] = {
        (jax.tree_util.keystr(path), array.dtype, array.shape): hashlib.sha256(
          np.ascontiguousarray(array)
        ).hexdigest()
        for path, array in jax.tree_util.tree_leaves_with_path(tree)
      }
  return found


def arrays(workdir):
  """Bytes of the files with scores of each image and example images."""
  return {
    str(path.relative_to(workdir)): path.read_bytes()
    for folder in ("per_image", "examples")
    for path in (workdir / folder).iterdir()
  }


def copy_killed(run, workdir, *, phase="pretrain", at_end=False):
  """A finished run as a kill would have left it, with no rows of that phase.

  Args:
    run: the run; it has kept every checkpoint.
    workdir: of the copy.
    phase: in which it was killed, at its first checkpoint.
    at_end: whether it was killed at the last one instead.
  """
  shutil.copytree(run, workdir)
  (workdir / "DONE").unlink()
  checkpoints = workdir / "checkpoints"
  unfinished = names.PHASES[names.PHASES.index(phase) :]
  folders = [checkpoints / other for other in unfinished[1:]]
  if not at_end:
    later = sorted((checkpoints / phase / "last").iterdir())[1:]
    assert later
    folders += [*later, checkpoints / phase / "best"]
  for other in unfinished:
    folders += (workdir / "weights").glob(f"{other}_*")
  for folder in folders:
    if folder.exists():
      shutil.rmtree(folder)

  path = workdir / "results.jsonl"
  lines = path.read_text().splitlines(keepends=True)
  found = list(map(json.loads, lines))
  kept = [row["phase"] in unfinished for row in found].index(True)
  path.write_text("".join(lines[:kept]))
  before, after = (
    {row["method"] for row in part} for part in (found[:kept], found[kept:])
  )
  for method in after - before:
    (workdir / f"examples/{method}.npz").unlink()
    for scores in (workdir / "per_image").glob(f"{method}_*.npz"):
      scores.unlink()


def assert_same_run(actual, expected):
  """Same parameters, optimizer, statistics, rows and arrays, bit for bit."""
  for name in ("metrics.jsonl", "results.jsonl"):
    assert (actual / name).read_text() == (expected / name).read_text(), name
  assert digests(actual) == digests(expected)
  assert arrays(actual) == arrays(expected)


@pytest.fixture(scope="module")
def uninterrupted(environment, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("runs") / "uninterrupted"
  text = run(environment, workdir)
  return workdir, text


def test_run_folder_has_what_the_design_lists(uninterrupted):
  workdir, text = uninterrupted
  for name in ("config.json", "metrics.jsonl", "results.jsonl", "DONE"):
    assert (workdir / name).is_file(), name
  assert {path.name for path in (workdir / "images").iterdir()} == {
    "pretrain_examples.png", "joint_examples.png", "joint_confusion.png",
    "curves_test.png",
  }  # fmt: skip
  methods = ("bicubic", "fsrcnn", "sr2_fsrcnn")
  assert arrays(workdir).keys() == {
    name
    for method in methods
    for name in (f"per_image/{method}_test.npz", f"examples/{method}.npz")
  }
  assert len(digests(workdir)) == 4  # last and best of both phases
  for method in methods:
    assert f"\n{method} " in text
  recorded = json.loads((workdir / "config.json").read_text())
  assert recorded["config"]["num_seeds"] == 2
  assert len(recorded["dataset"]["fingerprint"]) == 64


def test_result_rows_are_complete_and_single(uninterrupted):
  workdir, _ = uninterrupted
  text = (workdir / "results.jsonl").read_text()
  found = [json.loads(line) for line in text.splitlines()]
  # As docs/rows.md says; all numbers of this run are finite.
  documented = test_rows.documented()
  for row in found:
    assert tuple(row) == tuple(documented)
    for name, (kind, may_be_null) in documented.items():
      of_json = list if kind == row_values.OfClasses else kind
      assert type(row[name]) is of_json or (
        row[name] is None and may_be_null and name != "value"
      ), name
  keys = [
    tuple(
      row[name]
      for name in ("method", "seed", "step", "noise_variance", "metric")
    )
    for row in found
  ]
  images = {
    "ssim", "ssim_uniform7", "ssim_uniform7_range2", "psnr_db", "loss_sr",
  }  # fmt: skip
  classes = {"accuracy", "balanced_accuracy", "f1", "loss_classifier"}
  expected = {
    (method, seed, step, variance, metric)
    for method, seeds, steps, metrics in (
      ("bicubic", (None,), (0,), images),
      ("fsrcnn", (0, 1), (4, 20), images),
      ("sr2_fsrcnn", (0, 1), (4, 8), images | classes),
    )
    for seed in seeds
    for step in steps
    for variance in (0.0, 1e-3)
    for metric in metrics
  }
  assert len(keys) == len(set(keys))
  assert set(keys) == expected
  assert {row["n"] for row in found} == {24}
  assert {
    (row["method"], row["epochs"], row["pretrain_epochs"], row["batch_norm"])
    for row in found
  } == {
    ("bicubic", None, None, None),
    ("fsrcnn", 1.0, None, "reestimated"),
    ("fsrcnn", 5.0, None, "reestimated"),
    ("sr2_fsrcnn", 1.0, 5, "reestimated"),
    ("sr2_fsrcnn", 2.0, 5, "reestimated"),
  }


def test_validation_has_scores_at_noise_levels(uninterrupted):
  workdir, _ = uninterrupted
  for row in rows(workdir):
    if row["kind"] == "validation":
      assert 0 < row["ssim_noise_0.001"] < 1
      assert row["ssim_noise_0.001"] != row["ssim"]


def test_timing_has_every_phase(uninterrupted):
  workdir, _ = uninterrupted
  lines = timing_log.read(workdir / "timing.jsonl")
  assert {(x["phase"], x["kind"]) for x in lines} == {
    (phase, kind)
    for phase in ("pretrain", "joint")
    for kind in ("train", "validation", "evaluation", "end")
  }
  steps = {x["step"] for x in lines if x["kind"] == "evaluation"}
  assert steps == {4, 8, 20}
  seconds = timing_log.seconds_of_phases(workdir / "timing.jsonl")
  assert min(seconds.values()) > 0


def test_golden_first_steps(uninterrupted):
  """If you meant to change the method, adopt the new numbers. If not, check in
  this order: the streams of rng, the order of the data, the initialization, the
  degradation and the loss.
  """
  workdir, _ = uninterrupted
  losses = {
    (row["phase"], row["step"], row["seed"]): row["loss"]
    for row in rows(workdir)
    if row["kind"] == "train"
  }
  for key, loss in GOLDEN_LOSSES.items():
    assert losses[key] == pytest.approx(loss, rel=2e-3), key


GOLDEN_LOSSES = {
  ("pretrain", 1, 0): 0.78536,
  ("pretrain", 1, 1): 1.36871,
  ("pretrain", 2, 0): 0.63070,
  ("pretrain", 2, 1): 1.01761,
}


def test_metric_rows_come_once_and_in_order(uninterrupted):
  workdir, _ = uninterrupted
  train = [
    (row["phase"], row["step"], row["seed"])
    for row in rows(workdir)
    if row["kind"] == "train"
  ]
  assert train == [
    (phase, step, seed)
    for phase, num_steps in (("pretrain", 20), ("joint", 8))
    for step in range(1, num_steps + 1)
    for seed in (0, 1)
  ]


def test_kills_leave_no_trace(environment, uninterrupted, tmp_path):
  """kill -9 in both phases and between them, and a damaged checkpoint."""
  workdir = tmp_path / "killed"
  with started(environment, workdir) as process:
    wait_for(reached(workdir, "pretrain", 12), process, workdir)
    process.send_signal(signal.SIGSTOP)
    second = subprocess.run(
      (
        sys.executable, "-m", "sr2_jax.main", "--config=tests/tiny.py",
        f"--workdir={workdir}",
      ),
      cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    process.kill()
  assert second.returncode == errors.IN_USE
  assert f"another run is using this folder (process {process.pid} on " in (
    second.stderr
  )
  assert "Traceback" not in second.stderr

  last = workdir / "checkpoints" / "pretrain" / "last"
  newest = max(path for path in last.iterdir() if path.name.isdigit())
  for path in newest.glob("state/**/d/*"):
    path.write_bytes(path.read_bytes()[:-1])

  with started(environment, workdir) as process:
    wait_for(lambda: "evaluating bicubic" in output(workdir), process, workdir)
    process.kill()
  assert f"damaged checkpoint {newest}" in output(workdir)

  with started(environment, workdir) as process:
    wait_for(reached(workdir, "joint", 4), process, workdir)
    process.kill()

  text = run(environment, workdir)
  assert "has changed since this step" not in text
  assert_same_run(workdir, uninterrupted[0])


# Writing the best takes long; the process dies once the last is on disk.
BEST_IS_SLOW = """
import os, sys, time
from sr2_jax import main
from sr2_jax.training import checkpoint

Checkpoints = checkpoint.Checkpoints
list_files, save = Checkpoints._list_files, Checkpoints.save

def list_files_slowly(self):
  if self._folder.name == "best":
    time.sleep(3)
  list_files(self)

def save_and_die(self, *arguments):
  save(self, *arguments)
  if self._folder.name == "last":
    self.wait()
    os._exit(9)

Checkpoints._list_files, Checkpoints.save = list_files_slowly, save_and_die
main.main(sys.argv)
"""


def test_best_is_never_behind_the_last(environment, tmp_path):
  """A resumed run validates no step again, and would have lost the best."""
  done = subprocess.run(
    (
      sys.executable, "-c", BEST_IS_SLOW, "--config=tests/tiny.py",
      f"--workdir={tmp_path}", ONLY_PRETRAIN,
      "--config.checkpoint.every_steps=4",
    ),
    cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    timeout=TIMEOUT,
  )  # fmt: skip
  assert done.returncode == 9, done.stderr
  for kind in ("last", "best"):
    assert (tmp_path / f"checkpoints/pretrain/{kind}/00000004").is_dir(), kind


def test_full_disk_ends_a_run_in_two_lines(environment, tmp_path):
  """No file may exceed 2 MB here, and a state does."""
  command = (
    f"ulimit -f 2000; exec {sys.executable} -m sr2_jax.main "
    f"--config=tests/tiny.py --workdir={tmp_path} {ONLY_PRETRAIN}"
  )
  done = subprocess.run(
    ("bash", "-c", command),
    cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    timeout=TIMEOUT,
  )  # fmt: skip
  assert done.returncode == 2, done.stderr
  assert "Traceback" not in done.stderr
  *_, first, second = done.stderr.splitlines()
  assert f"{tmp_path}" in first
  assert "File too large" in first
  assert second.startswith("Allow larger files (ulimit -f); the same c")


def test_signals_save_the_step_and_end_with_their_code(
  environment, uninterrupted, tmp_path
):
  """The run traces steps, which changes no bit."""
  workdir = tmp_path / "stopped"
  profile = "--config.log.profile_steps=10,12"
  for phase, step, number, code in (
    ("pretrain", 2, signal.SIGTERM, 143),
    ("joint", 1, signal.SIGINT, 130),
  ):
    with started(environment, workdir, profile) as process:
      wait_for(reached(workdir, phase, step), process, workdir)
      process.send_signal(number)
      assert process.wait(TIMEOUT) == code, output(workdir)
    stopped_at = max(
      row["step"] for row in rows(workdir) if row["phase"] == phase
    )
    assert f"{phase} is saved at step {stopped_at} of" in output(workdir)
    saved = workdir / "checkpoints" / phase / "last" / f"{stopped_at:08d}"
    assert saved.is_dir()
  text = run(environment, workdir, profile)
  assert_same_run(workdir, uninterrupted[0])

  traces = list(workdir.glob("profile/*/plugins/profile/*/perfetto_trace*"))
  assert [path.relative_to(workdir).parts[1] for path in traces] == ["pretrain"]
  assert f"traced from step 10 to step 12: {workdir}/profile/pretrain" in text
  assert "joint takes the steps 1 to 8" in text


def test_finished_run_says_so_and_changes_nothing(environment, uninterrupted):
  workdir, _ = uninterrupted
  before = digests(workdir), (workdir / "results.jsonl").read_bytes()
  assert "Nothing to do" in run(environment, workdir)
  assert (
    digests(workdir),
    (workdir / "results.jsonl").read_bytes(),
  ) == before


def test_changed_config_is_shown_and_refused(environment, uninterrupted):
  workdir, _ = uninterrupted
  text = run(environment, workdir, "--config.joint.loss_weight=0.11", expect=2)
  assert "joint.loss_weight: (9.0,) -> (0.11,)" in text


def test_evaluating_again_adds_rows(environment, uninterrupted, tmp_path):
  workdir = tmp_path / "again"
  shutil.copytree(uninterrupted[0], workdir)
  text = run(
    environment,
    workdir,
    "--mode=eval",
    # As many as before, so that the program is the same.
    "--config.eval.noise_variances=0.002,0.004",
    "--config.eval.corruptions.poisson=30,100",
  )
  assert "Poisson, photons at white" in text
  found = (workdir / "results.jsonl").read_text()
  assert '"noise_variance": 0.002' in found
  assert '"corruption": "poisson", "corruption_level": 30.0' in found
  assert found.startswith((uninterrupted[0] / "results.jsonl").read_text())


def test_a_finished_run_may_keep_its_weights_alone(
  environment, uninterrupted, tmp_path
):
  """They are evaluated again, with the same results.

  They start other runs in `launch/test_sweep.py`.
  """
  workdir = tmp_path / "thin"
  shutil.copytree(uninterrupted[0], workdir)
  (workdir / "DONE").unlink()
  run(environment, workdir, "--config.checkpoint.keep_finished=false")
  assert {path.name for path in workdir.glob("checkpoints/*/*")} == {
    "best", "final",
  }  # fmt: skip
  run(environment, workdir, "--mode=eval")
  for name in ("metrics.jsonl", "results.jsonl"):
    expected = (uninterrupted[0] / name).read_text()
    assert (workdir / name).read_text() == expected, name
  assert arrays(workdir) == arrays(uninterrupted[0])
  (workdir / "DONE").unlink()
  text = run(environment, workdir, expect=2)
  assert "it cannot go on" in text


def test_best_weights_are_those_of_the_lowest_validation_loss(
  environment, uninterrupted, tmp_path
):
  workdir = tmp_path / "best"
  shutil.copytree(uninterrupted[0], workdir)
  run(environment, workdir, "--mode=eval", "--config.eval.checkpoint=best")
  metrics = (workdir / "metrics.jsonl").read_text().splitlines()
  losses = {}
  for row in map(json.loads, metrics):
    if row["kind"] == "validation":
      member = (row["phase"], row["seed"])
      losses.setdefault(member, {})[row["step"]] = row["loss"]
  steps = {}
  for row in rows_lib.read(workdir):
    steps.setdefault((row.phase, row.seed), set()).add(row.step)
  assert steps.pop(("none", None)) == {0}
  assert steps == {
    # And after the first epoch, as `eval.epochs` says.
    member: {min(of, key=of.get), max(of), 4}
    for member, of in losses.items()
  }
  assert (workdir / "images" / "curves_best_test.png").is_file()


def test_init_from_continues_the_pretraining_of_another_run(
  environment, uninterrupted, tmp_path
):
  """With the same settings, it reaches the same joint weights."""
  source, _ = uninterrupted
  workdir = tmp_path / "joint"
  run(environment, workdir, f"--config.init_from={source / 'weights'}")
  found, expected = digests(workdir), digests(source)
  assert set(found) == {name for name in expected if "joint" in name}
  for name, of_arrays in found.items():
    assert of_arrays == expected[name], name


def test_a_run_without_a_member_left_ends_and_says_so_again(quick, tmp_path):
  """All diverge at step 2, whatever else their call computed."""
  workdir = tmp_path / "diverged"
  arguments = (
    ONLY_PRETRAIN,
    "--config.pretrain.learning_rate.sr=1e30",
    "--config.steps_per_call=4",
  )
  expected = [(1, None), (1, None), (2, 2), (2, 2)]
  for number_of_start in (1, 2):
    text = run(quick, workdir, *arguments, expect=3)
    assert text.count("  seed 1, L2 1e-05: step 2 of pretrain\n") == (
      number_of_start
    )
    assert text.count("\ndiverged: ") == 2
    found = [(row["step"], row.get("diverged_at")) for row in rows(workdir)]
    assert found == expected
    assert [*(workdir / "checkpoints/pretrain/last").iterdir()] == [
      workdir / "checkpoints/pretrain/last/00000002"
    ]
  for name in ("DONE", "results.jsonl", "weights"):
    assert not (workdir / name).exists(), name


def test_a_validation_loss_that_is_not_finite(quick, tmp_path):
  """The state after the last step is finite, and its outputs are not.

  The run may be asked to stop at once, and to go on nevertheless.
  """
  workdir = tmp_path / "validated"
  for stop in ("true", "false"):
    text = run(
      quick,
      workdir,
      ONLY_PRETRAIN,
      "--config.pretrain.num_epochs=1",
      "--config.batch_size=32",
      "--config.pretrain.learning_rate.sr=1e38",
      f"--config.stop_on_divergence={stop}",
      expect=3,
    )
    last = rows(workdir)[-1]
    assert (last["kind"], last["diverged_at"]) == ("validation", 1)
    is_saved = (workdir / "checkpoints/pretrain/last/00000001").is_dir()
    assert is_saved == (stop == "false")
  assert "stopped, because members diverged" in text
  assert "all members of pretrain diverged" in text


# One pretraining of two diverges, and one of the loss weights.
DIVERGING = (
  "--config.num_seeds=1", "--config.log.tensorboard=true",
  "--config.checkpoint.keep=9",
)  # fmt: skip
FATAL = ("--config.loss.l2=1e-5,3e38", "--config.joint.loss_weight=9,3e38")


@pytest.fixture(scope="module")
def diverged(quick, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("runs") / "diverged"
  text = run(quick, workdir, *DIVERGING, *FATAL, expect=errors.DIVERGED)
  return workdir, text


def identity(row):
  return row["seed"], row["l2"], row["loss_weight"]


def losses(workdir, members):
  """Of these members, while training and of the evaluation."""
  while_training = [
    row["loss"]
    for row in rows(workdir)
    if identity(row) in members and "loss" in row
  ]
  evaluated = [
    row.value
    for row in rows_lib.read(workdir)
    if (row.seed, row.l2, row.loss_weight) in members
    and row.metric == "loss_sr"
  ]
  assert while_training
  assert evaluated
  return while_training + evaluated


def test_members_that_diverge_cost_themselves_alone(diverged, uninterrupted):
  """The other's numbers are those of a run without them, up to rounding.

  `training/test_steps.py` compares the bits of steps.
  """
  workdir, text = diverged
  named = [line for line in text.splitlines() if line.startswith("  seed 0, ")]
  assert named[-3:] == [
    "  seed 0, L2 1e-05, λ 3e+38: step 1 of joint",
    "  seed 0, L2 3e+38, λ 9: step 1 of pretrain",
    "  seed 0, L2 3e+38, λ 3e+38: step 1 of pretrain",
  ]
  assert "Not in tables and curves" in text
  done = [json.loads(x) for x in (workdir / "DONE").read_text().splitlines()]
  assert [row.get("diverged_at") for row in done] == [None, 1, 1, 1]

  living = {(0, 1e-5, None), (0, 1e-5, 9.0)}
  ended = [row for row in rows(workdir) if identity(row) not in living]
  assert [
    (row["phase"], row["diverged_at"], *identity(row)) for row in ended
  ] == [("pretrain", 1, 0, 3e38, None), ("joint", 1, 0, 1e-5, 3e38)]
  weights = sorted((workdir / "weights").glob("*/*/*.safetensors"))
  assert [path.relative_to(workdir).parts[2] for path in weights] == (
    ["seed_0_l2_1e-05_lambda_9.0"] * 2 + ["seed_0_l2_1e-05"] * 2
  )
  expected = losses(uninterrupted[0], living)
  np.testing.assert_allclose(losses(workdir, living), expected, rtol=1e-2)
  assert {
    (row.seed, row.l2, row.loss_weight)
    for row in rows_lib.read(workdir)
    if row.phase != "none"
  } == living


def test_a_finished_run_says_again_who_diverged(quick, diverged):
  workdir, text = diverged
  before = (workdir / "DONE").read_bytes()
  again = run(
    quick, workdir, *DIVERGING, *FATAL, expect=errors.DIVERGED
  ).removeprefix(text)
  assert "Nothing to do" in again
  assert again.endswith("".join(text.splitlines(keepends=True)[-3:]))
  assert (workdir / "DONE").read_bytes() == before


def test_a_resumed_run_knows_who_diverged(quick, diverged, tmp_path):
  """Killed after the divergences of both phases."""
  workdir = tmp_path / "killed"
  copy_killed(diverged[0], workdir, phase="joint")
  text = run(quick, workdir, *DIVERGING, *FATAL, expect=errors.DIVERGED)
  assert_same_run(workdir, diverged[0])
  assert (workdir / "DONE").read_bytes() == (diverged[0] / "DONE").read_bytes()
  assert "\ndiverged: seed 0, L2 3e+38: step 1 of pretrain" not in text
  assert text.splitlines()[-3:] == diverged[1].splitlines()[-3:]


def test_a_run_starts_from_living_members(quick, diverged, tmp_path):
  workdir = tmp_path / "control"
  run(
    quick,
    workdir,
    *DIVERGING,
    *FATAL,
    "--config.model.wiring=none",
    "--config.joint.num_epochs=1",
    f"--config.init_from={diverged[0]}",
    expect=errors.DIVERGED,
  )
  done = [json.loads(x) for x in (workdir / "DONE").read_text().splitlines()]
  assert [row.get("phase") for row in done] == [None, "pretrain"]
  first, *others = rows(workdir)
  assert (first["phase"], first["l2"], first["diverged_at"]) == (
    "pretrain", 3e38, 1,
  )  # fmt: skip
  assert {identity(row) for row in others} == {(0, 1e-5, 0.0)}


def test_calls_of_several_steps_give_the_same_rows(
  environment, uninterrupted, tmp_path
):
  """Up to rounding: on the CPU, a loop of steps may add in another order.

  The run is stopped once, after a whole call, and resumed.
  """
  workdir = tmp_path / "several"
  several = "--config.steps_per_call=3"
  with started(environment, workdir, ONLY_PRETRAIN, several) as process:
    wait_for(reached(workdir, "pretrain", 1), process, workdir)
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == 143, output(workdir)
  stopped_at = rows(workdir)[-1]["step"]
  assert f"pretrain is saved at step {stopped_at} of" in output(workdir)
  run(environment, workdir, ONLY_PRETRAIN, several)
  expected = [
    row for row in rows(uninterrupted[0]) if row["phase"] == "pretrain"
  ]
  for old, new in zip(expected, rows(workdir), strict=True):
    assert old.keys() == new.keys()
    for name, value in old.items():
      if isinstance(value, float):
        value = pytest.approx(value, rel=1e-2)
      assert new[name] == value, (name, new)


def start_pair(environment, workdir, stack):
  """Two processes of one run, two devices each."""
  port = meeting.free_port()
  return [
    stack.enter_context(
      started(
        environment | {"JAX_NUM_CPU_DEVICES": "2"},
        workdir,
        ONLY_PRETRAIN,
        f"--coordinator=localhost:{port}",
        "--num_processes=2",
        f"--process_id={index}",
      )
    )
    for index in range(2)
  ]


def test_two_processes_train_to_the_numbers_of_one(
  quick, uninterrupted, tmp_path
):
  """Two devices each; one process is killed, then both resume."""
  workdir = tmp_path / "two"
  with contextlib.ExitStack() as stack:
    pair = start_pair(quick, workdir, stack)
    wait_for(reached(workdir, "pretrain", 5), pair[0], workdir)
    pair[0].kill()
    code = pair[1].wait(PROMPT)
  text = output(workdir)
  assert code == errors.PEER_GONE, text
  assert f"process 0 on {socket.gethostname()} is gone" in text
  assert "Traceback" not in text
  with contextlib.ExitStack() as stack:
    pair = start_pair(quick, workdir, stack)
    codes = [process.wait(TIMEOUT) for process in pair]
  assert codes == [0, 0], output(workdir)
  for name in ("metrics.jsonl", "results.jsonl"):
    all_expected, found = (
      [json.loads(line) for line in (folder / name).read_text().splitlines()]
      for folder in (uninterrupted[0], workdir)
    )
    only = [row for row in all_expected if row["phase"] != "joint"]
    for expected, actual in zip(only, found, strict=True):
      assert expected.keys() == actual.keys()
      for field, value in expected.items():
        if isinstance(value, float):
          # Sums in another order differ in the last bits. Adam amplifies the
          # difference, except in the loss before its first step.
          is_first = expected.get("kind") == "train" and expected["step"] == 1
          tolerance = 1e-5 if is_first else 5e-3
          assert actual[field] == pytest.approx(
            value, rel=tolerance, abs=0.1 * tolerance
          ), (name, field)
        else:
          assert actual[field] == value, (name, field)
