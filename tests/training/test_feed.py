"""Images that reach the program, streamed or from the devices."""

import contextlib
import types

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from sr2_jax import parallel, rng
from sr2_jax.data import dataset
from sr2_jax.training import feed, population

NUM_IMAGES, BATCH = 19, 4
STEPS_PER_EPOCH, NUM_STEPS = 4, 10
SEEDS = (3, 4)


def make_phase():
  """The parts of a phase that a feed reads."""
  return types.SimpleNamespace(
    population=population.expand(SEEDS, (0.0,), (None,)),
    steps_per_epoch=STEPS_PER_EPOCH,
    num_steps=NUM_STEPS,
  )


def make_config(*, steps_per_call=3, device_bytes=0, every_steps=5, crop=0):
  return types.SimpleNamespace(
    steps_per_call=steps_per_call,
    batch_size=BATCH,
    data=types.SimpleNamespace(device_bytes=device_bytes, low_res_path=""),
    augmentation=types.SimpleNamespace(crop=crop),
    checkpoint=types.SimpleNamespace(every_steps=every_steps),
  )


@pytest.fixture
def split():
  """Images whose pixel values are their position in the split."""
  images = np.zeros((NUM_IMAGES, 2, 2, 1), np.uint8)
  images += np.arange(NUM_IMAGES, dtype=np.uint8).reshape(-1, 1, 1, 1)
  return dataset.Split(images, np.arange(NUM_IMAGES, dtype=np.int32) + 100)


def seen(layout, split, config, *, first_step=0):
  """Ranges of the calls, and the positions of each step's images, [M, B]."""
  num_shards = layout.num_shards
  steps_per_call = config.steps_per_call

  def program(state, of_members, shared, shard, chunk=None):
    """Reads its arguments as `steps.train_program` does."""
    _, order = of_members
    images, labels, first_step, _ = shared
    if chunk is not None:
      images, labels = chunk
    else:
      first = (first_step % STEPS_PER_EPOCH) * BATCH
      size = steps_per_call * BATCH
      # A dynamic slice that exceeds the order would start earlier.
      order = jnp.pad(order, ((0, 0), (0, size)))
      rows = lax.dynamic_slice_in_dim(order, first, size, axis=1)
      rows = rows.reshape(len(order), steps_per_call, num_shards, -1)
      rows = lax.dynamic_index_in_dim(rows, shard, axis=2, keepdims=False)
      images, labels = images[rows], labels[rows]
    numbers = jnp.stack((images[..., 0, 0, 0].astype(jnp.int32), labels - 100))
    if layout.axis_name:
      numbers = lax.all_gather(numbers, layout.axis_name, axis=3, tiled=True)
    return jnp.moveaxis(numbers, 0, 1)

  mapped = layout.map(program)
  calls = feed.calls(make_phase(), config, layout, split, first_step=first_step)
  ranges, batches = [], []
  for call, inputs in calls:
    numbers = layout.fetch_members(mapped((), *inputs))
    np.testing.assert_array_equal(numbers[:, 0], numbers[:, 1])
    ranges.append((call.start, call.stop))
    batches += [numbers[:, 0, index] for index in range(len(call))]
    assert [int(x) for x in inputs[1][2:]] == [call.start, len(call)]
  return ranges, np.stack(batches)


def expected_batches(first_step=0):
  orders = {
    (seed, epoch): np.asarray(
      rng.epoch_order(seed, epoch, num_images=NUM_IMAGES)
    )
    for seed in SEEDS
    for epoch in range(3)
  }
  return np.stack(
    [
      [
        orders[seed, step // STEPS_PER_EPOCH][
          : STEPS_PER_EPOCH * BATCH
        ].reshape(STEPS_PER_EPOCH, BATCH)[step % STEPS_PER_EPOCH]
        for seed in SEEDS
      ]
      for step in range(first_step, NUM_STEPS)
    ]
  )


@pytest.mark.parametrize("device_bytes", [0, 1])
@pytest.mark.parametrize("name", ["data", "members"])
@pytest.mark.parametrize(
  ("first_step", "expected"),
  [(0, [(0, 3), (3, 4), (4, 5), (5, 8), (8, 10)]), (6, [(6, 8), (8, 10)])],
)
def test_every_step_gets_the_images_of_its_seed_and_epoch(
  split, name, device_bytes, first_step, expected
):
  config = make_config(device_bytes=device_bytes)
  layout = parallel.layout(name, 2)
  ranges, batches = seen(layout, split, config, first_step=first_step)
  assert ranges == expected
  np.testing.assert_array_equal(batches, expected_batches(first_step))


