"""A run around a network small enough to write out, to evaluate."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments import default
from sr2_jax import parallel, rng
from sr2_jax.config import derived
from sr2_jax.data import dataset as dataset_lib
from sr2_jax.imaging import degradation, noise
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.training import preemption, steps
from sr2_jax.training import run as run_lib

SIZE, SCALE, NUM_CLASSES = 12, 2, 4
VARIANCES = (0.0, 1e-2)
OPERATOR = degradation.operator(SIZE, SCALE, blur_sigma=1.0, anti_aliasing=True)


class Tiny(nn.Module):
  """Pixels repeated, scaled and shifted; linear logits. Only to evaluate."""

  scale: int = SCALE
  wiring: str = "parallel"

  @nn.compact
  def __call__(self, low_res, *, train):
    assert not train
    gain = self.param("gain", nn.initializers.uniform(1.0), (1,))
    shift = self.variable("batch_stats", "shift", jnp.zeros, (1,)).value
    super_res = jnp.repeat(jnp.repeat(low_res, self.scale, 1), self.scale, 2)
    super_res = super_res * gain.reshape(1, 1, 1, 1)
    super_res = super_res + shift.reshape(1, 1, 1, 1)
    if self.wiring == "none":
      return {"super_res": super_res}
    num_pixels = (SIZE // self.scale) ** 2
    weights = self.param(
      "weights", nn.initializers.normal(1.0), (num_pixels, NUM_CLASSES)
    )
    flat = low_res.reshape(low_res.shape[0], -1)
    return {"super_res": super_res, "logits": flat @ weights}


def make_split(num_images, seed):
  random = np.random.default_rng(seed)
  images = random.integers(0, 256, (num_images, SIZE, SIZE, 1), np.uint8)
  labels = random.integers(0, NUM_CLASSES, num_images).astype(np.int32)
  return dataset_lib.Split(images, labels)


def make_run(folder, **changes):
  config = default.get_config()
  config.experiment = "evaluated"
  config.num_seeds = 2
  config.batch_size = 4
  config.data.name = "mnist5k"
  config.joint.loss_weight = (0.5, 2.0)
  config.eval.noise_variances = VARIANCES
  config.eval.noise_seed = 7
  config.eval.batch_size = 4
  # The network below can only be evaluated.
  config.eval.batch_norm = ("running",)
  config.eval.validation_noise_variances = (0.0, 1e-2)
  config.update_from_flattened_dict(
    {name.replace("__", "."): value for name, value in changes.items()}
  )
  return run_lib.Run(
    config=derived.resolve(config),
    folder=folder_lib.RunFolder(folder),
    dataset=dataset_lib.Dataset(
      name="mnist5k",
      train=make_split(8, 0),
      validation=make_split(10, 1),
      test=make_split(9, 2),
      class_names=tuple("abcd"),
      fingerprint="",
      notes=(),
    ),
    layout=parallel.layout("data", 2),
    stop=preemption.StopRequest(),
  )


def tiny_phase(run, name="joint"):
  wiring = "parallel" if name == "joint" else "none"
  phase = run.phase(name)
  network = dataclasses.replace(phase.network, model=Tiny(wiring=wiring))
  return dataclasses.replace(phase, network=network)


def make_state(phase):
  """The population's state, with statistics that differ from the initial."""

  def create(seed):
    variables = phase.network.init(seed)
    shift = {"shift": jnp.full((1,), 0.01) * seed}
    return steps.TrainState(variables["params"], shift, ())

  seeds = np.arange(phase.population.size, dtype=np.uint32)
  return jax.tree.map(np.asarray, jax.vmap(create)(seeds))


def reference(
  variables, member, split, *, variance=0.0, noise_seed=7, class_weights=None
):
  """Errors, cross-entropies and predictions of each image, in NumPy."""
  params, shift = variables["params"], variables["batch_stats"]["shift"]
  squared, absolute, entropy, predicted = [], [], [], []
  for index, image in enumerate(split.images):
    high_res = image[..., 0] / 255.0
    low_res = OPERATOR @ high_res @ OPERATOR.T
    if variance:
      key = rng.per_image(rng.stream(noise_seed, "noise"), jnp.array([index]))
      draw = np.asarray(noise.draw(key, (*low_res.shape, 1)))[0, ..., 0]
      low_res = np.clip(low_res + np.sqrt(variance) * draw, 0, 1)
    super_res = np.kron(low_res, np.ones((SCALE, SCALE)))
    super_res = super_res * params["gain"][member] + shift[member]
    squared.append(np.mean((super_res - high_res) ** 2))
    absolute.append(np.mean(np.abs(super_res - high_res)))
    if "weights" in params:
      logits = low_res.ravel() @ params["weights"][member].astype(np.float64)
      label = split.labels[index]
      weight = class_weights[label] if class_weights else 1.0
      entropy.append(weight * (np.log(np.exp(logits).sum()) - logits[label]))
      predicted.append(np.argmax(logits))
  return {
    "mse": np.mean(squared),
    "l1": np.mean(absolute),
    "loss_classifier": np.mean(entropy) if entropy else None,
    "predicted": np.array(predicted),
  }


# Of a joint phase: seeds, L2 and loss weights, and training steps.
FOUR_MEMBERS = tuple(
  rows_lib.Member(seed=seed, l2=0.01, loss_weight=weight)
  for seed in (0, 1)
  for weight in (0.5, 2.0)
)
STEPS = (5, 6, 7, 8)
