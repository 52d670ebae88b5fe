"""How long runs take that nobody has measured, by the TPU compiler's estimate.

It knows the cycles of training steps. Compiling, evaluating and saving come on
top.
"""

from launch import jobs as jobs_lib
from launch import slices, status
from sr2_jax.training import layout

# Of a chip. Cycles of another generation have not been counted at this
# revision.
CYCLES_PER_SECOND = {"v5e": 1.5e9}
# Of a step of one member on a chip, in `joint` of SR2 on MNIST with the usual
# settings, by trunk and scale. benchmarks/results/accelerators.json has them,
# by `python -m benchmarks.accelerators`. Six members on a chip take at most 6.2
# times as long.
CYCLES: dict[tuple[str, int], float] = {
  ("fsrcnn", 2): 1_972_757,
  ("fsrcnn", 4): 986_344,
  ("wdsr", 2): 3_482_700,
}


def seconds_left(
  job: jobs_lib.Job, choice: layout.Choice, slice_: slices.Slice
) -> float | None:
  """Seconds of the steps that are left; None if the estimate has no such run.

  `pretrain` and the control are taken to last as long as `joint` of SR2, which
  has the classifier as well.

  Args:
    job: a run.
    choice: its layout and devices.
    slice_: that it gets.
  """
  config, parts = job.config, status.parts(job)
  speed = CYCLES_PER_SECOND.get(slice_.accelerator)
  cycles = CYCLES.get((config.model.trunk, config.degradation.scale))
  if (
    speed is None
    or cycles is None
    or parts is None
    or not config.data.name.startswith("mnist")
    or config.model.wiring == "sequential"
    or any(status.unusual(config, part.phase) for part in parts)
    or (choice.layout == "data" and choice.num_devices > 1)
  ):
    return None
  done = status.steps_done(job)
  turns = sum(
    max(part.num_steps - done.get(part.phase, 0), 0) * on_each
    for part, on_each in zip(parts, choice.members_on_each, strict=True)
  )
  return turns * cycles / speed
