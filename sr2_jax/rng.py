"""Random streams: every draw is a function of (seed, stream, step, image).

Nothing carries a key from step to step, so a resumed run draws what the
uninterrupted run would have drawn, and a batch split over devices draws what
the whole batch would have drawn.
"""

import zlib

import jax
import jax.numpy as jnp

# The same bits on every backend and in every JAX release so far; the default
# implementation is a global setting that a user may have changed.
_IMPLEMENTATION = "threefry2x32"


def stream(seed: int | jax.Array, name: str) -> jax.Array:
  """Key of one stream of a seed.

  The streams are "init", "order", "crop", "augment", "degrade", those four with
  "batch_norm_" before them, "noise", and one for each corruption that draws,
  under its key in `names.CORRUPTIONS`.
  """
  key = jax.random.key(seed, impl=_IMPLEMENTATION)
  return jax.random.fold_in(key, zlib.crc32(name.encode()))


def per_image(key: jax.Array, positions: jax.Array) -> jax.Array:
  """One key for each image.

  Args:
    key: a stream's key, folded with the step if there are steps.
    positions: int [B], each image's position in the whole batch or split, so
      that its draw does not depend on how the batch is cut up.

  Returns:
    Keys [B].
  """
  return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, positions)


def of_batch(
  seed: int | jax.Array, name: str, step: jax.Array, positions: jax.Array
) -> jax.Array:
  """Keys [B] of a stream for the images of a step, by their positions [B]."""
  return per_image(jax.random.fold_in(stream(seed, name), step), positions)


def epoch_order(
  seed: int | jax.Array,
  epoch: int | jax.Array,
  *,
  num_images: int,
  name: str = "order",
) -> jax.Array:
  """Order in which an epoch visits the training images, int32 [num_images].

  Args:
    seed: of the member.
    epoch: counted from 0.
    num_images: in the training split.
    name: of the stream.
  """
  key = jax.random.fold_in(stream(seed, name), epoch)
  return jax.random.permutation(key, jnp.arange(num_images, dtype=jnp.int32))
