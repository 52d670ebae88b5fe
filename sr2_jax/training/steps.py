"""A training step of one member on one device, and calls of several steps.

Images are uint8 or uint16 [N, H, W, C] in memory, and float32 in [0, 1] here.
Everything is pure. Programs have the form that `parallel.Layout.map` takes.
A member that diverges keeps its last finite state; the others train on.
Devices communicate only through the average here and those of BatchNorm.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from sr2_jax import rng
from sr2_jax.imaging import metrics
from sr2_jax.training import batches, crops, finiteness, inputs, packing
from sr2_jax.training import population as population_lib

# Maps keys [B] and images to images.
Augment = Callable[[jax.Array, jax.Array], jax.Array]
Program = Callable[..., Any]
ALIVE = "alive"  # Who has not diverged, among the metrics of a step.


@flax.struct.dataclass
class TrainState:
  """All that training changes; each leaf has a leading member axis."""

  params: Any
  batch_stats: Any
  opt_state: Any

  @property
  def variables(self) -> dict[str, Any]:
    """Parameters and BatchNorm statistics, which a network is applied with."""
    return {"params": self.params, "batch_stats": self.batch_stats}


@flax.struct.dataclass
class Running:
  """A population in training.

  Attributes:
    state: of every member.
    alive: bool [M]; False for members that have diverged, whose state stays.
  """

  state: TrainState
  alive: Any


def all_alive(state: TrainState) -> Running:
  """A population of which no member has diverged."""
  return Running(state, np.ones(jax.tree.leaves(state)[0].shape[0], bool))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """Parts of a training step that all members share.

  Attributes:
    model: an `SR2` with the same `axis_name`.
    optimizer: for one member; its `update` takes `l2` by name.
    augment: augments high-resolution images.
    degrade: turns high-resolution into low-resolution images.
    of_pairs: does both for pairs in memory; None: there are none.
    sr_loss: key of `metrics.SR_LOSSES`.
    normalize_weights: divide the total loss by 1 + loss_weight.
    batch_size: images of a step and member, over all devices.
    image_shape: (H, W, C) of the images in memory, or (h, w, values) of pairs.
    num_shards: devices that share a batch.
    axis_name: axis of these devices; None: no axis.
    packing: what is joined while steps run.
    by_moments, branches: see `finiteness.keep_finite`.
    crop: side in memory of the squares that are trained on; 0: whole images.
    class_weights: of each class in the classifier's loss; None: all count 1.
  """

  model: nn.Module
  optimizer: optax.GradientTransformationExtraArgs
  augment: Augment
  degrade: inputs.DegradeForTraining
  sr_loss: str
  normalize_weights: bool
  batch_size: int
  image_shape: tuple[int, int, int]
  num_shards: int
  axis_name: str | None
  packing: packing.Packing
  by_moments: bool
  branches: bool
  crop: int = 0
  class_weights: tuple[float, ...] | None = None
  of_pairs: inputs.OfPairs | None = None

  @property
  def shard_size(self) -> int:
    """Images of a step on one device."""
    return self.batch_size // self.num_shards


def to_float(images: jax.Array) -> jax.Array:
  """uint8 or uint16 images as float32 in [0, 1]."""
  return images.astype(jnp.float32) / int(jnp.iinfo(images.dtype).max)


def train_step(
  settings: Settings,
  state: TrainState,
  member: population_lib.Members,
  batch: batches.Batch,
  step: jax.Array,
  shard: jax.Array,
) -> tuple[TrainState, dict[str, jax.Array]]:
  """State after one step of one member, and mean losses and accuracy.

  Args:
    settings: what all members share.
    state: the member's, without a leading axis.
    member: seed, L2 and loss weight, as scalars.
    batch: images and labels of this shard.
    step: counted from 0 in the phase.
    shard: index of this device's part of the batch.
  """
  images, labels = batch
  high_res, low_res, description = inputs_of_batch(
    settings, member.seed, images, step, shard
  )
  model, joins = settings.model, settings.packing.largest > 0
  variables = packing.unpack(state.variables)
  if joins:  # The network gives a batch's own statistics.
    model = model.clone(batch_norm_momentum=0.0)

  def objective(params: Any) -> tuple[jax.Array, tuple[Any, dict]]:
    outputs, updated = model.apply(
      {"params": params, "batch_stats": variables["batch_stats"]},
      low_res,
      description,
      train=True,
      mutable=["batch_stats"],
    )
    terms = losses(settings, outputs, high_res, labels, member.loss_weight)
    means = {name: jnp.mean(values) for name, values in terms.items()}
    return means["loss"], (updated, means)

  gradients, (updated, means) = jax.grad(objective, has_aux=True)(
    variables["params"]
  )
  gradients = packing.pack_like(gradients, state.params)
  gradients, means = _mean_over_devices((gradients, means), settings.axis_name)
  with jax.named_scope("optimizer"):
    updates, opt_state = settings.optimizer.update(
      gradients, state.opt_state, state.params, l2=member.l2
    )
    params = optax.apply_updates(state.params, updates)
    batch_stats = updated.get("batch_stats", {})
    if joins:
      batch_stats = packing.pack_like(batch_stats, state.batch_stats)
      batch_stats = _running_statistics(settings, batch_stats, state)
  return TrainState(params, batch_stats, opt_state), means


def _running_statistics(
  settings: Settings, of_batch: Any, state: TrainState
) -> Any:
  """BatchNorm's statistics after a batch, all of a subtree at once."""
  keep = settings.model.batch_norm_momentum

  def after(name: str, old: Any) -> Any:
    if name in settings.model.frozen:
      return old
    new = of_batch[name]
    return jax.tree.map(lambda x, y: keep * x + (1 - keep) * y, old, new)

  return {name: after(name, x) for name, x in state.batch_stats.items()}


