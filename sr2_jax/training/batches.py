"""The batch of a step: from all images, or from those of a call; pure."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# Images and labels.
Batch = tuple[jax.Array, jax.Array]
# Values of a row that a TPU keeps together.
_TILE = 128


def as_rows(images: np.ndarray) -> np.ndarray:
  """Images as rows [N, R] of whole tiles of a TPU, with zeros at the end.

  A TPU gathers such rows where they lie. It would copy images of few channels
  into another layout, all of them, in every call.
  """
  rows = images.reshape(len(images), -1)
  return np.pad(rows, ((0, 0), (0, -rows.shape[1] % _TILE)))


def positions(shard: jax.Array, size: int) -> jax.Array:
  """Places in the batch of a shard's images, int32 [size]."""
  return shard * size + jnp.arange(size, dtype=jnp.int32)


@jax.named_scope("batch")
def choose(
  order: jax.Array,
  data: Batch,
  step: jax.Array,
  shard: jax.Array,
  sizes: tuple[int, int],
  image_shape: tuple[int, int, int],
) -> Batch:
  """Images [M, b, H, W, C] and labels [M, b] of a step and shard.

  Args:
    order: of the images in this epoch, int32 [M, N].
    data: images [N, ...], or these `as_rows`, and labels [N].
    step: counted from 0 in the phase.
    shard: index of this device's part of the batch.
    sizes: images of a step and member, over all devices and on one of them.
    image_shape: (H, W, C).
  """
  images, labels = data
  batch_size, shard_size = sizes
  steps_per_epoch = order.shape[1] // batch_size
  first = (step % steps_per_epoch) * batch_size
  first = first + shard * shard_size
  chosen = lax.dynamic_slice_in_dim(order, first, shard_size, axis=1)
  found = images[chosen]
  if images.ndim == 2:  # from `as_rows`
    found = found[..., : math.prod(image_shape)]
    found = found.reshape(*chosen.shape, *image_shape)
  return found, labels[chosen]


def of_chunk(chunk: Batch, index: jax.Array) -> Batch:
  """The batch at `index` of images and labels [M, K, b, ...]."""
  images, labels = (
    lax.dynamic_index_in_dim(x, index, axis=1, keepdims=False) for x in chunk
  )
  return images, labels
