"""Training steps and one evaluation step, as pure per-device programs.

Images are uint8 [N, H, W, C] in memory and float32 in [0, 1] from here on.
Programs have the form that `parallel.Layout.map` takes; the averages over
devices here and in BatchNorm, and the gathering of an evaluation's scores, are
the only communication within a program.
"""

import typing
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.flatten_util
import jax.numpy as jnp
import optax
from jax import lax

from sr2_jax import rng
from sr2_jax.imaging import metrics, noise
from sr2_jax.training import population

Degrade = Callable[[jax.Array], jax.Array]
Augment = Callable[[jax.Array, jax.Array], jax.Array]
# (variables, low_res, its noise variance) to what `SR2` gives.
Apply = Callable[[Any, jax.Array, jax.Array], Mapping[str, jax.Array]]
# (keys [B], high_res) to low_res and, where the network is to be told how each
# image was degraded, descriptions.
DegradeForTraining = Callable[
  [jax.Array, jax.Array], tuple[jax.Array, jax.Array | None]
]
# Noise variances [B] to descriptions of what the evaluation does to images.
Describe = Callable[[jax.Array], jax.Array]
# (high_res, its clean low_res, positions in the split) to low_res [L, ...].
Corrupt = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
Program = Callable[..., Any]


@flax.struct.dataclass
class TrainState:
  """All that training changes; each leaf has a leading member axis."""

  params: Any
  batch_stats: Any
  opt_state: Any


@flax.struct.dataclass
class EvalBatch:
  """Images of a split; the last batch is filled up and masked.

  Attributes:
    images: uint8 [B, H, W, C].
    labels: int32 [B].
    positions: int32 [B], in the split; they pick the noise draw.
    mask: float32 [B], 0 where the batch was filled up.
  """

  images: Any
  labels: Any
  positions: Any
  mask: Any


def to_float(images: jax.Array) -> jax.Array:
  """uint8 images as float32 in [0, 1]."""
  return images.astype(jnp.float32) / 255


def create_state(
  model: nn.Module,
  optimizer: optax.GradientTransformation,
  seed: jax.Array,
  low_res_shape: tuple[int, int, int],
  *,
  description_size: int = 0,
) -> TrainState:
  """A member's state at the start of training, from its seed (a scalar).

  The initial values of a subtree depend on the seed alone, not on which other
  subtrees the model has. `description_size` is 0 where the network is told
  nothing of the degradation.
  """
  inputs = [jnp.zeros((1, *low_res_shape))]
  if description_size:
    inputs.append(jnp.zeros((1, description_size)))
  variables = model.init(rng.stream(seed, "init"), *inputs, train=False)
  return TrainState(
    params=variables["params"],
    batch_stats=variables.get("batch_stats", {}),
    opt_state=optimizer.init(variables["params"]),
  )


def without_draws(degrade: Degrade) -> DegradeForTraining:
  """Degrades training images as any other, and tells the network nothing."""
  return lambda keys, high_res: (degrade(high_res), None)


