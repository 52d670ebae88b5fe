"""Host and devices cut the squares that the stream says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr2_jax import parallel, rng
from sr2_jax.data import selection
from sr2_jax.training import crops

NUM_IMAGES, BATCH, SIDE = 9, 4, 5
SEEDS = np.array([3, 8], np.uint32)
STEPS = range(6, 9)
RANDOM = np.random.default_rng(0)
# [M, K, B]
ROWS = RANDOM.integers(0, NUM_IMAGES, (len(SEEDS), len(STEPS), BATCH))


@pytest.fixture(params=[np.uint8, np.uint16])
def images(request):
  highest = np.iinfo(request.param).max
  shape = (NUM_IMAGES, 11, 8, 3)
  return RANDOM.integers(0, highest, shape, request.param)


def expected(images, stream="crop"):
  """Crops [M, K, B, ...], one at a time."""

  def one(seed, step, position, row):
    key = jax.random.fold_in(rng.stream(seed, stream), step)
    ends = jnp.array([11 - SIDE + 1, 8 - SIDE + 1])
    key = jax.random.fold_in(key, position)
    top, left = np.asarray(jax.random.randint(key, (2,), 0, ends))
    return images[row, top : top + SIDE, left : left + SIDE]

  return np.array(
    [
      [
        [
          one(seed, step, position, row)
          for position, row in enumerate(ROWS[member, index])
        ]
        for index, step in enumerate(STEPS)
      ]
      for member, seed in enumerate(SEEDS)
    ]
  )


@pytest.mark.parametrize("streams", ["", "batch_norm_"])
def test_the_host_cuts_where_the_stream_says(images, streams):
  shuffled = np.array([4, 0, 8, 1, 3, 2, 7, 5, 6])
  chosen = selection.Selection(images, shuffled)
  on_host = crops.OnHost(chosen, SIDE)
  places = on_host.places(SEEDS, ROWS, first_step=STEPS.start, streams=streams)
  np.testing.assert_array_equal(places[..., 0], ROWS)
  found = on_host[places]
  assert found.dtype == images.dtype
  assert found.flags.c_contiguous
  np.testing.assert_array_equal(
    found, expected(images[shuffled], f"{streams}crop")
  )
  assert on_host.shape == (NUM_IMAGES, SIDE, SIDE, 3)


@pytest.mark.parametrize("name", ["data", "members"])
def test_devices_and_host_cut_the_same(images, name):
  """Two devices that share the batch, or the members."""
  layout = parallel.layout(name, 2).of(len(SEEDS))
  on_host = crops.OnHost(images, SIDE)
  places = on_host.places(SEEDS, ROWS, first_step=STEPS.start)
  sent = layout.put_batches((on_host,), places)
  whole = layout.put_batches((images, np.arange(NUM_IMAGES)), ROWS)

  def program(state, seeds, step, shard, sent, images, labels):
    index = step - STEPS.start
    (cut, _) = crops.cut(
      (images[:, index], labels[:, index]), SIDE, seeds, step, shard
    )
    both = jnp.stack((sent[:, index], cut), axis=1)
    if layout.axis_name:
      both = jax.lax.all_gather(both, layout.axis_name, axis=2, tiled=True)
    return both

  mapped = layout.map(program)
  seeds = layout.put_members(SEEDS)
  for index, step in enumerate(STEPS):
    both = mapped((), seeds, np.int32(step), *sent, *whole)
    both = layout.fetch_members(both)
    np.testing.assert_array_equal(both[:, 0], expected(images)[:, index])
    np.testing.assert_array_equal(both[:, 1], both[:, 0])


def test_whole_images_are_left_alone(images):
  on_host = crops.OnHost(images, 0)
  places = on_host.places(SEEDS, ROWS, first_step=0)
  np.testing.assert_array_equal(on_host[places], images[ROWS])
  assert on_host.shape == images.shape
  batch = jnp.asarray(images)[None], jnp.zeros((1, NUM_IMAGES), jnp.int32)
  assert crops.cut(batch, 0, SEEDS, jnp.int32(0), jnp.int32(0)) is batch
