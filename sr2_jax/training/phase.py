"""A phase of training: members, network, optimizer and number of steps."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from ml_collections import ConfigDict, FrozenConfigDict

from sr2_jax import errors, names, parallel
from sr2_jax.config import derived
from sr2_jax.imaging import augmentation
from sr2_jax.models import conv_choice, sr2
from sr2_jax.training import inputs, packing, steps
from sr2_jax.training import network as network_lib
from sr2_jax.training import optimizer as optimizer_lib
from sr2_jax.training import population as population_lib

Config = ConfigDict | FrozenConfigDict

# Steps are counted in 32 bits.
_MOST_STEPS = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Phase:
  """One phase of a run.

  Attributes:
    name: "pretrain" or "joint".
    method: the method that the phase trains.
    population: the members.
    steps_per_epoch: whole batches in the training images; an epoch skips the
      rest of its order.
    num_steps: steps of the whole phase.
    image_shape: (H, W, C) of the high-resolution images that are trained on.
    stored_shape: (H, W, C) of those in memory, from which they may be cropped;
      of packed pairs that is (h, w, values).
    network: for one member, without weights.
    optimizer: for one member.
    degrade: turns high-resolution into low-resolution training images; at
      random for SRMD.
    class_weights: of each class in the classifier's loss; None: all count 1.
  """

  name: str
  method: names.Method
  population: population_lib.Population
  steps_per_epoch: int
  num_steps: int
  image_shape: tuple[int, int, int]
  stored_shape: tuple[int, int, int]
  network: network_lib.Network
  optimizer: optax.GradientTransformationExtraArgs
  degrade: inputs.DegradeForTraining
  class_weights: tuple[float, ...] | None = None

  @functools.cached_property
  def _create(self) -> Any:
    """Makes variables from seeds, `without` some subtrees; traced once."""

    def create(
      seeds: jax.Array, *, without: frozenset[str]
    ) -> dict[str, dict[str, Any]]:
      variables = jax.vmap(self.network.init)(seeds)
      return {
        kind: {name: x for name, x in of_kind.items() if name not in without}
        for kind, of_kind in variables.items()
      }

    return jax.jit(create, static_argnames="without")

  @functools.cached_property
  def _shapes(self) -> steps.TrainState:
    variables = self._create.eval_shape(
      self.population.arrays().seed, without=frozenset()
    )
    opt_state = jax.eval_shape(
      jax.vmap(self.optimizer.init), variables["params"]
    )
    return steps.TrainState(**variables, opt_state=opt_state)

  def abstract_state(self) -> steps.TrainState:
    """Shapes and types of the population's state."""
    return self._shapes

  def create_state(self, given: Any = None) -> steps.TrainState:
    """Initial state of the population, NumPy arrays [M, ...].

    Args:
      given: variables in place of initial ones, of whole subtrees. No program
        is compiled for these: random numbers take long to compile.
    """
    given = given or {"params": {}, "batch_stats": {}}
    new = self._create(
      self.population.arrays().seed, without=frozenset(given["params"])
    )
    return steps.TrainState(
      **{
        kind: jax.tree.map(np.asarray, {**new[kind], **given[kind]})
        for kind in new
      },
      opt_state=optimizer_lib.start_of(self._shapes.opt_state),
    )

  def start_from(
    self, pretrained: steps.TrainState, members: population_lib.Population
  ) -> steps.TrainState:
    """Initial state that takes its pretrained subtrees from another phase.

    Adam starts at zero, as in the authors' code, which recompiles the model.

    Args:
      pretrained: state at the end of that phase.
      members: population of that phase; see `Population.origins`.
    """
    origins = self.population.origins(members)
    return self.create_state(population_lib.take(pretrained.variables, origins))