def train_program(
  *,
  model: nn.Module,
  optimizer: optax.GradientTransformationExtraArgs,
  augment: Augment,
  degrade: DegradeForTraining,
  sr_loss: str,
  normalize_weights: bool,
  batch_size: int,
  num_shards: int,
  axis_name: str | None,
  steps_per_call: int = 1,
) -> Program:
  """Training steps of all members on one device, several in one call.

  Args:
    model: an `SR2`; its `axis_name` equals the one here.
    optimizer: of one member; its `update` takes `l2` by name.
    augment: (keys [B], images) to images.
    degrade: (keys [B], high-resolution images) to low-resolution images and
      their descriptions or None.
    sr_loss: key of `metrics.SR_LOSSES`.
    normalize_weights: divide both losses by 1 + loss_weight.
    batch_size: images a member sees in a step, over all shards.
    num_shards: devices that share a batch.
    axis_name: axis to average over, or None.
    steps_per_call: the most steps of one call, K.

  Returns:
    A program of (TrainState, (Members, order), (images, labels, first_step,
    num_steps), shard) that returns the new state and, {name: [M, K]}, the mean
    losses and accuracy of each step's batch; after `num_steps` columns, 0.

    `first_step` counts from 0 in the phase. `order`, int32 [M, N], is the
    epoch's, which a call does not leave, and indexes images [N, ...] and labels
    [N]. All three are None where the batches come as one more argument,
    `chunk`: images [M, K, b, ...] and labels [M, K, b] of this shard.
  """
  shard_size = batch_size // num_shards

  def step_of_member(
    state: TrainState,
    member: population.Members,
    images: jax.Array,
    label: jax.Array,
    step: jax.Array,
    shard: jax.Array,
  ) -> tuple[TrainState, dict[str, jax.Array]]:
    positions = shard * shard_size + jnp.arange(shard_size, dtype=jnp.int32)
    augment_keys, degrade_keys = (
      rng.per_image(
        jax.random.fold_in(rng.stream(member.seed, name), step), positions
      )
      for name in ("augment", "degrade")
    )
    high_res = augment(augment_keys, to_float(images))
    low_res, description = degrade(degrade_keys, high_res)

    def objective(params: Any) -> tuple[jax.Array, tuple[Any, dict]]:
      outputs, updated = model.apply(
        {"params": params, "batch_stats": state.batch_stats},
        low_res,
        description,
        train=True,
        mutable=["batch_stats"],
      )
      terms = {
        "loss_sr": metrics.SR_LOSSES[sr_loss](outputs["super_res"], high_res),
      }
      total = terms["loss_sr"]
      if "logits" in outputs:
        terms["loss_classifier"] = metrics.cross_entropy(
          outputs["logits"], label
        )
        total = total + member.loss_weight * terms["loss_classifier"]
        predicted = jnp.argmax(outputs["logits"], axis=-1)
        terms["accuracy"] = (predicted == label).astype(jnp.float32)
        if normalize_weights:
          total = total / (1 + member.loss_weight)
      terms["loss"] = total
      means = {name: jnp.mean(values) for name, values in terms.items()}
      return means["loss"], (updated, means)

    gradients, (updated, means) = jax.grad(objective, has_aux=True)(
      state.params
    )
    if axis_name is not None:
      gradients, means = _mean_over_devices((gradients, means), axis_name)
    updates, opt_state = optimizer.update(
      gradients, state.opt_state, state.params, l2=member.l2
    )
    new_state = TrainState(
      params=optax.apply_updates(state.params, updates),
      batch_stats=updated.get("batch_stats", {}),
      opt_state=opt_state,
    )
    return new_state, means

  def batch_on_device(
    order: jax.Array,
    images: jax.Array,
    labels: jax.Array,
    step: jax.Array,
    shard: jax.Array,
  ) -> tuple[jax.Array, jax.Array]:
    steps_per_epoch = order.shape[1] // batch_size
    first = (step % steps_per_epoch) * batch_size + shard * shard_size
    chosen = lax.dynamic_slice_in_dim(order, first, shard_size, axis=1)
    return images[chosen], labels[chosen]

  def program(
    state: TrainState,
    of_members: Any,
    shared: Any,
    shard: jax.Array,
    chunk: tuple[jax.Array, jax.Array] | None = None,
  ) -> tuple[TrainState, dict[str, jax.Array]]:
    members, order = of_members
    images, labels, first_step, num_steps = shared

    def one_step(
      index: jax.Array, state: TrainState
    ) -> tuple[TrainState, dict[str, jax.Array]]:
      step = first_step + index
      if chunk is None:
        batch = batch_on_device(order, images, labels, step, shard)
      else:
        batch = tuple(
          lax.dynamic_index_in_dim(x, index, axis=1, keepdims=False)
          for x in chunk
        )
      # Whatever a batch came from, what follows compiles to the same code, so
      # that it gives the same bits.
      batch_images, batch_labels = lax.optimization_barrier(batch)
      return jax.vmap(step_of_member, in_axes=(0, 0, 0, 0, None, None))(
        state, members, batch_images, batch_labels, step, shard
      )

    if steps_per_call == 1:
      # Not even a loop of one step: on the CPU its convolutions would take
      # one thread.
      state, means = one_step(jnp.int32(0), state)
      return state, {name: value[:, None] for name, value in means.items()}

    def body(index: jax.Array, carry: Any) -> Any:
      state, rows = carry
      state, means = one_step(index, state)
      return state, {
        name: rows[name].at[:, index].set(value)
        for name, value in means.items()
      }

    # The number of steps is no constant of the program: one program serves
    # calls of every length, and a step's bits do not depend on how steps are
    # dealt out to calls.
    _, means = jax.eval_shape(one_step, jnp.int32(0), state)
    rows = {
      name: jnp.zeros((*value.shape, steps_per_call), value.dtype)
      for name, value in means.items()
    }
    return lax.fori_loop(0, num_steps, body, (state, rows))

  return program


