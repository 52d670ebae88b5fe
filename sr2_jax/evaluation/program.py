"""The evaluation of a batch under all conditions, on one device."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax import lax

from sr2_jax import rng
from sr2_jax.data import pairs
from sr2_jax.imaging import metrics, noise
from sr2_jax.training import inputs, network, steps


@flax.struct.dataclass
class EvalBatch:
  """Images of a split; the last batch is padded.

  Attributes:
    images: uint8 or uint16 [B, H, W, C], or packed pairs [B, h, w, values].
    labels: int32 [B].
    positions: int32 [B], places in the split, which choose the noise.
    mask: float32 [B], 1 for images and 0 for padding.
  """

  images: Any
  labels: Any
  positions: Any
  mask: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """Parts of an evaluation.

  Attributes:
    apply: the network of a member, in inference mode.
    degrade: turns high-resolution into low-resolution images, without noise.
    sr_loss: key of `metrics.SR_LOSSES`.
    clip: clip super-resolved images to [0, 1] before measuring.
    noise_seed: seed of the noise; all variances scale the same draw.
    num_shards: devices that share a batch.
    axis_name: axis of these devices; None: no axis.
    corrupt: makes the inputs of V conditions in place of Gaussian noise; the
      noise variances are then only an argument of `apply`.
    class_weights: as in training, for the classifier's loss.
    pair_scale: scale of pairs, whose low-resolution images replace what
      `degrade` makes; 0 without pairs.
  """

  apply: network.Apply
  degrade: inputs.Degrade
  sr_loss: str
  clip: bool
  noise_seed: int
  num_shards: int
  axis_name: str | None
  corrupt: inputs.Corrupt | None = None
  class_weights: tuple[float, ...] | None = None
  pair_scale: int = 0


def image_scores(
  super_res: jax.Array, high_res: jax.Array, *, sr_loss: str
) -> dict[str, jax.Array]:
  """Image metrics and `loss_sr` of each image, {name: [B]}."""
  functions = metrics.IMAGE_METRICS | {"loss_sr": metrics.SR_LOSSES[sr_loss]}
  return {
    name: function(super_res, high_res) for name, function in functions.items()
  }


def create(settings: Settings) -> steps.Program:
  """Program that evaluates a batch, in the form for `parallel.Layout.map`.

  Returns:
    A program of (variables, (), (EvalBatch, noise_variances [V]), shard). It
    returns the scores of each image of the whole batch, padding included:
    {metric: float32 [M, V, B]} and, with a classifier, the class `predicted`,
    int32.
  """

  def program(
    variables: Any, of_members: tuple[()], shared: Any, shard: jax.Array
  ) -> Mapping[str, jax.Array]:
    del of_members
    batch, noise_variances = shared
    batch = _part_of(batch, shard, settings.num_shards)
    high_res, clean = _clean_pairs(settings, batch)
    low_res = _low_res(
      settings, high_res, clean, batch.positions, noise_variances
    )

    def at_level(
      variables: Any, low_res: jax.Array, noise_variance: jax.Array
    ) -> dict[str, jax.Array]:
      outputs = settings.apply(variables, low_res, noise_variance)
      return _scores(settings, outputs, high_res, batch.labels)

    over_levels = jax.vmap(at_level, in_axes=(None, 0, 0))
    over_members = jax.vmap(over_levels, in_axes=(0, None, None))
    scores = over_members(variables, low_res, noise_variances)
    if settings.axis_name is None:
      return scores
    return lax.all_gather(scores, settings.axis_name, axis=2, tiled=True)

  return program


def _part_of(batch: EvalBatch, shard: jax.Array, num_shards: int) -> EvalBatch:
  """A shard's images of a batch."""
  size = batch.labels.shape[0] // num_shards
  return jax.tree.map(
    lambda x: lax.dynamic_slice_in_dim(x, shard * size, size), batch
  )


def _clean_pairs(
  settings: Settings, batch: EvalBatch
) -> tuple[jax.Array, jax.Array]:
  """High-resolution images of a batch, and their low-resolution ones."""
  images = steps.to_float(batch.images)
  if settings.pair_scale:
    return pairs.unpacked(images, settings.pair_scale)
  return images, settings.degrade(images)


def _low_res(
  settings: Settings,
  high_res: jax.Array,
  clean: jax.Array,
  positions: jax.Array,
  noise_variances: jax.Array,
) -> jax.Array:
  """Low-resolution inputs of all conditions, [V, B, h, w, C]."""
  if settings.corrupt is not None:
    return settings.corrupt(high_res, clean, positions)
  return with_noise(clean, positions, noise_variances, seed=settings.noise_seed)


def with_noise(
  clean: jax.Array, positions: jax.Array, variances: jax.Array, *, seed: int
) -> jax.Array:
  """Images with the evaluation's noise of each variance, [V, B, h, w, C].

  Args:
    clean: images [B, h, w, C].
    positions: int32 [B], places in the split, which choose the noise.
    variances: [V]; all scale the same draw.
    seed: of the noise.
  """
  keys = rng.per_image(rng.stream(seed, "noise"), positions)
  draw = noise.draw(keys, clean.shape[1:])
  return jax.vmap(noise.apply, in_axes=(None, None, 0))(clean, draw, variances)


def _scores(
  settings: Settings,
  outputs: Mapping[str, jax.Array],
  high_res: jax.Array,
  labels: jax.Array,
) -> dict[str, jax.Array]:
  """Scores of each image, {name: [B]}."""
  super_res = outputs["super_res"]
  if settings.clip:
    super_res = jnp.clip(super_res, 0, 1)
  scores = image_scores(super_res, high_res, sr_loss=settings.sr_loss)
  if "logits" in outputs:
    logits = outputs["logits"]
    scores["loss_classifier"] = metrics.cross_entropy(
      logits, labels, settings.class_weights
    )
    scores["predicted"] = jnp.argmax(logits, axis=-1).astype(jnp.int32)
  return scores
