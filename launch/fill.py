"""What each job uses of a slice: devices, chip-hours and disk.

The rule for layout and devices is the run's own. This asks it beforehand.
"""

import dataclasses
from collections.abc import Sequence

from launch import costs, estimate, guess, slices
from launch import jobs as jobs_lib
from sr2_jax import errors
from sr2_jax.config import derived
from sr2_jax.training import layout

# Bytes of a network's parameters, by whether it has a classifier: the mean of
# FSRCNN and WDSR. Measured in checkpoints on 28 x 28 pixels.
_BYTES = {True: 14e6, False: 1.2e6}
# Parameters and Adam's two moments.
_COPIES_IN_A_CHECKPOINT = 3
# The best checkpoint, and best and last in weights/.
_OTHER_COPIES = 3
# The last weights of a run that is done and keeps no optimizer's state.
_FINAL_COPIES = 1


@dataclasses.dataclass(frozen=True)
class Plan:
  """What a job uses.

  Attributes:
    job: the job.
    wave: of the job, as `jobs.waves` has it.
    choice: layout and devices on the slice.
    need: what is left of it.
    disk: what it needs there.
  """

  job: jobs_lib.Job
  wave: int
  choice: layout.Choice
  need: costs.Need
  disk: "Disk"


@dataclasses.dataclass(frozen=True)
class Disk:
  """Bytes of a run folder, about.

  Attributes:
    most: while the run goes on.
    with_state: once it is done, with the optimizer's state.
    without_state: the same without.
    keeps_state: whether the run keeps it.
  """

  most: float
  with_state: float
  without_state: float
  keeps_state: bool


def plan(
  jobs: Sequence[jobs_lib.Job], slice_: slices.Slice, speeds: estimate.Speeds
) -> list[Plan]:
  """The plan of each job.

  Args:
    jobs: a job's source is before it, or left out.
    slice_: that each of them gets.
    speeds: measured on such slices.

  Raises:
    UserError: if jobs ask for devices that the slice has not: one line for
      each.
  """
  plans, mistakes, waves = [], [], jobs_lib.waves(jobs)
  for job in jobs:
    try:
      choice = choice_of(job, slice_)
    except errors.UserError as error:
      mistakes.append(f"{job.name}: {error}")
      continue
    need = need_of(job, choice, slice_, speeds)
    plans.append(Plan(job, waves[job.name], choice, need, disk(job)))
  if mistakes:
    raise errors.UserError("\n".join(mistakes))
  return plans


def choice_of(job: jobs_lib.Job, slice_: slices.Slice) -> layout.Choice:
  """Layout and devices of a job on a slice, as its run will choose them.

  Raises:
    UserError: if the config asks for devices that the slice has not.
  """
  try:
    recorded = (job.folder.read() or {}).get("config", {}).get("parallel")
  except errors.UserError:
    recorded = None
  return layout.of_config(
    job.config,
    devices=slice_.chips,
    hosts=1 if slice_.cut else slice_.hosts,
    platform=slice_.platform,
    recorded=recorded,
  )


def need_of(
  job: jobs_lib.Job,
  choice: layout.Choice,
  slice_: slices.Slice,
  speeds: estimate.Speeds,
) -> costs.Need:
  """What is left of a job: as measured, else as the compiler estimates it."""
  measured = estimate.seconds_left(job, speeds)
  if measured is not None:
    return costs.Need(measured)
  return costs.Need(guess.seconds_left(job, choice, slice_), is_guess=True)


def needs(
  jobs: Sequence[jobs_lib.Job], slice_: slices.Slice, speeds: estimate.Speeds
) -> list[costs.Need]:
  """What is left of each job, whether the slice has room for it or not."""
  found = []
  for job in jobs:
    try:
      found.append(need_of(job, choice_of(job, slice_), slice_, speeds))
    except errors.UserError:
      found.append(costs.Need(None))
  return found


def disk(job: jobs_lib.Job) -> Disk:
  """About what a run folder needs."""
  config = job.config
  network = sum(
    _BYTES[phase == "joint" and config.model.wiring != "none"]
    * derived.population_size(config, phase)
    for phase in derived.phases(config)
  )
  states = _COPIES_IN_A_CHECKPOINT * config.checkpoint.keep
  return Disk(
    # A new checkpoint is complete before the oldest one goes.
    network * (states + _COPIES_IN_A_CHECKPOINT + _OTHER_COPIES),
    network * (states + _OTHER_COPIES),
    network * (_FINAL_COPIES + _OTHER_COPIES),
    config.checkpoint.keep_finished,
  )


def to_go(plans: Sequence[Plan], slice_: slices.Slice) -> costs.ToGo:
  """What all of them still need."""
  return costs.to_go((plan.need for plan in plans), slice_.chips)


def advice(plans: Sequence[Plan], slice_: slices.Slice) -> str:
  """How chips that stay idle could be used, if most runs use half or less."""
  of_runs = sorted(plan.choice.available - plan.choice.idle for plan in plans)
  busy = of_runs[len(of_runs) // 2]
  is_emulated = slices.is_emulated(slice_.accelerator)
  if 2 * busy > slice_.chips or slice_.cut or is_emulated:
    return ""
  who = "No run uses" if busy == of_runs[-1] else "Most runs use no"
  text = f"{who} more than {busy} of {slice_.chips} chips: "
  if slice_.platform == "gpu":
    return f"{text}--gpus={busy} starts more at once."
  text += f"--topology={slices.smallest(slice_.accelerator, busy)} is enough"
  for cut, (size, _) in slices.CUTS.items():
    if slice_.hosts == 1 and busy <= size < slice_.chips:
      return f"{text}, or --cut={cut} for {slice_.chips // size} runs a slice."
  return f"{text}."
