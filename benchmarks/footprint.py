"""The memory that a run needs, as it is estimated and as it is measured.

  python -m benchmarks.footprint

Trains and evaluates SR2_FSRCNN x4 for some steps in several sizes, each in
its own process, on the CPU. Prints a table. "By shapes" is known before any
memory is allocated. "Compiled" has what the compiler counts for a step or a
batch of an evaluation in place of these. "Measured" is the largest resident set
beyond that before the first step, with images loaded and programs on disk.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import machine
from benchmarks import memory as memory_lib
from sr2_jax import cpu_tuning, memory

# Fields of each run, beside `_OF_ALL`; the part of a run that needs most.
_RUNS: dict[str, dict[str, Any]] = {
  "1 member, 64 images a step": {},
  "1 member, 1,024 images a step": {"batch_size": 1024},
  "8 members, 64 images a step": {"num_seeds": 8},
  "1 member, 1,000 images evaluated at once": {"eval__batch_size": 1000},
}
_OF_ALL = {"model__wiring": "parallel", "eval__max_images": 1000}
_NUM_IMAGES, _STEPS = 4096, 3


def main(argv: Sequence[str]) -> None:
  """Prints a table of all runs, or measures one and prints it as JSON."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint")
  parser.add_argument("--run", choices=_RUNS, help=argparse.SUPPRESS)
  chosen = parser.parse_args(argv).run
  if chosen is not None:
    print(json.dumps(measured(_RUNS[chosen])))
    return
  print("| run | by shapes | compiled | measured |\n|---|---|---|---|")
  for name in _RUNS:
    # The first fills the cache of programs: compiling takes memory, too.
    _, found = (_in_process(name) for _ in range(2))
    gigabytes = " | ".join(f"{found[x] / 1e9:.2f} GB" for x in found)
    print(f"| {name} | {gigabytes} |", flush=True)


def _in_process(name: str) -> dict[str, int]:
  done = subprocess.run(
    (sys.executable, "-m", "benchmarks.footprint", f"--run={name}"),
    cwd=machine.ROOT,
    env={**os.environ, "JAX_PLATFORMS": "cpu"},
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  )
  return json.loads(done.stdout.splitlines()[-1])


def measured(changes: dict[str, Any]) -> dict[str, int]:
  """Bytes by shapes, by the compiler and in fact, of a run in this process."""
  cpu_tuning.prepare()
  from sr2_jax import compilation
  from sr2_jax.training import footprint, room

  compilation.use_cache()
  config = memory_lib.config_of("svhn_cropped", **_OF_ALL, **changes)
  images = memory_lib.svhn_sized(_NUM_IMAGES)
  with tempfile.TemporaryDirectory(prefix="sr2_jax_benchmark_") as workdir:
    run = memory_lib.run_of(config, images, workdir)
    moments = [x for x in footprint.of_run(run).moments if "joint" in x.name]
    programs: dict[str, int] = {}

    def note(_: Any, name: str, *__: Any) -> Callable[[int], None]:
      word = name.split()[0]

      def largest(nbytes: int) -> None:
        programs[word] = max(programs.get(word, 0), nbytes)

      return largest

    room.program_check = note
    before = memory.resident_bytes()
    assert before is not None, "Linux alone tells"
    _train_and_evaluate(run)
    peak = memory.peak_bytes() - before
  return {
    "by shapes": max(x.needed(room.HOST) for x in moments),
    "compiled": max(
      x.needed(room.HOST)
      - x.program.nbytes[room.HOST]
      + programs[x.name.split()[0]]
      for x in moments
    ),
    "measured": peak,
  }


def _train_and_evaluate(run: Any) -> None:
  """Some steps of `joint`, a validation, a checkpoint and an evaluation."""
  from sr2_jax.evaluation import phase_evaluation

  state = memory_lib.train(run, _STEPS, "joint")
  phase = run.phase("joint")
  evaluation = phase_evaluation.PhaseEvaluation(run, phase)
  of_kinds = evaluation.with_statistics(state.variables)
  steps_done = [_STEPS] * phase.population.size
  for _ in evaluation.evaluations(of_kinds, steps_done):
    pass


if __name__ == "__main__":
  main(sys.argv[1:])
