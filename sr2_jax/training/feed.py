"""How training images reach the training program, call by call.

Where they fit they live on the devices as uint8, and so does the order of the
epoch: a call is then two numbers. Else the batches of each call are gathered in
host memory and sent while the devices work on earlier calls. The program gets
the same images either way.
"""

import collections
import dataclasses
import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent import futures
from typing import Any

import jax
import numpy as np

from sr2_jax import parallel, rng
from sr2_jax.data import dataset as dataset_lib
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import population

# What `steps_per_call` 0 means: enough steps to hide the host's work on a call,
# which takes about as long as one step on an accelerator. On the CPU a loop of
# steps is slower than a call for each.
_STEPS_PER_CALL = 50
_STEPS_PER_CALL_ON_CPU = 1

# What `data.device_bytes` 0 means. On the CPU a device's memory is the host's,
# where the images are already; a second copy is for small data sets.
_DEVICE_BYTES = 8_000_000_000
_DEVICE_BYTES_ON_CPU = 256_000_000

# Calls whose batches are on their way before they are due, and those that may
# be on a device at once: these, and the ones that it has yet to finish.
_CALLS_AHEAD = 2
_CHUNKS_ON_DEVICE = 6

# A call's steps, counted from 0 in the phase, and what the program of
# `phase.train_steps` takes besides the state.
Call = tuple[range, tuple[Any, ...]]


@dataclasses.dataclass(frozen=True)
class Plan:
  """How a phase's images are fed.

  Attributes:
    streams: from host memory, call by call; else they live on the devices.
    steps_per_call: the most steps of a call.
  """

  streams: bool
  steps_per_call: int


def plan(
  config: Any,
  layout: parallel.Layout,
  *,
  images: np.ndarray,
  num_members: int,
) -> Plan:
  """What `steps_per_call` and `data.device_bytes` come to on these devices.

  Args:
    config: resolved.
    layout: the devices.
    images: of the training split, uint8 [N, H, W, C].
    num_members: size of the population.
  """
  on_cpu = layout.devices[0].platform == "cpu"
  room = config.data.device_bytes or (
    _DEVICE_BYTES_ON_CPU if on_cpu else _DEVICE_BYTES
  )
  streams = images.nbytes > room
  steps_per_call = config.steps_per_call
  if not steps_per_call:
    steps_per_call = _STEPS_PER_CALL_ON_CPU if on_cpu else _STEPS_PER_CALL
    if streams:
      step_bytes = math.prod(images.shape[1:]) * math.ceil(
        config.batch_size * num_members / len(layout.devices)
      )
      fitting = room // (_CHUNKS_ON_DEVICE * step_bytes)
      steps_per_call = max(1, min(steps_per_call, fitting))
  return Plan(streams, steps_per_call)


def steps_of_calls(
  first_step: int,
  num_steps: int,
  *,
  steps_per_call: int,
  boundaries: Sequence[int],
) -> Iterator[range]:
  """Deals steps out to calls.

  Args:
    first_step: the first one.
    num_steps: of the phase, where the last call ends.
    steps_per_call: the most of one call.
    boundaries: calls end at multiples of these numbers of steps.
  """
  step = first_step
  while step < num_steps:
    ends = [step - step % every + every for every in boundaries]
    end = min(step + steps_per_call, num_steps, *ends)
    yield range(step, end)
    step = end


def calls(
  phase: phase_lib.Phase,
  config: Any,
  layout: parallel.Layout,
  split: dataset_lib.Split,
  *,
  first_step: int,
) -> Generator[Call]:
  """The calls of a phase from a step to its end.

  They end where the host has something to do: at the end of an epoch and at a
  checkpoint. Close the generator where it is not used up.

  Args:
    phase: the phase.
    config: resolved.
    layout: the devices.
    split: the training images and labels.
    first_step: steps done before.
  """
  how = plan(
    config, layout, images=split.images, num_members=phase.population.size
  )
  ranges = steps_of_calls(
    first_step,
    phase.num_steps,
    steps_per_call=how.steps_per_call,
    boundaries=(phase.steps_per_epoch, config.checkpoint.every_steps),
  )
  if how.streams:
    return _streamed(
      phase,
      layout,
      split,
      ranges,
      batch_size=config.batch_size,
      steps_per_call=how.steps_per_call,
    )
  return _on_devices(phase, layout, split, ranges)


def _orders(
  members: population.Members, epoch: jax.Array, *, num_images: int
) -> jax.Array:
  """The members' orders of an epoch, int32 [M, num_images]."""
  return jax.vmap(
    lambda seed: rng.epoch_order(seed, epoch, num_images=num_images)
  )(members.seed)


def _on_devices(
  phase: phase_lib.Phase,
  layout: parallel.Layout,
  split: dataset_lib.Split,
  ranges: Iterable[range],
) -> Generator[Call]:
  num_images = len(split.images)
  orders = layout.map(
    lambda _, members, epoch, shard: _orders(
      members, epoch, num_images=num_images
    )
  )
  members = layout.put_members(phase.population.arrays())
  images, labels = layout.put_shared((split.images, split.labels))
  order, epoch_of_order = None, None
  for call in ranges:
    epoch = call.start // phase.steps_per_epoch
    if epoch != epoch_of_order:
      order, epoch_of_order = orders((), members, np.int32(epoch)), epoch
    yield (
      call,
      ((members, order), (images, labels, *_start_and_count(call))),
    )


def _streamed(
  phase: phase_lib.Phase,
  layout: parallel.Layout,
  split: dataset_lib.Split,
  ranges: Iterable[range],
  *,
  batch_size: int,
  steps_per_call: int,
) -> Generator[Call]:
  num_images = len(split.images)
  orders = jax.jit(_orders, static_argnames="num_images")
  members = layout.put_members(phase.population.arrays())
  order, epoch_of_order = np.empty(0), None

  def load(call: range) -> tuple[Any, ...]:
    nonlocal order, epoch_of_order
    epoch, first_step = divmod(call.start, phase.steps_per_epoch)
    if epoch != epoch_of_order:
      order = np.asarray(
        orders(
          phase.population.arrays(), np.int32(epoch), num_images=num_images
        )
      )
      epoch_of_order = epoch
    rows = order[:, first_step * batch_size :][:, : len(call) * batch_size]
    rows = rows.reshape(len(order), len(call), batch_size)
    # A shorter call is filled up with batches that it does not get to.
    missing = steps_per_call - len(call)
    rows = np.pad(rows, ((0, 0), (0, missing), (0, 0)))
    chunk = layout.put_batches((split.images, split.labels), rows)
    return (members, None), (None, None, *_start_and_count(call)), chunk

  # One thread, so that epochs come in order.
  with futures.ThreadPoolExecutor(1, "feed") as loader:
    ahead: collections.deque[tuple[range, futures.Future]] = collections.deque()
    try:
      for call in ranges:
        ahead.append((call, loader.submit(load, call)))
        if len(ahead) > _CALLS_AHEAD:
          due, inputs = ahead.popleft()
          yield due, inputs.result()
      for due, inputs in ahead:
        yield due, inputs.result()
    finally:
      loader.shutdown(cancel_futures=True)


def _start_and_count(call: range) -> tuple[np.int32, np.int32]:
  return np.int32(call.start), np.int32(len(call))
