"""Random crops of training images, from where the images are.

Images on the devices are cut in the training program. Otherwise the host cuts
them and sends only the crops. Both cut the same squares: where they are depends
on the seed, the step and an image's place in the batch.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from sr2_jax import rng
from sr2_jax.data import selection
from sr2_jax.imaging import augmentation
from sr2_jax.training import batches

_STREAM = "crop"


@jax.named_scope("crop")
def cut(
  batch: batches.Batch,
  side: int,
  seeds: jax.Array,
  step: jax.Array,
  shard: jax.Array,
) -> batches.Batch:
  """A batch with crops [M, b, side, side, C] of its images; pure.

  Args:
    batch: images of a shard [M, b, H, W, C], of any type, and labels.
    side: height and width of the crops; 0: whole images.
    seeds: of the members, [M].
    step: counted from 0 in the phase.
    shard: index of this device's part of the batch.
  """
  images, labels = batch
  if not side:
    return batch
  positions = batches.positions(shard, images.shape[1])

  def of_member(seed: jax.Array, images: jax.Array) -> jax.Array:
    keys = rng.of_batch(seed, _STREAM, step, positions)
    return augmentation.crop(keys, images, side=side)

  return jax.vmap(of_member)(seeds, images), labels


class OnHost:
  """Crops, or whole images, as `parallel.Layout.put_batches` gathers them.

  Attributes:
    shape: (N, side, side, C), or that of the images.

  Args:
    images: [N, H, W, C].
    side: height and width of the crops; 0: whole images.
  """

  def __init__(self, images: selection.Images, side: int) -> None:
    self._images = selection.of(images)
    self._side = side
    num_images, height, width, channels = images.shape
    self._size = (height, width)
    if side:
      height, width = side, side
    self.shape = (num_images, height, width, channels)

  def __getitem__(self, places: np.ndarray, /) -> np.ndarray:
    """What `places` name."""
    if not self._side:
      return self._images[places]
    return self._images.squares(places, self._side)

  def places(
    self,
    seeds: np.ndarray,
    rows: np.ndarray,
    *,
    first_step: int,
    streams: str = "",
  ) -> np.ndarray:
    """Indices of this for the images of some steps.

    Args:
      seeds: of the members, uint32 [M].
      rows: of the images, int [M, K, B], for K steps.
      first_step: the first of these steps, counted from 0 in the phase.
      streams: what the name of the stream starts with.

    Returns:
      `rows`, or with crops int [M, K, B, 3]: row, top and left.
    """
    if not self._side:
      return rows
    corners = _corners(
      seeds,
      np.int32(first_step),
      num_steps=rows.shape[1],
      batch_size=rows.shape[2],
      size=self._size,
      side=self._side,
      stream=f"{streams}{_STREAM}",
    )
    return np.concatenate((rows[..., None], np.asarray(corners)), axis=-1)


@functools.partial(
  jax.jit,
  static_argnames=("num_steps", "batch_size", "size", "side", "stream"),
)
def _corners(
  seeds: jax.Array,
  first_step: jax.Array,
  *,
  num_steps: int,
  batch_size: int,
  size: tuple[int, int],
  side: int,
  stream: str,
) -> jax.Array:
  """First row and column of every crop of some steps, int32 [M, K, B, 2]."""
  positions = batches.positions(jnp.int32(0), batch_size)

  def of_step(seed: jax.Array, step: jax.Array) -> jax.Array:
    keys = rng.of_batch(seed, stream, step, positions)
    return augmentation.corners(keys, size, side=side)

  steps = first_step + jnp.arange(num_steps, dtype=jnp.int32)
  of_member = jax.vmap(of_step, in_axes=(None, 0))
  return jax.vmap(of_member, in_axes=(0, None))(seeds, steps)