def _mean_over_devices(tree: Any, axis_name: str) -> Any:
  """All leaves averaged as one vector: one all-reduce, and not one a leaf."""
  vector, restore = jax.flatten_util.ravel_pytree(tree)
  return restore(lax.pmean(vector, axis_name))


def image_scores(
  super_res: jax.Array, high_res: jax.Array, *, sr_loss: str
) -> dict[str, jax.Array]:
  """Every image metric and `loss_sr` of each image, [B]."""
  functions = metrics.IMAGE_METRICS | {"loss_sr": metrics.SR_LOSSES[sr_loss]}
  return {
    name: function(super_res, high_res) for name, function in functions.items()
  }


def inference(model: nn.Module, describe: Describe | None = None) -> Apply:
  """A network in inference mode.

  Args:
    model: an `SR2`.
    describe: what it is told of the images' degradation; None: nothing.
  """

  def apply(
    variables: Any, low_res: jax.Array, noise_variance: jax.Array
  ) -> Mapping[str, jax.Array]:
    inputs = [low_res]
    if describe is not None:
      of_images = jnp.broadcast_to(noise_variance, low_res.shape[:1])
      inputs.append(describe(of_images))
    outputs = model.apply(variables, *inputs, train=False)
    return typing.cast(Mapping[str, jax.Array], outputs)

  return apply


def eval_program(
  *,
  apply: Apply,
  degrade: Degrade,
  sr_loss: str,
  clip: bool,
  noise_seed: int,
  num_shards: int,
  axis_name: str | None,
  corrupt: Corrupt | None = None,
) -> Program:
  """Evaluation of one batch, all members at all noise variances, on one device.

  Args:
    apply: (variables, low_res, noise_variance) to "super_res" and, with a
      classifier, "logits", as `SR2` gives them.
    degrade: high-resolution to low-resolution images, without noise.
    sr_loss: key of `metrics.SR_LOSSES`.
    clip: clip super-resolved images to [0, 1] before measuring.
    noise_seed: of the noise draw, which all variances share, scaled.
    num_shards: devices that share a batch.
    axis_name: axis to gather over, or None.
    corrupt: makes the inputs in place of Gaussian noise, V of them; the noise
      variances then are what `apply` is told, and nothing else.

  Returns:
    A program of (variables, (), (EvalBatch, noise_variances [V])) that returns
    what each image of the whole batch scores, filling included: {metric:
    float32 [M, V, B]} and, with a classifier, the class `predicted`, int32.
  """

  def at_level(
    variables: Any,
    low_res: jax.Array,
    noise_variance: jax.Array,
    high_res: jax.Array,
    labels: jax.Array,
  ) -> dict[str, jax.Array]:
    outputs = apply(variables, low_res, noise_variance)
    super_res = outputs["super_res"]
    if clip:
      super_res = jnp.clip(super_res, 0, 1)
    scores = image_scores(super_res, high_res, sr_loss=sr_loss)
    if "logits" in outputs:
      logits = outputs["logits"]
      scores["loss_classifier"] = metrics.cross_entropy(logits, labels)
      scores["predicted"] = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    return scores

  def program(
    variables: Any, of_members: tuple[()], shared: Any, shard: jax.Array
  ) -> Mapping[str, jax.Array]:
    del of_members
    batch, noise_variances = shared
    shard_size = batch.labels.shape[0] // num_shards
    batch = jax.tree.map(
      lambda x: lax.dynamic_slice_in_dim(x, shard * shard_size, shard_size),
      batch,
    )
    high_res = to_float(batch.images)
    clean = degrade(high_res)
    if corrupt is None:
      keys = rng.per_image(rng.stream(noise_seed, "noise"), batch.positions)
      draw = noise.draw(keys, clean.shape[1:])
      low_res = jax.vmap(noise.apply, in_axes=(None, None, 0))(
        clean, draw, noise_variances
      )
    else:
      low_res = corrupt(high_res, clean, batch.positions)
    over_levels = jax.vmap(at_level, in_axes=(None, 0, 0, None, None))
    over_members = jax.vmap(over_levels, in_axes=(0, None, None, None, None))
    scores = over_members(
      variables, low_res, noise_variances, high_res, batch.labels
    )
    if axis_name is None:
      return scores
    return lax.all_gather(scores, axis_name, axis=2, tiled=True)

  return program
