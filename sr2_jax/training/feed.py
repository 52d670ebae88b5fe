"""Training images on their way to the training program, call by call.

If they fit, the images stay on the devices as they are, together with the order
of the epoch; a call then sends only two numbers. Otherwise the host gathers the
batches of each call and sends them while the devices work on earlier calls.
Crops are cut by the program, or by the host before it sends them. The program
trains on the same images either way.
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
from sr2_jax.config import derived
from sr2_jax.data import dataset as dataset_lib
from sr2_jax.data import selection
from sr2_jax.training import batches, crops, population
from sr2_jax.training import phase as phase_lib

# Meaning of `steps_per_call` 0. On an accelerator the host's work on a call
# takes about as long as one step, and this many steps hide it. On the CPU a
# loop of steps is slower than one call for each step.
_STEPS_PER_CALL = 50
_STEPS_PER_CALL_ON_CPU = 1

# Meaning of `data.device_bytes` 0. On the CPU the device's memory is the
# host's, where the images already are: only small data sets are copied.
_DEVICE_BYTES = 8_000_000_000
_DEVICE_BYTES_ON_CPU = 256_000_000

# How many calls ahead batches are loaded.
_CALLS_AHEAD = 2
# Most calls with batches on a device: loaded or unfinished.
CHUNKS_ON_DEVICE = 6

# A call's steps, counted from 0 in the phase, and the arguments after the state
# of the program of `phase.train_steps`.
Call = tuple[range, tuple[Any, ...]]


@dataclasses.dataclass(frozen=True)
class Plan:
  """How a phase's images reach the devices.

  Attributes:
    streams: whether batches are sent call by call; if not, all images stay on
      the devices.
    steps_per_call: most steps of a call.
  """

  streams: bool
  steps_per_call: int


def plan(
  config: Any,
  layout: parallel.Layout,
  *,
  images: selection.Images,
  num_members: int,
) -> Plan:
  """Plan that `steps_per_call` and `data.device_bytes` give on these devices.

  Args:
    config: resolved.
    layout: the devices.
    images: of the training split, [N, H, W, C].
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
      of_step = step_bytes(
        config, layout, images=images, num_members=num_members
      )
      fitting = room // (CHUNKS_ON_DEVICE * of_step)
      steps_per_call = max(1, min(steps_per_call, fitting))
  return Plan(streams, steps_per_call)


def step_bytes(
  config: Any,
  layout: parallel.Layout,
  *,
  images: selection.Images,
  num_members: int,
) -> int:
  """Bytes of a step's images on a device; the arguments are `plan`'s."""
  sent = crops.OnHost(images, derived.crop_in_memory(config)).shape[1:]
  return (
    math.prod(sent)
    * images.dtype.itemsize
    * (config.batch_size // layout.num_shards)
    * layout.members_on_each(num_members)
  )


def steps_of_calls(
  first_step: int,
  num_steps: int,
  *,
  steps_per_call: int,
  boundaries: Sequence[int],
) -> Iterator[range]:
  """Ranges of steps, one for each call.

  Args:
    first_step: where the first call begins.
    num_steps: steps of the phase; the last call ends there.
    steps_per_call: most steps of a call.
    boundaries: calls end at the multiples of these numbers of steps.
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
  """Calls of a phase from a step to its end.

  A call ends where the host has work to do: at the end of an epoch and at a
  checkpoint. Close the generator unless you exhaust it.

  Args:
    phase: what is trained.
    config: resolved.
    layout: the devices.
    split: the training images and labels.
    first_step: steps already done.
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
      crop=derived.crop_in_memory(config),
    )
  return _on_devices(phase, layout, split, ranges)


def _orders(
  members: population.Members, epoch: jax.Array, *, num_images: int
) -> jax.Array:
  """Order of the images in an epoch for each member, int32 [M, num_images]."""
  return jax.vmap(
    lambda seed: rng.epoch_order(seed, epoch, num_images=num_images)
  )(members.seed)


def as_kept(images: selection.Images, platform: str) -> np.ndarray:
  """Training images as devices of a platform, such as "tpu", keep them."""
  images = np.asarray(images)
  return batches.as_rows(images) if platform == "tpu" else images


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
  images, labels = layout.put_shared(
    (as_kept(split.images, layout.platform), split.labels)
  )
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
  crop: int,
) -> Generator[Call]:
  orders = jax.jit(_orders, static_argnames="num_images")
  of_population = phase.population.arrays()
  members = layout.put_members(of_population)
  images = crops.OnHost(split.images, crop)
  rows = places = np.empty(0)
  epoch_of_rows = None

  def begin(epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the images of each step, and where these are cut."""
    order = orders(of_population, np.int32(epoch), num_images=len(split.labels))
    steps = phase.steps_per_epoch
    rows = np.asarray(order)[:, : steps * batch_size]
    rows = rows.reshape(len(rows), steps, batch_size)
    first_step = epoch * steps
    return rows, images.places(of_population.seed, rows, first_step=first_step)

  def load(call: range) -> tuple[Any, ...]:
    nonlocal rows, places, epoch_of_rows
    epoch, first_step = divmod(call.start, phase.steps_per_epoch)
    if epoch != epoch_of_rows:
      (rows, places), epoch_of_rows = begin(epoch), epoch

    def of_call(indices: np.ndarray) -> np.ndarray:
      found = indices[:, first_step : first_step + len(call)]
      # Pad a shorter call with batches that it does not reach.
      margins = [(0, 0)] * found.ndim
      margins[1] = (0, steps_per_call - len(call))
      return np.pad(found, margins)

    chunk = (
      *layout.put_batches((images,), of_call(places)),
      *layout.put_batches((split.labels,), of_call(rows)),
    )
    return (members, None), (None, None, *_start_and_count(call)), chunk

  # One thread, because `load` keeps the order of the current epoch.
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