def create(
  config: Config,
  name: str,
  *,
  image_shape: tuple[int, int, int],
  stored_shape: tuple[int, int, int] | None = None,
  num_train_images: int,
  num_classes: int,
  platform: str | None = None,
  axis_name: str | None = None,
  choice: conv_choice.Choice = conv_choice.RULES,
  class_weights: tuple[float, ...] | None = None,
) -> Phase:
  """Phase of a config, for images of one shape.

  Args:
    config: resolved.
    name: "pretrain" or "joint".
    image_shape: (H, W, C) of the high-resolution images that are trained on.
    stored_shape: of those in memory; None: the same.
    num_train_images: size of the training split.
    num_classes: classes of the classifier.
    platform: platform of the devices, such as "cpu"; None: JAX's default.
    axis_name: axis of the devices that share a batch; None: no axis.
    choice: forms of convolutions on the CPU.
    class_weights: of each class in the classifier's loss; None: all count 1.
  """
  steps_per_epoch = num_train_images // config.batch_size
  return Phase(
    name=name,
    method=derived.method(config, name),
    population=population_lib.expand(
      range(config.seed, config.seed + config.num_seeds),
      config.loss.l2,
      derived.loss_weights(config, name),
    ),
    steps_per_epoch=steps_per_epoch,
    num_steps=_num_steps(config, name, steps_per_epoch),
    image_shape=image_shape,
    stored_shape=stored_shape or image_shape,
    network=network_lib.build(
      config,
      image_shape,
      num_classes,
      phase=name,
      platform=platform,
      axis_name=axis_name,
      choice=choice,
    ),
    optimizer=optimizer_lib.create(
      derived.learning_rates(config, name),
      b1=config.adam.b1,
      b2=config.adam.b2,
      eps=config.adam.eps,
      l2_scope=config.loss.l2_scope,
      l2_exempt=sr2.L2_EXEMPT,
    ),
    degrade=inputs.degradation_for_training(config, *image_shape[:2]),
    class_weights=class_weights,
  )


def settings_of_steps(
  phase: Phase, config: Config, layout: parallel.Layout
) -> steps.Settings:
  """What all members share in a training step."""
  by_moments = optimizer_lib.moments_tell(
    derived.learning_rates(config, phase.name),
    b1=config.adam.b1,
    eps=config.adam.eps,
  )
  max_shift = derived.max_shift(config, *phase.image_shape[:2])
  return steps.Settings(
    model=phase.network.model,
    optimizer=phase.optimizer,
    augment=functools.partial(
      augmentation.augment,
      interpolation=augmentation.for_platform(layout.platform),
      max_shift=max_shift,
      max_rotation=config.augmentation.max_rotation,
      fill=config.augmentation.fill,
    ),
    degrade=phase.degrade,
    of_pairs=inputs.pairs_for_training(config, max_shift=max_shift),
    sr_loss=config.loss.super_resolution,
    normalize_weights=config.loss.normalize_weights,
    batch_size=config.batch_size,
    image_shape=phase.stored_shape,
    crop=derived.crop_in_memory(config),
    class_weights=phase.class_weights,
    num_shards=layout.num_shards,
    axis_name=layout.axis_name,
    packing=packing.Packing(
      packing.largest_on(layout.platform),
      functools.partial(
        optimizer_lib.l2_mask,
        scope=config.loss.l2_scope,
        exempt=sr2.L2_EXEMPT,
      ),
      packing.has_outputs_first(
        layout.platform, layout.members_on_each(phase.population.size)
      ),
    ),
    by_moments=by_moments,
    branches=layout.platform == "cpu" or not by_moments,
  )


def train_program(
  phase: Phase,
  config: Config,
  layout: parallel.Layout,
  *,
  steps_per_call: int,
) -> steps.Program:
  """Program of a call of training steps, in the form for `layout.map`."""
  settings = settings_of_steps(phase, config, layout)
  return steps.train_program(settings, steps_per_call=steps_per_call)


def train_steps(
  phase: Phase,
  config: Config,
  layout: parallel.Layout,
  *,
  steps_per_call: int,
  check: Callable[[int], None] | None = None,
) -> Any:
  """Training steps on the devices; each call consumes what it gets.

  `check` is of their memory, as `parallel.Layout.map` takes it.
  """
  program = train_program(phase, config, layout, steps_per_call=steps_per_call)
  return layout.map(program, donate=True, check=check)


def _num_steps(config: Config, name: str, steps_per_epoch: int) -> int:
  """Steps of a phase, which have to be countable."""
  num_steps = config[name].num_epochs * steps_per_epoch
  if num_steps > _MOST_STEPS:
    raise errors.UserError(
      f"config.{name}.num_epochs={config[name].num_epochs} is {num_steps:,} "
      f"steps of {config.batch_size} images; at most {_MOST_STEPS:,} can be "
      "counted."
    )
  return num_steps
