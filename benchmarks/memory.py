"""Peak memory of training on many images.

  python -m benchmarks.memory --images 200000 --steps 50

trains in this process and prints its peak in bytes.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from benchmarks import effort as effort_lib
from benchmarks import machine, records
from sr2_jax import cpu_tuning, memory

_NUM_IMAGES = 200_000
# The paper's validation and test images are in memory as well.
_NUM_VALIDATION, _NUM_TEST = 14_651, 26_032
_NOTE = (
  "FSRCNN x4, {steps} steps of its first phase with validation and checkpoint, "
  "on {images:,} random uint8 images of 32x32x3 ({size:.2f} GB), with as many "
  "validation and test images as SVHN has; largest resident set of the "
  "process. Reading a data set from disk is not included"
)


def measure(effort: effort_lib.Effort) -> records.Measurement:
  """Peak memory of training on 200,000 images, in GB (1e9 bytes).

  Raises:
    RuntimeError: if the training process failed.
  """
  done = subprocess.run(
    (
      *(sys.executable, "-m", "benchmarks.memory"),
      *("--images", str(_NUM_IMAGES), "--steps", str(effort.memory_steps)),
    ),
    cwd=machine.ROOT,
    env={**os.environ, "JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
    check=False,
  )
  if done.returncode:
    last = done.stderr.strip().splitlines()[-1:]
    raise RuntimeError(f"training ended with code {done.returncode}: {last}")
  peak = json.loads(done.stdout.splitlines()[-1])["peak_bytes"]
  return records.Measurement(
    ours=peak / 1e9,
    samples={"peak_bytes": [peak]},
    note=_NOTE.format(
      steps=effort.memory_steps,
      images=_NUM_IMAGES,
      size=_NUM_IMAGES * 32 * 32 * 3 / 1e9,
    ),
  )


def config_of(data_name: str, **changes: Any) -> Any:
  """A config of FSRCNN x4 with a short validation, resolved."""
  from experiments import default
  from sr2_jax.config import derived

  config = default.get_config()
  config.data.name = data_name
  config.degradation.scale = 4
  config.eval.max_images = 500
  config.update_from_flattened_dict(
    {name.replace("__", "."): value for name, value in changes.items()}
  )
  return derived.resolve(config)


def svhn_sized(num_images: int) -> Any:
  """A data set of random images of 32x32x3."""
  # Only the process that trains may import JAX.
  import numpy as np

  from sr2_jax.data import dataset

  random = np.random.default_rng(0)

  def split(count: int) -> dataset.Split:
    return dataset.Split(
      random.integers(0, 256, (count, 32, 32, 3), np.uint8),
      random.integers(0, 10, count, np.int32),
    )

  return dataset.Dataset(
    "svhn_cropped",
    split(num_images),
    split(_NUM_VALIDATION),
    split(_NUM_TEST),
    class_names=tuple("0123456789"),
    fingerprint="",
    notes=(),
  )


def run_of(config: Any, dataset: Any, workdir: str) -> Any:
  """A run on all devices."""
  from sr2_jax import parallel
  from sr2_jax.records import folder as folder_lib
  from sr2_jax.training import preemption
  from sr2_jax.training import run as run_lib

  return run_lib.Run(
    config,
    folder_lib.RunFolder(workdir),
    dataset,
    parallel.layout("data", 0),
    preemption.StopRequest(),
  )


def train(run: Any, num_steps: int, name: str = "pretrain") -> Any:
  """The state after `train.train_phase`, with validation and a checkpoint."""
  from sr2_jax import train as train_lib
  from sr2_jax.evaluation import phase_evaluation
  from sr2_jax.records import metrics_log
  from sr2_jax.training import checkpoint, divergence, start

  phase = dataclasses.replace(run.phase(name), num_steps=num_steps)
  with run.stop.listening():
    return train_lib.train_phase(
      run,
      start.Start(phase, 0, phase.create_state()),
      phase_evaluation.PhaseEvaluation(run, phase),
      checkpoints=checkpoint.Checkpoints(run.folder.checkpoints(name), keep=1),
      metric_writer=metrics_log.Writer(run.folder.path, tensorboard=False),
      divergences=divergence.Divergences(),
    )


def main(argv: Sequence[str]) -> None:
  """Trains, and prints the peak as JSON."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
  parser.add_argument("--images", type=int, default=_NUM_IMAGES)
  parser.add_argument("--steps", type=int, default=50)
  arguments = parser.parse_args(argv)
  cpu_tuning.prepare()  # As sr2_jax.main does.
  with tempfile.TemporaryDirectory(prefix="sr2_jax_benchmark_") as workdir:
    images = svhn_sized(arguments.images)
    train(run_of(config_of("svhn_cropped"), images, workdir), arguments.steps)
  print(json.dumps({"peak_bytes": memory.peak_bytes()}))


if __name__ == "__main__":
  main(sys.argv[1:])
