"""BatchNorm's statistics, estimated again with fixed weights.

The running statistics of training are those of earlier weights, and lag behind
the last ones. Here they are those of augmented training images under the
weights that are evaluated, as in training: each batch is normalized by its own
statistics. Images and augmentation are drawn from streams of their own, so they
depend on a member's seed alone, and members of one seed share them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from sr2_jax import rng
from sr2_jax.config import derived
from sr2_jax.training import crops, population, steps
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import run as run_lib

_STREAMS = "batch_norm_"
# How many batches the host may run ahead of the devices.
_BATCHES_AHEAD = 2


class Estimator:
  """Estimates the statistics of a phase's networks; compiles at first use.

  Args:
    run: configuration, images and devices.
    phase: what trains the networks; they need a BatchNorm only when called.
  """

  def __init__(self, run: run_lib.Run, phase: phase_lib.Phase) -> None:
    self._run = run
    self._layout = run.layout.of(phase.population.size)
    self._population = phase.population
    self._steps_per_epoch = phase.steps_per_epoch
    self._program = self._layout.map_each(
      program(phase_lib.settings_of_steps(phase, run.config, self._layout))
    )
    self._orders: dict[int, np.ndarray] = {}
    self._images = crops.OnHost(
      run.dataset.train.images, derived.crop_in_memory(run.config)
    )

  def __call__(
    self,
    variables: Any,
    *,
    num_batches: int,
    before_batch: Callable[[], None] | None = None,
  ) -> Any:
    """The statistics of every member, NumPy arrays [M, ...].

    Args:
      variables: of the population, on the devices.
      num_batches: batches of `batch_size` images for each member.
      before_batch: called before each of them; may raise.
    """
    layout = self._layout
    members = layout.put_members(self._population.arrays())
    each = layout.each(variables, members)
    places = self._places(num_batches)
    pending, of_batches = [], []
    for index in range(num_batches):
      if before_batch is not None:
        before_batch()
      images = layout.put_batches((self._images,), places[:, index : index + 1])
      pending.append(self._program(each, np.int32(index), *images))
      if len(pending) > _BATCHES_AHEAD:
        of_batches.append(layout.fetch_each(pending.pop(0)))
    of_batches += map(layout.fetch_each, pending)
    return pooled(of_batches)

  def _places(self, num_batches: int) -> np.ndarray:
    """What the batches have of `_images`, [M, num_batches, B, ...]."""
    rows = [self._rows(index) for index in range(num_batches)]
    return self._images.places(
      self._population.arrays().seed,
      np.concatenate(rows, axis=1),
      first_step=0,
      streams=_STREAMS,
    )

  def _rows(self, index: int) -> np.ndarray:
    """Which images a batch has, int [M, 1, B]."""
    epoch, place = divmod(index, self._steps_per_epoch)
    if epoch not in self._orders:
      self._orders[epoch] = _orders(
        self._population, epoch, len(self._run.dataset.train.images)
      )
    size = self._run.config.batch_size
    return self._orders[epoch][:, None, place * size :][..., :size]


def program(settings: steps.Settings) -> steps.Program:
  """Program that measures the statistics of a batch.

  Args:
    settings: those of a training step.

  Returns:
    A program of (variables, Members, index of the batch, shard, images
    [M, 1, b, ...]), in the form for `parallel.Layout.map`. It returns the
    statistics of the whole batch, and in frozen subtrees those of `variables`,
    which the phase trains with.
  """

  def of_member(
    variables: Any,
    member: population.Members,
    images: jax.Array,
    index: jax.Array,
    shard: jax.Array,
  ) -> Any:
    _, low_res, description = steps.inputs_of_batch(
      settings, member.seed, images, index, shard, streams=_STREAMS
    )
    # With momentum 0 nothing is left of the statistics before.
    model = settings.model.clone(batch_norm_momentum=0.0)
    _, updated = model.apply(
      variables, low_res, description, train=True, mutable=["batch_stats"]
    )
    return updated["batch_stats"]

  def of_population(
    variables: Any,
    members: population.Members,
    index: jax.Array,
    shard: jax.Array,
    images: jax.Array,
  ) -> Any:
    return jax.vmap(of_member, in_axes=(0, 0, 0, None, None))(
      variables, members, images[:, 0], index, shard
    )

  return of_population


def pooled(of_batches: Sequence[Any]) -> Any:
  """Mean and variance over all batches from those of each, in float64.

  By the law of total variance, the variance is the mean of the variances plus
  the variance of the means.

  Args:
    of_batches: trees with leaves "mean" and "var", float32.

  Returns:
    A tree like each of them.
  """
  flat = [traverse_util.flatten_dict(x) for x in of_batches]
  stacked = {
    path: np.stack([np.asarray(x[path], np.float64) for x in flat])
    for path in flat[0]
  }
  found = {}
  for path, values in stacked.items():
    found[path] = values.mean(axis=0)
    if path[-1] == "var":
      found[path] += stacked[*path[:-1], "mean"].var(axis=0)
  return traverse_util.unflatten_dict(
    {path: value.astype(np.float32) for path, value in found.items()}
  )


def _orders(
  members: population.Population, epoch: int, num_images: int
) -> np.ndarray:
  """Order of the training images for each member, int32 [M, num_images]."""
  # One program; each of its operations by itself would be one to compile.
  epoch_order = jax.jit(rng.epoch_order, static_argnames=("num_images", "name"))
  of_seed = {
    seed: np.asarray(
      epoch_order(
        np.uint32(seed),
        np.int32(epoch),
        num_images=num_images,
        name=f"{_STREAMS}order",
      )
    )
    for seed in set(members.seeds)
  }
  return np.stack([of_seed[seed] for seed in members.seeds])
