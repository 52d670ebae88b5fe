"""Training on more images than memory holds, against a small set.

  python -m benchmarks.large --rounds=10

The large set has 200,000 images of 256x256x3, of which squares of 32 are
trained on; the small one has 2,000 images of 32x32x3. A sparse file stands for
the large set, 39 GB that take no room. All pixels are zeros in both, and the
system makes them without a disk: a disk's speed is not in the numbers.

First the large set trains with validation and a checkpoint, while anonymous
memory is watched; mapped pages are no part of it. Then blocks of steps of both
sets alternate. Prints JSON: for each block images per second and CPU time per
image, which says more where much else is running, and the medians of large /
small.
"""

import argparse
import contextlib
import itertools
import json
import math
import pathlib
import re
import statistics
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


class Steps:
  """Training steps of a run, one block of steps after another."""

  def __init__(self, run: Any) -> None:
    from sr2_jax.training import feed, steps
    from sr2_jax.training import phase as phase_lib

    phase = run.phase("pretrain")
    layout = run.layout.of(phase.population.size)
    self._step = phase_lib.train_steps(
      phase, run.config, layout, steps_per_call=1
    )
    self._running = layout.put_members(steps.all_alive(phase.create_state()))
    self.calls = feed.calls(
      phase, run.config, layout, run.dataset.train, first_step=0
    )
    self._batch_size = run.config.batch_size

  def block(self, num_steps: int) -> dict[str, float]:
    """Images per second of some steps, and CPU microseconds per image."""
    import jax

    begin = time.perf_counter(), time.process_time()
    for _, inputs in itertools.islice(self.calls, num_steps):
      self._running, _ = self._step(self._running, *inputs)
      jax.block_until_ready(self._running)
    seconds, cpu = time.perf_counter(), time.process_time()
    num_images = num_steps * self._batch_size
    return {
      "images_per_second": num_images / (seconds - begin[0]),
      "cpu_us_per_image": 1e6 * (cpu - begin[1]) / num_images,
    }


def measure(num_rounds: int, num_steps: int) -> dict[str, Any]:
  """Memory of the large set, then blocks of steps of both in turn."""
  with (
    contextlib.ExitStack() as stack,
    tempfile.TemporaryDirectory(prefix="sr2_jax_benchmark_") as folder,
  ):
    runs = {}
    with AnonymousMemory() as seen:
      for which in _SETS:
        config = memory.config_of(
          "folder",
          joint__num_epochs=0,
          augmentation__crop=_CROP if which == "large" else 0,
        )
        dataset = dataset_of(which, pathlib.Path(folder))
        runs[which] = memory.run_of(config, dataset, f"{folder}/{which}")
        if which == "large":
          memory.train(runs[which], num_steps)
    of_sets = {which: Steps(run) for which, run in runs.items()}
    for steps in of_sets.values():
      stack.enter_context(contextlib.closing(steps.calls))
      steps.block(_WARM_UP)
    rounds = []
    for number in range(num_rounds):
      # Neither is always the first.
      order = list(_SETS)[:: -1 if number % 2 else 1]
      rounds.append({which: of_sets[which].block(num_steps) for which in order})
      print(rounds[-1], file=sys.stderr, flush=True)
  return {
    "machine": machine.describe(),
    "steps": num_steps,
    "anonymous_gb": seen.peak_bytes / 1e9,
    "rounds": rounds,
    "ratios": {
      name: statistics.median(
        x["large"][name] / x["small"][name] for x in rounds
      )
      for name in rounds[0]["large"]
    },
  }


def main(argv: Sequence[str]) -> None:
  """Measures, and prints JSON."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.large")
  parser.add_argument("--rounds", type=int, default=10)
  parser.add_argument("--steps", type=int, default=50)
  parser.add_argument("--write", help="a file for what is printed")
  options = parser.parse_args(argv)
  cpu_tuning.prepare()  # As sr2_jax.main does.
  text = json.dumps(measure(options.rounds, options.steps), indent=1)
  if options.write:
    files.write_atomically(options.write, text.encode() + b"\n")
  print(text)


if __name__ == "__main__":
  main(sys.argv[1:])
