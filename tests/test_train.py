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

from sr2_jax import errors
from sr2_jax.records import rows as rows_lib

ROOT = pathlib.Path(__file__).parents[1]
TIMEOUT = 400  # seconds; compiling on a busy machine takes long
# Only super-resolution, which takes less time.
ONLY_PRETRAIN = "--config.joint.num_epochs=0"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
  """Variables that give all processes one cache of compiled programs."""
  cache = tmp_path_factory.mktemp("cache")
  return os.environ | {"SR2_JAX_CACHE_DIR": str(cache), "JAX_PLATFORMS": "cpu"}


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
    "pretrain_examples.png", "joint_examples.png", "curves_test.png",
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
  keys = [
    (row["method"], row["seed"], row["noise_variance"], row["metric"])
    for row in found
  ]
  images = {
    "ssim", "ssim_uniform7", "ssim_uniform7_range2", "psnr_db", "loss_sr",
  }  # fmt: skip
  classes = {"accuracy", "f1", "loss_classifier"}
  expected = {
    (method, seed, variance, metric)
    for method, seeds, metrics in (
      ("bicubic", (None,), images),
      ("fsrcnn", (0, 1), images),
      ("sr2_fsrcnn", (0, 1), images | classes),
    )
    for seed in seeds
    for variance in (0.0, 1e-3)
    for metric in metrics
  }
  assert len(keys) == len(set(keys))
  assert set(keys) == expected
  assert {row["n"] for row in found} == {24}


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
    wait_for(lambda: "evaluating fsrcnn" in output(workdir), process, workdir)
    process.kill()
  assert f"damaged checkpoint {newest}" in output(workdir)

  with started(environment, workdir) as process:
    wait_for(reached(workdir, "joint", 4), process, workdir)
    process.kill()

  run(environment, workdir)
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
  assert second.startswith("Make room")


def test_signals_save_the_step_and_end_with_their_code(
  environment, uninterrupted, tmp_path
):
  workdir = tmp_path / "stopped"
  for phase, step, number, code in (
    ("pretrain", 2, signal.SIGTERM, 143),
    ("joint", 1, signal.SIGINT, 130),
  ):
    with started(environment, workdir) as process:
      wait_for(reached(workdir, phase, step), process, workdir)
      process.send_signal(number)
      assert process.wait(TIMEOUT) == code, output(workdir)
    stopped_at = max(
      row["step"] for row in rows(workdir) if row["phase"] == phase
    )
    assert f"{phase} is saved at step {stopped_at} of" in output(workdir)
    saved = workdir / "checkpoints" / phase / "last" / f"{stopped_at:08d}"
    assert saved.is_dir()
  text = run(environment, workdir)
  assert "Traceback" not in text
  assert_same_run(workdir, uninterrupted[0])


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


def test_evaluating_again_gives_the_same_rows(
  environment, uninterrupted, tmp_path
):
  workdir = tmp_path / "again"
  shutil.copytree(uninterrupted[0], workdir)
  run(environment, workdir, "--mode=eval")
  assert_same_run(workdir, uninterrupted[0])
  text = run(
    environment,
    workdir,
    "--mode=eval",
    "--config.eval.noise_variances=0.002",
    "--config.eval.corruptions.jpeg=50",
    "--config.eval.corruptions.poisson=30,100",
  )
  assert "Poisson, photons at white" in text
  found = (workdir / "results.jsonl").read_text()
  assert '"noise_variance": 0.002' in found
  assert '"corruption": "jpeg", "corruption_level": 50.0' in found
  assert found.startswith((uninterrupted[0] / "results.jsonl").read_text())


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
    member: {min(of, key=of.get), max(of)} for member, of in losses.items()
  }
  assert (workdir / "images" / "curves_best_test.png").is_file()


def test_init_from_continues_the_pretraining_of_another_run(
  environment, uninterrupted, tmp_path
):
  """With the same settings, it reaches the same joint weights."""
  source, _ = uninterrupted
  workdir = tmp_path / "joint"
  run(environment, workdir, f"--config.init_from={source}")
  expected = digests(source)
  actual = digests(workdir)
  assert set(actual) == {name for name in expected if "joint" in name}
  for name, of_arrays in actual.items():
    assert of_arrays == expected[name], name


def test_streamed_images_give_the_same_run(
  environment, uninterrupted, tmp_path
):
  workdir = tmp_path / "streamed"
  run(environment, workdir, "--config.data.device_bytes=1")
  assert_same_run(workdir, uninterrupted[0])


@pytest.mark.parametrize("steps_per_call", [1, 4])
def test_diverging_run_ends_with_step_and_seed(
  environment, tmp_path, steps_per_call
):
  """Rows before that step are kept, whatever else the call computed."""
  workdir = tmp_path / "diverged"
  text = run(
    environment,
    workdir,
    ONLY_PRETRAIN,
    "--config.pretrain.learning_rate.sr=1e30",
    f"--config.steps_per_call={steps_per_call}",
    expect=3,
  )
  assert "The loss is not finite at step 2 of pretrain, seed 0" in text
  assert [row["step"] for row in rows(workdir)] == [1, 1]


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


def free_port():
  with socket.socket() as listener:
    listener.bind(("localhost", 0))
    return listener.getsockname()[1]


def start_pair(environment, workdir, stack):
  """Two processes of one run, two devices each."""
  port = free_port()
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


def test_two_processes_train_to_the_numbers_of_one(environment, tmp_path):
  """Both have four devices; one process is stopped, then both resume."""
  one = tmp_path / "one"
  run(environment | {"JAX_NUM_CPU_DEVICES": "4"}, one, ONLY_PRETRAIN)
  two = tmp_path / "two"
  with contextlib.ExitStack() as stack:
    pair = start_pair(environment, two, stack)
    wait_for(reached(two, "pretrain", 2), pair[0], two)
    pair[1].send_signal(signal.SIGTERM)
    codes = [process.wait(TIMEOUT) for process in pair]
  assert codes == [143, 143], output(two)
  with contextlib.ExitStack() as stack:
    pair = start_pair(environment, two, stack)
    codes = [process.wait(TIMEOUT) for process in pair]
  assert codes == [0, 0], output(two)
  for name in ("metrics.jsonl", "results.jsonl"):
    pairs = zip(
      (one / name).read_text().splitlines(),
      (two / name).read_text().splitlines(),
      strict=True,
    )
    for expected, actual in pairs:
      expected, actual = json.loads(expected), json.loads(actual)
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