def ranges_of(first, num, most, *boundaries):
  calls = feed.steps_of_calls(
    first, num, steps_per_call=most, boundaries=boundaries
  )
  return [(call.start, call.stop) for call in calls]


def test_calls_end_at_every_boundary_and_at_the_end():
  assert ranges_of(0, 10, 1, 7) == [(i, i + 1) for i in range(10)]
  assert ranges_of(0, 10, 4, 5, 7) == [(0, 4), (4, 5), (5, 7), (7, 10)]
  assert ranges_of(3, 10, 4, 5, 7) == [(3, 5), (5, 7), (7, 10)]
  assert ranges_of(5, 10, 50, 5, 70) == [(5, 10)]
  assert ranges_of(10, 10, 4, 5) == []


def test_cpu_takes_single_steps_and_keeps_only_small_data(split):
  layout = parallel.layout("data", 1)

  def plan(images, **fields):
    config = make_config(**{"steps_per_call": 0, **fields})
    return feed.plan(config, layout, images=images, num_members=2)

  svhn = np.empty(
    (200_000, 32, 32, 3), np.uint8
  )  # untouched, so it takes no memory
  assert plan(split.images) == feed.Plan(False, 1)
  assert plan(svhn) == feed.Plan(True, 1)
  assert plan(svhn, device_bytes=svhn.nbytes) == feed.Plan(False, 1)
  assert plan(svhn, device_bytes=svhn.nbytes - 1) == feed.Plan(True, 1)
  assert plan(svhn, steps_per_call=7) == feed.Plan(True, 7)


def test_accelerators_take_many_steps_that_fit():
  """With streaming, six chunks of 4 images (of one member) must fit."""
  gpus = (types.SimpleNamespace(platform="gpu"),) * 2
  layout = parallel.Layout("members", gpus)

  def plan(shape, device_bytes=0, dtype=np.uint8, crop=0):
    config = make_config(steps_per_call=0, device_bytes=device_bytes, crop=crop)
    images = np.empty(shape, dtype)
    return feed.plan(config, layout, images=images, num_members=2)

  assert plan((48_000, 28, 28, 1)) == feed.Plan(False, 50)
  assert plan((2_604_167, 32, 32, 3)) == feed.Plan(True, 50)
  assert plan((100, 32, 32, 3), 6 * 4 * 3072 * 7) == feed.Plan(False, 50)
  assert plan((200, 32, 32, 3), 6 * 4 * 3072 * 7) == feed.Plan(True, 7)
  assert plan((100, 32, 32, 3), 1) == feed.Plan(True, 1)
  # With 16 bits an image has twice the bytes.
  deep = plan((200, 32, 32, 3), 6 * 4 * 3072 * 14, np.uint16)
  assert deep == feed.Plan(True, 7)
  # Only crops are sent.
  cut = plan((200, 64, 96, 3), 6 * 4 * 3072 * 7, crop=32)
  assert cut == feed.Plan(True, 7)


def test_streaming_reads_ahead_and_stops_when_closed(split, monkeypatch):
  layout = parallel.layout("data", 1)
  loaded = []
  put_batches = parallel.Layout.put_batches

  def record(self, arrays, rows):
    loaded.append(rows)
    return put_batches(self, arrays, rows)

  monkeypatch.setattr(parallel.Layout, "put_batches", record)
  config = make_config(device_bytes=1, steps_per_call=1)
  calls = feed.calls(make_phase(), config, layout, split, first_step=0)
  with contextlib.closing(calls):
    call, _ = next(calls)
    assert call == range(1)
  # Images and labels of each call.
  assert 2 <= len(loaded) <= 6


def test_an_error_while_loading_reaches_the_caller(split, monkeypatch):
  def fail(self, arrays, rows):
    raise MemoryError("no room")

  monkeypatch.setattr(parallel.Layout, "put_batches", fail)
  config = make_config(device_bytes=1)
  calls = feed.calls(
    make_phase(), config, parallel.layout("data", 1), split, first_step=0
  )
  with pytest.raises(MemoryError, match="no room"):
    next(calls)
