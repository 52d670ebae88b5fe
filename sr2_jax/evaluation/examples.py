"""Example images: a method's outputs for a few test images."""

import jax
import jax.numpy as jnp
import numpy as np

from sr2_jax import rng
from sr2_jax.evaluation import methods
from sr2_jax.imaging import noise
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.training import inputs, population, steps
from sr2_jax.training import run as run_lib

# Images kept of each class, and the most classes.
_PER_CLASS = 2
_MOST_CLASSES = 50


def of_method(run: run_lib.Run, method: methods.Method) -> arrays_lib.Examples:
  """Outputs of every member for the first test images of each class."""
  noise_variances = np.asarray(run.config.eval.noise_variances, np.float64)
  positions = _positions(run.dataset.test.labels)
  images = run.dataset.test.images[positions]
  high_res = np.asarray(steps.to_float(jnp.asarray(images)))
  low_res = _low_res(run, high_res, positions)
  # One member at a time: so few images take no longer, and a program of one
  # member compiles several times as fast as one of all.
  over_levels = jax.jit(jax.vmap(method.apply, in_axes=(None, 0, 0)))
  outputs = [
    over_levels(
      population.take(method.variables, place),
      low_res,
      jnp.asarray(noise_variances, jnp.float32),
    )
    for place in method.places
  ]
  predicted = None
  if "logits" in outputs[0]:
    logits = np.stack([of_member["logits"] for of_member in outputs])
    predicted = logits.argmax(axis=-1).astype(np.int64)
  return arrays_lib.Examples(
    members=method.members,
    steps=method.steps,
    batch_norm=method.batch_norm,
    noise_variances=noise_variances,
    positions=positions,
    labels=run.dataset.test.labels[positions].astype(np.int64),
    high_res=high_res,
    low_res=low_res,
    super_res=np.stack([of_member["super_res"] for of_member in outputs]),
    predicted=predicted,
  )


def _positions(labels: np.ndarray) -> np.ndarray:
  """Positions of the first images of each class, int64 [B]."""
  classes = np.unique(labels)[:_MOST_CLASSES]
  firsts = [np.flatnonzero(labels == x)[:_PER_CLASS] for x in classes]
  return np.concatenate(firsts).astype(np.int64)


def _low_res(
  run: run_lib.Run, high_res: np.ndarray, positions: np.ndarray
) -> np.ndarray:
  """Low-resolution inputs of the evaluation, [V, B, h, w, C]."""
  config = run.config
  degrade = inputs.degradation_of(config, *run.image_shape[:2])
  clean = degrade(jnp.asarray(high_res))
  keys = rng.per_image(
    rng.stream(config.eval.noise_seed, "noise"),
    jnp.asarray(positions, jnp.int32),
  )
  draw = noise.draw(keys, clean.shape[1:])
  return np.stack(
    [
      noise.apply(clean, draw, jnp.float32(variance))
      for variance in config.eval.noise_variances
    ]
  )
