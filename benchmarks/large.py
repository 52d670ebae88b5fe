"""Training on more images than memory holds, against a small set.

  python -m benchmarks.large --rounds=5

Processes with 200,000 images of 256x256x3, of which squares of 32 are trained
on, alternate with processes with 2,000 images of 32x32x3. A sparse file stands
for the large set, 39 GB that take no room. All pixels are zeros in both, and
the system makes them without a disk, so a disk's speed is not in the numbers.
Each process takes some steps, and then as many with validation and a checkpoint
at their end. Prints JSON, of each process: images per second and CPU seconds
per image of the first steps, and the most anonymous memory, which mapped pages
are no part of. CPU seconds say more where much else is running.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import machine, memory
from sr2_jax import cpu_tuning, files

# Training images, and the side of each.
_SETS = {"large": (200_000, 256), "small": (2_000, 32)}
_CROP = 32
# Images for validation, and as many for the test.
_NUM_HELD_OUT = 2_000
# Steps that are not measured, for compiling.
_WARM_UP = 20
_ENDLESS = 10**6
_SECONDS_BETWEEN_LOOKS = 0.02


class AnonymousMemory:
  """The most anonymous memory of this process while the block lasts."""

  def __init__(self) -> None:
    self.peak_bytes = 0
    self._ends = threading.Event()
    self._thread = threading.Thread(target=self._look, daemon=True)

  def __enter__(self) -> "AnonymousMemory":
    self._thread.start()
    return self

  def __exit__(self, *_: object) -> None:
    self._ends.set()
    self._thread.join()

  def _look(self) -> None:
    while True:
      status = pathlib.Path("/proc/self/status").read_text()
      found = re.search(r"RssAnon:\s*(\d+) kB", status)
      assert found, "Linux alone tells"
      self.peak_bytes = max(self.peak_bytes, int(found[1]) * 1024)
      if self._ends.wait(_SECONDS_BETWEEN_LOOKS):
        return


def dataset_of(which: str, folder: pathlib.Path) -> Any:
  """The large or the small set.

  Args:
    which: "large" or "small".
    folder: for the file of the large set.
  """
  # Only the process that trains may import JAX.
  import numpy as np

  from sr2_jax.data import dataset, mapped_images, selection

  num_train, side = _SETS[which]
  shape = (num_train + 2 * _NUM_HELD_OUT, side, side, 3)
  if which == "large":
    path = folder / "pixels"
    with path.open("w+b") as file:
      file.truncate(math.prod(shape))
      pixels = mapped_images.mapped(file, shape, dtype=np.uint8)
  else:
    pixels = np.zeros(shape, np.uint8)
  images = selection.Selection(
    pixels, np.random.default_rng(0).permutation(len(pixels))
  )
  middle = images.middle((_CROP, _CROP))
  splits = (
    images[:num_train],
    middle[num_train : num_train + _NUM_HELD_OUT],
    middle[num_train + _NUM_HELD_OUT :],
  )
  return dataset.Dataset(
    "folder",
    *(dataset.Split(x, np.zeros(len(x), np.int32)) for x in splits),
    class_names=("zeros",),
    fingerprint="",
    notes=(),
  )


def speed(run: Any, num_steps: int) -> dict[str, float]:
  """Images per second of training steps, and CPU seconds per image."""
  import jax

  from sr2_jax.training import feed, steps
  from sr2_jax.training import phase as phase_lib

  phase = run.phase("pretrain")
  layout = run.layout.of(phase.population.size)
  one_step = phase_lib.train_steps(phase, run.config, layout, steps_per_call=1)
  running = layout.put_members(steps.all_alive(phase.create_state()))
  begin = (0.0, 0.0)
  calls = feed.calls(phase, run.config, layout, run.dataset.train, first_step=0)
  with contextlib.closing(calls):
    for call, inputs in itertools.islice(calls, _WARM_UP + num_steps):
      running, _ = one_step(running, *inputs)
      jax.block_until_ready(running)
      if call.stop == _WARM_UP:
        begin = (time.perf_counter(), time.process_time())
  seconds, cpu = time.perf_counter() - begin[0], time.process_time() - begin[1]
  num_images = num_steps * run.config.batch_size
  return {
    "images_per_second": num_images / seconds,
    "cpu_seconds_per_image": cpu / num_images,
  }


def work(which: str, num_steps: int) -> dict[str, float]:
  """Speed and memory of training on a set, in this process."""
  config = memory.config_of(
    "folder",
    batch_size=64,
    checkpoint__every_steps=_ENDLESS,
    pretrain__num_epochs=_ENDLESS,
    joint__num_epochs=0,
    augmentation__crop=_CROP if which == "large" else 0,
  )
  with (
    AnonymousMemory() as seen,
    tempfile.TemporaryDirectory(prefix="sr2_jax_benchmark_") as folder,
  ):
    run = memory.run_of(config, dataset_of(which, pathlib.Path(folder)), folder)
    found = speed(run, num_steps)
    memory.train(run, num_steps)
  return {**found, "anonymous_gb": seen.peak_bytes / 1e9}


def compare(rounds: int, num_steps: int) -> dict[str, Any]:
  """Both sets in turn, each time in a process of its own."""
  found: dict[str, list[dict[str, float]]] = {which: [] for which in _SETS}
  for number in range(rounds):
    # Neither is always the first.
    for which in list(_SETS)[:: -1 if number % 2 else 1]:
      done = subprocess.run(
        (
          *(sys.executable, "-m", "benchmarks.large"),
          *(f"--worker={which}", f"--steps={num_steps}"),
        ),
        cwd=machine.ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
      )
      found[which].append(json.loads(done.stdout.splitlines()[-1]))
      print(which, found[which][-1], file=sys.stderr, flush=True)
  return {
    "machine": machine.describe(),
    "steps": num_steps,
    **{
      name: {which: [x[name] for x in found[which]] for which in _SETS}
      for name in found["large"][0]
    },
    "ratio_of_speeds": _ratio(found, "images_per_second"),
    "ratio_of_cpu_seconds": _ratio(found, "cpu_seconds_per_image"),
  }


def _ratio(found: dict[str, list[dict[str, float]]], name: str) -> float:
  """Median over the rounds of large / small."""
  pairs = zip(found["large"], found["small"], strict=True)
  return statistics.median(one[name] / other[name] for one, other in pairs)


def main(argv: Sequence[str]) -> None:
  """Compares both sets, or trains on one of them; prints JSON."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.large")
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--steps", type=int, default=200)
  parser.add_argument("--worker", choices=_SETS, help="in this process")
  parser.add_argument("--write", help="a JSON file for the results")
  options = parser.parse_args(argv)
  if options.worker:
    cpu_tuning.prepare()  # As sr2_jax.main does.
    print(json.dumps(work(options.worker, options.steps)))
    return
  text = json.dumps(compare(options.rounds, options.steps), indent=1)
  if options.write:
    files.write_atomically(options.write, text.encode() + b"\n")
  print(text)


if __name__ == "__main__":
  main(sys.argv[1:])
