"""Our side of the comparison: the programs of sr2_jax that a worker times."""

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks import digits, goals, prepared
from experiments import default
from sr2_jax import parallel, rng
from sr2_jax.config import derived
from sr2_jax.data import dataset
from sr2_jax.evaluation import evaluate, program, scores
from sr2_jax.training import inputs, population, steps
from sr2_jax.training import network as network_lib
from sr2_jax.training import phase as phase_lib

# The paper's lambda for each wiring; "none" does not use it.
_LOSS_WEIGHTS = {"none": 9.0, "parallel": 9.0, "sequential": 0.11}
# How many steps `train` lets the host run ahead of the devices.
_STEPS_AHEAD = 2


def config_of(
  network: str, scale: int, changes: Mapping[str, Any] | None = None
) -> Any:
  """The paper's config for a network of `goals.NETWORKS`, resolved.

  Args:
    network: key of `goals.NETWORKS`.
    scale: super-resolution factor.
    changes: {dotted field: value} of what is not the paper's.
  """
  _, trunk, wiring = goals.NETWORKS[network]
  config = default.get_config()
  config.model.trunk = trunk
  config.model.wiring = wiring
  config.degradation.scale = scale
  config.joint.loss_weight = (_LOSS_WEIGHTS[wiring],)
  config.update_from_flattened_dict(dict(changes or {}))
  return derived.resolve(config)


def phase_of(
  config: Any, images: np.ndarray, layout: parallel.Layout
) -> phase_lib.Phase:
  """Phase that trains the network: joint training if it has a classifier."""
  return phase_lib.create(
    config,
    "pretrain" if config.model.wiring == "none" else "joint",
    image_shape=images.shape[1:],
    num_train_images=len(images),
    num_classes=10,
    platform=layout.platform,
    axis_name=layout.axis_name,
  )


def training_step(case: dict[str, Any]) -> prepared.Prepared:
  """Whole training steps of one member, as in `train`.

  Args:
    case: "network" and "scale".
  """
  config = config_of(case["network"], case["scale"])
  images, labels = digits.training()
  layout = parallel.layout("data", 0)
  phase = phase_of(config, images, layout)
  # One step a call, as `train` runs on a CPU.
  one_step = phase_lib.train_steps(phase, config, layout, steps_per_call=1)
  state = layout.put_members(steps.all_alive(phase.create_state()))
  inputs = _step_inputs(phase, images, labels, layout)
  step = 0

  def work(count: int) -> None:
    nonlocal state, step
    pending: collections.deque[Any] = collections.deque()
    for _ in range(count):
      state, metrics = one_step(state, *inputs(step))
      pending.append(metrics)
      while len(pending) > _STEPS_AHEAD:
        layout.fetch_members(pending.popleft())
      step += 1
    jax.block_until_ready((state, pending))

  # Its population has one member, so these are the parameters of one network.
  num_parameters = sum(
    x.size for x in jax.tree.leaves(phase.abstract_state().params)
  )
  return prepared.Prepared(work, {"num_parameters": num_parameters})


