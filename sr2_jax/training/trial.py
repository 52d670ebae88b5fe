"""What training takes on the devices here, measured in a few steps."""

import contextlib
import time
from typing import Any, NamedTuple

import jax
import tqdm

from sr2_jax import compilation, memory
from sr2_jax.config import derived
from sr2_jax.data import dataset as dataset_lib
from sr2_jax.records import folder as folder_lib
from sr2_jax.training import devices, feed, footprint, preemption, steps
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import run as run_lib

# Seconds of each phase that are measured, and the fewest calls.
_SECONDS = 3.0
_LEAST_CALLS = 3


class OfPhase(NamedTuple):
  """What a phase takes.

  Attributes:
    name: "pretrain" or "joint".
    num_steps: of the whole phase.
    num_epochs: likewise.
    compiling: seconds until the first call is done.
    step: seconds of a step of all members, without evaluations.
  """

  name: str
  num_steps: int
  num_epochs: int
  compiling: float
  step: float


class Trial(NamedTuple):
  """What a run takes, as its first steps tell.

  Attributes:
    phases: of the run, in order.
    devices: how many take part, and their kind.
    needed: the least memory of the whole run, in words.
    host_bytes: most memory of this process so far, images included.
    device_bytes: most memory of a device so far; None where that is the host's.
  """

  phases: tuple[OfPhase, ...]
  devices: str
  needed: str
  host_bytes: int
  device_bytes: int | None


def measure(config: Any, dataset: dataset_lib.Dataset) -> Trial:
  """Trains a few steps of each phase from new weights, and keeps nothing.

  The compiled programs stay in the cache, where the run finds them.

  Args:
    config: resolved.
    dataset: the images of the config.

  Raises:
    UserError: if the devices, or the weights in `init_from`, do not fit the
      config.
  """
  compilation.use_cache()
  config, layout = devices.spread(config)
  run = run_lib.Run(
    config,
    # Nothing is written there.
    folder_lib.RunFolder(f"runs/{config.experiment}"),
    dataset,
    layout,
    preemption.StopRequest(),
  )
  # These weights are not used, but a run without them is refused.
  run_lib.check_source(config)
  with footprint.guarded(run) as needed:
    run_lib.check_weights(run)
    phases = tuple(
      _of_phase(run, run.phase(name)) for name in derived.phases(config)
    )
  device = layout.devices[0]
  statistics = device.memory_stats() or {}
  return Trial(
    phases,
    f"{len(layout.devices)} x {device.device_kind}",
    needed.line,
    memory.peak_bytes(),
    statistics.get("peak_bytes_in_use"),
  )


def _of_phase(run: run_lib.Run, phase: phase_lib.Phase) -> OfPhase:
  layout, split = run.layout.of(phase.population.size), run.dataset.train
  how = feed.plan(
    run.config, layout, images=split.images, num_members=phase.population.size
  )
  train_steps = phase_lib.train_steps(
    phase,
    run.config,
    layout,
    steps_per_call=how.steps_per_call,
    check=footprint.step_check(run, phase),
  )
  begin = time.perf_counter()
  running = layout.put_members(steps.all_alive(phase.create_state()))
  compiling, seconds, done = 0.0, 0.0, 0
  calls = feed.calls(phase, run.config, layout, split, first_step=0)
  with contextlib.closing(calls):
    for number, (call, inputs) in enumerate(calls):
      running, metrics = train_steps(running, *inputs)
      jax.block_until_ready((running, metrics))
      now = time.perf_counter()
      if not number:
        compiling = now - begin
      else:
        seconds, done = seconds + now - begin, done + len(call)
      begin = now
      if seconds > _SECONDS and number >= _LEAST_CALLS:
        break
  return OfPhase(
    phase.name,
    phase.num_steps,
    run.config[phase.name].num_epochs,
    compiling,
    # A phase of a single call has nothing but its first.
    seconds / done if done else compiling / phase.num_steps,
  )


def described(trial: Trial) -> list[str]:
  """What training takes, in lines."""
  lines = [
    f"{x.name}: {1000 * x.step:,.0f} ms a step, {x.num_steps:,} steps in "
    f"{_epochs(x.num_epochs)} take {_minutes(x.num_steps * x.step)}; compiling "
    f"took {_minutes(x.compiling)}"
    for x in trial.phases
  ]
  total = sum(x.num_steps * x.step for x in trial.phases)
  memory = f"{trial.host_bytes / 1e9:.1f} GB of memory"
  if trial.device_bytes is not None:
    memory += f" and {trial.device_bytes / 1e9:.1f} GB of each device's"
  lines.append(
    f"training: {_minutes(total)} on {trial.devices}, with {memory}; "
    "evaluations come on top"
  )
  return [*lines, trial.needed]


def _epochs(number: int) -> str:
  return f"{number:,} epoch{'s' * (number != 1)}"


def _minutes(seconds: float) -> str:
  """A duration as h:mm:ss or m:ss."""
  return tqdm.tqdm.format_interval(round(seconds)).removeprefix("0")