def inputs_of_batch(
  settings: Settings,
  seed: jax.Array,
  images: jax.Array,
  step: jax.Array,
  shard: jax.Array,
  *,
  streams: str = "",
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
  """Augmented high_res, low_res and description of a shard's images.

  Args:
    settings: what all members share.
    seed: the member's.
    images: of the batch, as in memory or crops of these.
    step: the draws depend on it, the seed and an image's position.
    shard: index of this device's part of the batch.
    streams: what the names of the streams start with.
  """
  positions = batches.positions(shard, settings.shard_size)

  def keys_of(name: str) -> jax.Array:
    return rng.of_batch(seed, streams + name, step, positions)

  # Names for profiles and benchmarks; they change no number.
  with jax.named_scope("augmentation"):
    if settings.of_pairs is not None:
      return *settings.of_pairs(keys_of("augment"), to_float(images)), None
    high_res = settings.augment(keys_of("augment"), to_float(images))
  with jax.named_scope("degradation"):
    return high_res, *settings.degrade(keys_of("degrade"), high_res)


def losses(
  settings: Settings,
  outputs: Any,
  high_res: jax.Array,
  labels: jax.Array,
  loss_weight: jax.Array,
) -> dict[str, jax.Array]:
  """Equation 1 of the paper, its terms and accuracy for each image, [B].

  `loss` = `loss_sr` + lambda `loss_classifier`. The optimizer adds L2.
  """
  sr_loss = metrics.SR_LOSSES[settings.sr_loss]
  terms = {"loss_sr": sr_loss(outputs["super_res"], high_res)}
  total = terms["loss_sr"]
  if "logits" in outputs:
    logits, weights = outputs["logits"], settings.class_weights
    terms["loss_classifier"] = metrics.cross_entropy(logits, labels, weights)
    total = total + loss_weight * terms["loss_classifier"]
    predicted = jnp.argmax(logits, axis=-1)
    terms["accuracy"] = (predicted == labels).astype(jnp.float32)
    if settings.normalize_weights:
      total = total / (1 + loss_weight)
  return {**terms, "loss": total}


def _mean_over_devices(tree: Any, axis_name: str | None) -> Any:
  """Mean of all leaves over devices, by one all-reduce of one vector."""
  if axis_name is None:
    return tree
  vector, restore = jax.flatten_util.ravel_pytree(tree)
  return restore(lax.pmean(vector, axis_name))


def train_program(settings: Settings, *, steps_per_call: int = 1) -> Program:
  """Program of one call: training steps of all members on one device.

  Args:
    settings: what all members share.
    steps_per_call: most steps of a call, K.

  Returns:
    A program of (Running, (Members, order), (images, labels, first_step,
    num_steps), shard). It returns the new population and {name: [M, K]}: means
    over each step's batch, and `ALIVE` after it; zeros from `num_steps` on.

    `first_step` counts from 0 in the phase. A call stays within one epoch, and
    `order`, int32 [M, N], is the epoch's: it indexes images [N, ...], or these
    `batches.as_rows`, and labels [N]. These three are None if one more
    argument, `chunk`, brings the batches: images [M, K, b, ...], cropped if
    they have to be, and labels [M, K, b] of this shard.
  """

  def program(
    running: Running,
    of_population: Any,
    shared: Any,
    shard: jax.Array,
    chunk: batches.Batch | None = None,
  ) -> tuple[Running, dict[str, jax.Array]]:
    members, order = of_population
    images, labels, first_step, num_steps = shared

    def one_step(
      index: jax.Array, running: Running
    ) -> tuple[Running, dict[str, jax.Array]]:
      step = first_step + index
      if chunk is None:
        sizes = (settings.batch_size, settings.shard_size)
        batch = batches.choose(
          order, (images, labels), step, shard, sizes, settings.image_shape
        )
        batch = crops.cut(batch, settings.crop, members.seed, step, shard)
      else:
        batch = batches.of_chunk(chunk, index)
      # Behind a barrier the step compiles to the same code for either source
      # of the batch, and so gives the same bits.
      batch = lax.optimization_barrier(batch)
      of_member = functools.partial(train_step, settings)
      of_members = population_lib.over_members(of_member, (0, 0, 0, None, None))
      state, means = of_members(running.state, members, batch, step, shard)
      return _keep_finite(settings, running, state, means)

    state = jax.vmap(settings.packing.pack)(running.state)
    running = Running(state, running.alive)
    running, means = _loop(one_step, running, num_steps, steps_per_call)
    state = packing.unpack_members(running.state)
    return Running(state, running.alive), means

  return program


def _keep_finite(
  settings: Settings, before: Running, new: TrainState, means: dict[str, Any]
) -> tuple[Running, dict[str, jax.Array]]:
  """The population after a step, and the metrics with who is alive."""
  how = {"by_moments": settings.by_moments, "branches": settings.branches}
  alive, state, means = finiteness.keep_finite(
    before.alive, before.state, new, means, **how
  )
  return Running(state, alive), {**means, ALIVE: alive}


def _loop(
  one_step: Callable[[jax.Array, Running], tuple[Running, Any]],
  running: Running,
  num_steps: jax.Array,
  steps_per_call: int,
) -> tuple[Running, dict[str, jax.Array]]:
  """The population after `num_steps` steps, and the metrics of each step.

  The number of steps is an argument, not a constant of the program: one program
  serves calls of every length, and a step gives the same bits in each of them.
  """
  if steps_per_call == 1:
    # No loop, because inside one the CPU runs convolutions on one thread.
    running, means = one_step(jnp.int32(0), running)
    return running, {name: value[:, None] for name, value in means.items()}

  def body(index: jax.Array, carry: Any) -> Any:
    running, rows = carry
    running, means = one_step(index, running)
    return running, {
      name: rows[name].at[:, index].set(value) for name, value in means.items()
    }

  _, means = jax.eval_shape(one_step, jnp.int32(0), running)
  rows = {
    name: jnp.zeros((*value.shape, steps_per_call), value.dtype)
    for name, value in means.items()
  }
  return lax.fori_loop(0, num_steps, body, (running, rows))
