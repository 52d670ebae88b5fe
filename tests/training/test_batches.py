import numpy as np
import pytest

from sr2_jax.training import batches

SHAPE = (5, 6, 3)


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("shard", [0, 1])
def test_a_step_takes_its_part_of_the_order(rows, shard):
  random = np.random.default_rng(0)
  images = random.integers(0, 256, (12, *SHAPE), np.uint8)
  labels = np.arange(12, dtype=np.int32)
  order = np.stack([random.permutation(12) for _ in range(2)]).astype(np.int32)
  kept = batches.as_rows(images) if rows else images
  found, found_labels = batches.choose(
    order,
    (kept, labels),
    np.int32(4),  # The second batch of the second epoch.
    np.int32(shard),
    (4, 2),
    SHAPE,
  )
  chosen = order[:, 4 + 2 * shard :][:, :2]
  np.testing.assert_array_equal(found, images[chosen])
  np.testing.assert_array_equal(found_labels, chosen)


def test_rows_are_whole_tiles():
  images = np.ones((2, *SHAPE), np.uint8)
  rows = batches.as_rows(images)
  assert rows.shape == (2, 128)
  np.testing.assert_array_equal(rows.sum(axis=1), 90)


def test_a_call_brings_its_batches():
  images, labels = np.arange(24).reshape(2, 3, 4), np.arange(6).reshape(2, 3)
  found = batches.of_chunk((images, labels), np.int32(1))
  np.testing.assert_array_equal(found[0], images[:, 1])
  np.testing.assert_array_equal(found[1], labels[:, 1])
