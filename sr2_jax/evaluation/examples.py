"""Example images: a method's outputs for a few test images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from sr2_jax.config import derived
from sr2_jax.data import pairs
from sr2_jax.evaluation import methods, program
from sr2_jax.imaging import degradation
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.training import inputs, population, steps
from sr2_jax.training import run as run_lib

# Images kept of each class, of a single one or without classes, and the most
# classes.
_PER_CLASS = 2
_OF_ONE_CLASS = 6
_MOST_CLASSES = 50


def of_method(run: run_lib.Run, method: methods.Method) -> arrays_lib.Examples:
  """Outputs of every member for the first test images of each class."""
  noise_variances = np.asarray(run.config.eval.noise_variances, np.float64)
  positions = _positions(run.dataset.test.labels)
  images = run.dataset.test.images[positions]
  # Not in the program below: it keeps the bits of files that get more levels.
  images = np.asarray(steps.to_float(jnp.asarray(images)))
  high_res, clean = images, None
  if scale := derived.pair_scale(run.config):
    high_res, clean = pairs.unpacked(images, scale)
  low_res = np.asarray(
    _low_res(
      high_res,
      clean,
      positions.astype(np.int32),
      inputs.operators_of(run.config, *run.image_shape[:2]),
      noise_variances.astype(np.float32),
      noise_seed=run.config.eval.noise_seed,
    )
  )
  # One member at a time: so few images take no longer, and a program of one
  # member compiles several times as fast as one of all.
  over_levels = jax.jit(jax.vmap(method.apply, in_axes=(None, 0, 0)))
  outputs = [
    over_levels(
      population.take(method.variables, place),
      low_res,
      noise_variances.astype(np.float32),
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
  count = _PER_CLASS if len(classes) > 1 else _OF_ONE_CLASS
  firsts = [np.flatnonzero(labels == x)[:count] for x in classes]
  return np.concatenate(firsts).astype(np.int64)


@functools.partial(jax.jit, static_argnames="noise_seed")
def _low_res(
  high_res: jax.Array,
  clean: jax.Array | None,
  positions: jax.Array,
  operators: tuple[jax.Array, jax.Array],
  noise_variances: jax.Array,
  *,
  noise_seed: int,
) -> jax.Array:
  """Low-resolution inputs of the evaluation, [V, B, h, w, C]; one program."""
  if clean is None:
    clean = degradation.degrade(high_res, *operators)
  return program.with_noise(clean, positions, noise_variances, seed=noise_seed)