def step_inputs(case: dict[str, Any]) -> prepared.Prepared:
  """The part of a training step before the network, as a separate program.

  It chooses the images, augments and degrades them, as in
  `steps.train_program`.

  Args:
    case: "scale".
  """
  config = config_of("fsrcnn", case["scale"])
  images, labels = digits.training()
  layout = parallel.layout("data", 0)
  phase = phase_of(config, images, layout)
  settings = phase_lib.settings_of_steps(phase, config, layout)
  batch_size = config.batch_size

  def of_member(
    member: population.Members,
    order: jax.Array,
    images: jax.Array,
    step: jax.Array,
  ) -> tuple[jax.Array, jax.Array]:
    first = (step % phase.steps_per_epoch) * batch_size
    chosen = lax.dynamic_slice_in_dim(order, first, batch_size)
    key = jax.random.fold_in(rng.stream(member.seed, "augment"), step)
    keys = rng.per_image(key, jnp.arange(batch_size, dtype=jnp.int32))
    high_res = settings.augment(keys, steps.to_float(images[chosen]))
    low_res, _ = phase.degrade(keys, high_res)
    return high_res, low_res

  def front(
    state: tuple[()], of_members: Any, shared: Any, shard: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    del state, shard
    members, order = of_members
    images, _, step, _ = shared
    of_members = population.over_members(of_member, (0, 0, None, None))
    return of_members(members, order, images, step)

  mapped = layout.map(front)
  inputs = _step_inputs(phase, images, labels, layout)

  def work(count: int) -> None:
    for step in range(count):
      jax.block_until_ready(mapped((), *inputs(step)))

  return prepared.Prepared(work, {})


def evaluation(case: dict[str, Any]) -> prepared.Prepared:
  """Evaluation of SR2_FSRCNN x4: every metric at every noise variance.

  Args:
    case: "num_images", the number of test images.
  """
  images, labels, source = digits.test(case["num_images"])
  work = evaluation_of(images, labels, parallel.layout("data", 0))
  config = config_of("sr2_fsrcnn", 4)
  num_levels = len(config.eval.noise_variances)
  flop = num_levels * _flop_of_image(config, images.shape[1:])
  facts = {"images": source, "flop_per_image": flop, "levels": num_levels}
  return prepared.Prepared(work, facts)


def _flop_of_image(config: Any, image_shape: tuple[int, ...]) -> float:
  """Operations of the network for an image at one noise level.

  By XLA's own convolutions as they are lowered, whichever forms are used.
  """
  height, width, channels = image_shape
  network = network_lib.build(
    config, (height, width, channels), 10, phase="joint", platform="portable"
  )
  seed = jax.ShapeDtypeStruct((), np.uint32)
  low_res = jax.ShapeDtypeStruct((1, *network.low_res_shape), np.float32)
  lowered = jax.jit(network.apply).lower(
    jax.eval_shape(network.init, seed),
    low_res,
    jax.ShapeDtypeStruct((), np.float32),
  )
  flop = flop_of(lowered)
  assert flop is not None, "XLA gives it for a CPU"
  return flop


def flop_of(lowered: jax.stages.Lowered) -> float | None:
  """Floating-point operations of a program, where XLA knows them."""
  cost = lowered.cost_analysis()
  return float(cost["flops"]) if isinstance(cost, dict) else None


def matrix_product(case: dict[str, Any]) -> prepared.Prepared:
  """Products of two square matrices in float32.

  Args:
    case: "side".
  """
  side = case["side"]
  x = jax.random.normal(jax.random.key(0), (side, side))
  product = jax.jit(jnp.matmul)

  def work(count: int) -> None:
    for _ in range(count):
      product(x, x).block_until_ready()

  work(1)  # Compiles.
  return prepared.Prepared(work, {"flop": 2 * side**3})


def evaluation_of(
  images: np.ndarray,
  labels: np.ndarray,
  layout: parallel.Layout,
  *,
  noise_variances: Sequence[float] | None = None,
) -> Callable[[int], None]:
  """Evaluates SR2_FSRCNN x4 on these images as often as asked; compiled.

  Args:
    images: high-resolution.
    labels: of the images.
    layout: the devices.
    noise_variances: levels; None: those of the default config.
  """
  config = config_of("sr2_fsrcnn", 4)
  phase = phase_of(config, images, layout)
  settings = program.Settings(
    apply=phase.network.apply,
    degrade=inputs.degradation_of(config, *images.shape[1:3]),
    sr_loss=config.loss.super_resolution,
    clip=config.eval.clip,
    noise_seed=config.eval.noise_seed,
    num_shards=layout.num_shards,
    axis_name=layout.axis_name,
  )
  mapped = layout.map_each(program.create(settings))
  weights = evaluate.placed(layout, phase.create_state().variables)
  if noise_variances is None:
    noise_variances = config.eval.noise_variances
  variances = np.asarray(noise_variances, np.float32)
  split = dataset.Split(images, labels)

  def start(batch: program.EvalBatch) -> Any:
    return mapped(weights, layout.put_shared((batch, variances)))

  def batches() -> Iterator[program.EvalBatch]:
    return scores.batches(split, batch_size=config.eval.batch_size)

  def work(count: int) -> None:
    for _ in range(count):
      scores.measure(start, layout.fetch_each, batches(), num_classes=10)

  jax.block_until_ready(start(next(batches())))  # Compiles.
  return work


def _step_inputs(
  phase: phase_lib.Phase,
  images: np.ndarray,
  labels: np.ndarray,
  layout: parallel.Layout,
) -> Callable[[int], tuple[Any, Any]]:
  """Function from a step to its arguments after the state."""
  members = phase.population.arrays()
  order = np.stack(
    [
      rng.epoch_order(seed, 0, num_images=len(images))
      for seed in phase.population.seeds
    ]
  )
  of_members = layout.put_members((members, order))
  images, labels = layout.put_shared((images, labels))
  return lambda step: (
    of_members,
    (images, labels, np.int32(step), np.int32(1)),
  )


KINDS = {
  "training_step": training_step,
  "step_inputs": step_inputs,
  "evaluation": evaluation,
  "matrix_product": matrix_product,
}
