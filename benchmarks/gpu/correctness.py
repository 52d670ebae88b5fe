"""A device's training step against the CPU's; a run that is killed."""

import concurrent.futures
import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from benchmarks import machine
from benchmarks.gpu import plan, training
from sr2_jax.training import population, steps

# Largest differences that rounding explains, relative to the largest number of
# an array, by the precision of products. TF32 keeps 10 bits of 23.
TOLERANCES = {"float32": 1e-3, "tf32": 5e-2}
# Gradients smaller than this part of the largest one count as this large.
_FLOOR = 1e-3
_PRECISIONS = {"float32": "highest", "tf32": None}


def compare(case: plan.Case, sizes: plan.Sizes, device: Any) -> dict[str, Any]:
  """One step from one state, on the device and on this machine's CPU.

  Returns:
    For products in "float32" and in "tf32", the greatest relative difference of
    "loss", of the "gradients" (Adam's first moments, each array by itself), and
    of the "updates" (in norm: Adam turns the sign of an update where a gradient
    is almost zero). "ok" says whether the gradients are within `TOLERANCES`.
  """
  # On the CPU as a run there would be: its own convolutions, and no loop.
  there = dataclasses.replace(case, steps_per_call=1, convolution="")
  cpu = training.create(there, sizes, jax.devices("cpu")[0])
  other = training.create(case, sizes, device)
  state = cpu.phase.create_state()
  # All compile at once; a compiler needs few of the cores of a GPU's host.
  with concurrent.futures.ThreadPoolExecutor() as pool:
    expected = pool.submit(_step, cpu, state, "highest")
    actual = {
      name: pool.submit(_step, other, state, precision)
      for name, precision in _PRECISIONS.items()
    }
    found = {
      name: _differences(state, result.result(), expected.result())
      for name, result in actual.items()
    }
  within = {
    name: found[name]["gradients"] <= TOLERANCES[name] for name in found
  }
  return {**found, "ok": all(within.values())}


def _step(
  it: training.Training, state: steps.TrainState, precision: str | None
) -> tuple[float, steps.TrainState]:
  """The loss of the first step, and the state after it."""
  # Only in this thread.
  with jax.default_matmul_precision(precision or "default"):
    calls = it.calls()
    _, (of_members, (*data, _)) = next(calls)
    calls.close()
    running, metrics = it.train_steps()(
      it.put(state), of_members, (*data, np.int32(1))
    )
    fetched = it.layout.fetch_members((running.state, metrics["loss"]))
  return float(fetched[1][:, 0].mean()), fetched[0]


def _differences(
  before: steps.TrainState,
  actual: tuple[float, steps.TrainState],
  expected: tuple[float, steps.TrainState],
) -> dict[str, float]:
  loss, after = actual
  wanted_loss, wanted = expected
  moments, wanted_moments = (
    _first_moments(state.opt_state) for state in (after, wanted)
  )
  updates, wanted_updates = (
    _flat(state.params) - _flat(before.params) for state in (after, wanted)
  )
  # A bias before BatchNorm has no gradient but rounding.
  floor = _FLOOR * max(np.abs(x).max() for x in wanted_moments.values())
  return {
    "loss": abs(loss - wanted_loss) / abs(wanted_loss),
    "gradients": max(
      float(np.abs(moments[name] - x).max() / max(np.abs(x).max(), floor))
      for name, x in wanted_moments.items()
    ),
    "updates": float(
      np.linalg.norm(updates - wanted_updates) / np.linalg.norm(wanted_updates)
    ),
  }


def _first_moments(opt_state: Any) -> dict[str, np.ndarray]:
  """Adam's first moments by path: after one step, its gradients."""
  found = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(opt_state):
    name = jax.tree_util.keystr(path)
    if ".mu" in name:
      found[name] = np.asarray(leaf, np.float64)
  return found


def _flat(tree: Any) -> np.ndarray:
  leaves = jax.tree.leaves(population.take(tree, 0))
  return np.concatenate([np.ravel(x).astype(np.float64) for x in leaves])


def resume(
  sizes: plan.Sizes, environment: Mapping[str, str], *, seconds: float
) -> dict[str, Any]:
  """Whether a run that is killed and resumed gives the bits of one that is not.

  Three real processes, with deterministic operations.

  Args:
    sizes: how long the run is.
    environment: of this process.
    seconds: that each process may take.
  """
  flags = environment.get("XLA_FLAGS", "").split()
  if environment.get("JAX_PLATFORMS") != "cpu":
    flags.append("--xla_gpu_deterministic_ops=true")
  environment = {**environment, "XLA_FLAGS": " ".join(flags)}
  with tempfile.TemporaryDirectory(prefix="sr2_jax_gpu_") as folder:
    whole, killed = (pathlib.Path(folder, x) for x in ("whole", "killed"))
    _end(_start(whole, sizes, environment), whole, seconds)
    process = _start(killed, sizes, environment)
    try:
      while not _has_checkpoint(killed):
        if process.poll() is not None:
          raise RuntimeError("the run ended before it could be killed")
        time.sleep(0.002)
    finally:
      process.kill()
      process.wait()
    if (killed / "DONE").exists():
      raise RuntimeError("the run ended before it could be killed")
    _end(_start(killed, sizes, environment), killed, seconds)
    names = sorted(
      str(path.relative_to(whole))
      for pattern in ("*s.jsonl", "weights/*/*/last.safetensors")
      for path in whole.glob(pattern)
    )
    differing = [
      name
      for name in names
      if not (killed / name).exists()
      or (killed / name).read_bytes() != (whole / name).read_bytes()
    ]
  return {"compared": names, "differing": differing, "ok": not differing}


def _start(
  workdir: pathlib.Path, sizes: plan.Sizes, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
  images, batch = 512, 16
  changes = {
    "experiment": "resumed",
    "num_seeds": 1,
    "batch_size": batch,
    "data.max_train_images": images,
    "pretrain.num_epochs": 0,
    "joint.num_epochs": -(-sizes.resumed_steps * batch // images),
    "eval.batch_norm": "running",
    "eval.every_epochs": 1000,
    "eval.max_images": 100,
    "eval.noise_variances": "0",
    "eval.splits": "test",
    "eval.validation_noise_variances": "0",
    "checkpoint.every_steps": sizes.resumed_steps // 8,
    "log.every_steps": 5,
    "log.tensorboard": False,
    "parallel.num_devices": 1,
  }
  log = workdir.with_suffix(".log").open("ab")
  with log:
    return subprocess.Popen(
      (
        *(sys.executable, "-m", "sr2_jax.main"),
        "--config=experiments/quickstart.py",
        f"--workdir={workdir}",
        *(f"--config.{name}={value}" for name, value in changes.items()),
      ),
      cwd=machine.ROOT,
      env={**os.environ, **environment},
      stdout=log,
      stderr=log,
    )


def _end(
  process: subprocess.Popen[bytes], workdir: pathlib.Path, seconds: float
) -> None:
  """Waits for a run to end well.

  Raises:
    RuntimeError: if it fails.
  """
  try:
    code = process.wait(seconds)
  finally:
    process.kill()
    process.wait()
  if code:
    lines = workdir.with_suffix(".log").read_text().split("\n")
    last = [line for line in lines if line.strip()][-1:]
    raise RuntimeError(f"a run ended with code {code}: {' '.join(last)}")


def _has_checkpoint(workdir: pathlib.Path) -> bool:
  return any(
    path.name.rpartition("_")[2].isdigit()
    for path in workdir.glob("checkpoints/joint/last/*")
  )
