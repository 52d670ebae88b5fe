"""A phase of training: what its config comes to for images of one shape."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict, FrozenConfigDict

from sr2_jax import parallel, rng
from sr2_jax.config import derived
from sr2_jax.imaging import (
  augmentation,
  blur_kernels,
  corruptions,
  degradation,
  noise,
)
from sr2_jax.models import sr2, srmd
from sr2_jax.training import optimizer as optimizer_lib
from sr2_jax.training import population as population_lib
from sr2_jax.training import steps

Config = ConfigDict | FrozenConfigDict


@dataclasses.dataclass(frozen=True)
class Phase:
  """One phase of a run.

  Attributes:
    name: "pretrain" or "joint".
    method: its name in result rows.
    population: the members.
    steps_per_epoch: whole batches in the training images; the rest of an
      epoch's order is left out.
    num_steps: of the phase.
    model: the network of a member.
    optimizer: of a member.
    degrade: high-resolution images to low-resolution ones.
    degrade_for_training: the same for training images, at random with SRMD.
    describe: what SRMD is told of `degrade` and of noise; None for others.
    low_res_shape: (h, w, C).
  """

  name: str
  method: str
  population: population_lib.Population
  steps_per_epoch: int
  num_steps: int
  model: sr2.SR2
  optimizer: optax.GradientTransformationExtraArgs
  degrade: steps.Degrade
  degrade_for_training: steps.DegradeForTraining
  describe: steps.Describe | None
  low_res_shape: tuple[int, int, int]

  @property
  def _create(self) -> Any:
    return jax.vmap(
      functools.partial(
        steps.create_state,
        self.model,
        self.optimizer,
        low_res_shape=self.low_res_shape,
        description_size=srmd.DESCRIPTION_SIZE if self.describe else 0,
      )
    )

  def form(self) -> steps.TrainState:
    """Shapes and types of the population's state."""
    return jax.eval_shape(self._create, self.population.arrays().seed)

  def create_state(self) -> steps.TrainState:
    """The population's state from its seeds, NumPy arrays [M, ...]."""
    state = jax.jit(self._create)(self.population.arrays().seed)
    return jax.tree.map(np.asarray, state)

  def start_from(
    self, pretrained: steps.TrainState, members: population_lib.Population
  ) -> steps.TrainState:
    """A new state whose pretrained subtrees come from another phase.

    Adam starts anew (the authors compile the model again).

    Args:
      pretrained: state at the end of that phase.
      members: its population; see `Population.origins`.
    """
    new = self.create_state()
    old = population_lib.take(
      {"params": pretrained.params, "batch_stats": pretrained.batch_stats},
      self.population.origins(members),
    )
    return dataclasses.replace(
      new,
      params={**new.params, **old["params"]},
      batch_stats={**new.batch_stats, **old["batch_stats"]},
    )


def degradation_of(
  config: Config, height: int, width: int, *, blur: float = 1.0
) -> steps.Degrade:
  """The config's degradation for images of one size, its blur so many times as
  wide.
  """
  rows, columns = (
    degradation.operator(
      size,
      config.degradation.scale,
      blur_sigma=blur
      * config.degradation.blur_sigma_per_scale
      * config.degradation.scale,
      anti_aliasing=config.degradation.anti_aliasing,
    )
    for size in (height, width)
  )
  return functools.partial(degradation.degrade, rows=rows, columns=columns)


def corruptions_of(config: Config, height: int, width: int) -> steps.Corrupt:
  """The config's corruptions, at least one, for images of one size.

  Inputs come in the order of `config.corruption_levels`.
  """

  def corrupt(
    high_res: jax.Array, clean: jax.Array, positions: jax.Array
  ) -> jax.Array:
    def at_levels(corruption: str, levels: tuple[float, ...]) -> jax.Array:
      if corruption == "blur":
        blurred = [
          degradation_of(config, height, width, blur=level)(high_res)
          for level in levels
        ]
        return jnp.clip(jnp.stack(blurred), 0, 1)
      as_array = jnp.asarray(levels, jnp.float32)
      if corruption == "jpeg":
        of_levels = jax.vmap(corruptions.jpeg, in_axes=(None, 0))
        return of_levels(clean, as_array)
      stream = rng.stream(config.eval.noise_seed, corruption)
      of_levels = jax.vmap(
        corruptions.RANDOM[corruption], in_axes=(None, None, 0)
      )
      return of_levels(rng.per_image(stream, positions), clean, as_array)

    chosen = sorted(config.eval.corruptions.items())
    return jnp.concatenate(
      [at_levels(corruption, levels) for corruption, levels in chosen if levels]
    )

  return corrupt


def varied_degradation_of(
  config: Config, height: int, width: int, *, basis: np.ndarray
) -> steps.DegradeForTraining:
  """SRMD's training: a blur kernel and a noise level at random for each image.

  The kernel stands for all of degradation's blur. `basis` is what kernels are
  described in.
  """
  recipe = config.srmd
  rows, columns = (
    degradation.taps(
      size, config.degradation.scale, kernel_size=blur_kernels.SIZE
    )
    for size in (height, width)
  )

  def degrade(
    keys: jax.Array, high_res: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    blur_keys, level_keys, noise_keys = jax.vmap(
      lambda key: jax.random.split(key, 3), out_axes=1
    )(keys)
    kernels = blur_kernels.draw(
      blur_keys,
      min_variance=recipe.min_blur_variance,
      max_variance=recipe.max_blur_variance,
      isotropic=recipe.isotropic,
    )
    noise_stds = blur_kernels.draw_noise_std(
      level_keys,
      max_std=recipe.max_noise_std,
      clean_fraction=recipe.clean_fraction,
    )
    clean = degradation.degrade_by_kernels(high_res, kernels, rows, columns)
    low_res = noise.apply(
      clean,
      noise.draw(noise_keys, clean.shape[1:]),
      jnp.square(noise_stds)[:, None, None, None],
    )
    return low_res, blur_kernels.describe(kernels, noise_stds, basis)

  return degrade


def description_of(config: Config, *, basis: np.ndarray) -> steps.Describe:
  """What SRMD is told of the config's own degradation, and of noise.

  Args:
    config: resolved.
    basis: what the network's kernels are described in.
  """
  scale = config.degradation.scale
  kernel = blur_kernels.isotropic(
    degradation.effective_sigma(
      scale,
      blur_sigma=config.degradation.blur_sigma_per_scale * scale,
      anti_aliasing=config.degradation.anti_aliasing,
    )
  )

  def describe(noise_variances: jax.Array) -> jax.Array:
    kernels = jnp.broadcast_to(kernel, (*noise_variances.shape, *kernel.shape))
    return blur_kernels.describe(kernels, jnp.sqrt(noise_variances), basis)

  return describe


def create(
  config: Config,
  name: str,
  *,
  image_shape: tuple[int, int, int],
  num_train_images: int,
  num_classes: int,
  axis_name: str | None,
) -> Phase:
  """The phase of this name.

  Args:
    config: resolved.
    name: "pretrain" or "joint".
    image_shape: (H, W, C) of the high-resolution images.
    num_train_images: in the training split.
    num_classes: of the classifier.
    axis_name: of the devices that share a batch, or None.
  """
  height, width, channels = image_shape
  scale = config.degradation.scale
  learning_rates = derived.learning_rates(config, name)
  is_joint = name == "joint"
  steps_per_epoch = num_train_images // config.batch_size
  degrade = degradation_of(config, height, width)
  degrade_for_training, describe = steps.without_draws(degrade), None
  if config.model.trunk == "srmd":
    basis = blur_kernels.basis_of(
      config.srmd.min_blur_variance, config.srmd.max_blur_variance
    )
    describe = description_of(config, basis=basis)
    degrade_for_training = varied_degradation_of(
      config, height, width, basis=basis
    )
  return Phase(
    name=name,
    method=derived.method(config, name).key,
    population=population_lib.expand(
      range(config.seed, config.seed + config.num_seeds),
      config.loss.l2,
      derived.loss_weights(config, name),
    ),
    steps_per_epoch=steps_per_epoch,
    num_steps=config[name].num_epochs * steps_per_epoch,
    model=sr2.SR2(
      wiring=config.model.wiring if is_joint else "none",
      trunk=config.model.trunk,
      scale=scale,
      channels=channels,
      num_classes=num_classes,
      shared_layers=config.model.shared_layers,
      expansion=config.model.expansion,
      batch_norm=config.model.batch_norm,
      batch_norm_momentum=config.model.batch_norm_momentum,
      transposed_convolution=config.model.transposed_convolution,
      frozen=tuple(k for k, rate in learning_rates.items() if not rate),
      axis_name=axis_name,
      dtype=config.model.dtype,
    ),
    optimizer=optimizer_lib.create(
      learning_rates,
      b1=config.adam.b1,
      b2=config.adam.b2,
      eps=config.adam.eps,
      l2_scope=config.loss.l2_scope,
      l2_exempt=sr2.L2_EXEMPT,
    ),
    degrade=degrade,
    degrade_for_training=degrade_for_training,
    describe=describe,
    low_res_shape=(height // scale, width // scale, channels),
  )


def train_steps(
  phase: Phase,
  config: Config,
  layout: parallel.Layout,
  *,
  steps_per_call: int,
) -> Any:
  """The phase's training steps on the devices; each call consumes the state."""
  return layout.map(
    steps.train_program(
      model=phase.model,
      optimizer=phase.optimizer,
      augment=functools.partial(
        augmentation.augment, **config.augmentation.to_dict()
      ),
      degrade=phase.degrade_for_training,
      sr_loss=config.loss.super_resolution,
      normalize_weights=config.loss.normalize_weights,
      batch_size=config.batch_size,
      num_shards=layout.num_shards,
      axis_name=layout.axis_name,
      steps_per_call=steps_per_call,
    ),
    donate=True,
  )
