"""Example images: what each method makes of a few test images, kept and drawn.

The arrays go to `examples/<method>.npz` of the run folder (`archive`), and the
picture is drawn from those of all methods.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr2_jax import errors, messages, names, rng
from sr2_jax.config import derived
from sr2_jax.imaging import noise
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.report import figures
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import population, steps
from sr2_jax.training import run as run_lib

# Images that are kept of each class, and of how many classes at most.
_PER_CLASS = 2
_MOST_CLASSES = 50
# Images and noise levels in the picture.
_NUM_SHOWN = 6
_NUM_LEVELS_SHOWN = 3


def _inputs(run: run_lib.Run, phase: phase_lib.Phase) -> arrays_lib.Examples:
  """The first test images of each class, as the evaluation degrades them."""
  split = run.dataset.test
  classes = np.unique(split.labels)[:_MOST_CLASSES]
  chosen = np.concatenate(
    [np.flatnonzero(split.labels == label)[:_PER_CLASS] for label in classes]
  )
  noise_variances = run.config.eval.noise_variances
  high_res = np.asarray(steps.to_float(jnp.asarray(split.images[chosen])))
  clean = phase.degrade(jnp.asarray(high_res))
  noise_key = rng.stream(run.config.eval.noise_seed, "noise")
  draw = noise.draw(
    rng.per_image(noise_key, jnp.asarray(chosen, jnp.int32)), clean.shape[1:]
  )
  low_res = [
    noise.apply(clean, draw, jnp.float32(variance))
    for variance in noise_variances
  ]
  return arrays_lib.Examples(
    positions=chosen.astype(np.int64),
    labels=split.labels[chosen].astype(np.int64),
    noise_variances=np.asarray(noise_variances, np.float64),
    high_res=high_res,
    low_res=np.stack(low_res),
  )


def write(
  run: run_lib.Run,
  phase: phase_lib.Phase,
  apply: steps.Apply,
  variables: Any,
  *,
  method: str,
  members: Sequence[Mapping[str, Any]],
) -> None:
  """Runs a method on the example images, at every noise variance.

  Args:
    run: the run, whose folder keeps what comes out.
    phase: whose degradation the images undergo.
    apply: the method, as `steps.eval_program` takes it.
    variables: with a member axis.
    method: as in rows.
    members: the fields seed, l2, loss_weight and step of each member's rows.
  """
  images = _inputs(run, phase)
  # Member by member, because so few images take no longer than that, and the
  # program of one compiles several times as fast as that of all.
  over_levels = jax.jit(jax.vmap(apply, in_axes=(None, 0, 0)))
  noise_variances = jnp.asarray(images.noise_variances, jnp.float32)
  of_members = [
    over_levels(
      population.take(variables, member), images.low_res, noise_variances
    )
    for member in range(len(members))
  ]
  outputs = {
    name: np.stack([of_member[name] for of_member in of_members])
    for name in of_members[0]
  }
  logits = outputs.get("logits")
  arrays_lib.write_examples(
    run.folder.path,
    method=method,
    members=members,
    examples=images,
    super_res=outputs["super_res"],
    predicted=None if logits is None else logits.argmax(axis=-1),
  )


def picture(run: run_lib.Run, phase: phase_lib.Phase) -> figures.Examples:
  """The first images, one of a class, by a phase's method and those before it.

  Shows the first member, and a method only where it was run on the same inputs.
  """
  own = arrays_lib.read(arrays_lib.examples_path(run.folder.path, phase.method))
  assert own is not None, "write comes before picture"
  columns = {}
  for method in names.UNTRAINED:
    found = _of_member(run.folder.path, method, seed=None, like=own)
    if found is not None:
      columns[method] = found
  if phase.name == "joint":
    columns |= _baseline(run, like=own)
  columns[phase.method] = own["super_res"][0]

  _, firsts = np.unique(own["labels"], return_index=True)
  firsts = firsts[np.argsort(own["positions"][firsts])][:_NUM_SHOWN]
  levels = _levels_shown(own["noise_variances"])
  shown = np.ix_(levels, firsts)
  predictions = {}
  if "predicted" in own:
    predictions[phase.method] = own["predicted"][0][shown]
  return figures.Examples(
    high_res=own["high_res"][firsts],
    labels=own["labels"][firsts],
    noise_variances=own["noise_variances"][levels],
    low_res=own["low_res"][shown],
    columns={method: images[shown] for method, images in columns.items()},
    predictions=predictions,
    class_names=run.dataset.class_names,
  )


def _baseline(
  run: run_lib.Run, *, like: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """What the first member started from, of this run or of `init_from`."""
  config = run.config
  if config.init_from:
    folder = pathlib.Path(config.init_from)
  elif "pretrain" in derived.phases(config):
    folder = run.folder.path
  else:
    return {}
  found = _of_member(
    folder,
    config.model.trunk,
    seed=int(like["members_seed"][0]),
    l2=float(like["members_l2"][0]),
    like=like,
  )
  if found is None:
    messages.say(
      f"no {config.model.trunk} in the picture: {folder} has no examples of "
      "the same inputs"
    )
    return {}
  return {config.model.trunk: found}


def _of_member(
  folder: pathlib.Path,
  method: str,
  *,
  seed: int | None,
  like: Mapping[str, np.ndarray],
  l2: float | None = None,
) -> np.ndarray | None:
  """A member's images [V, B, H, W, C] if they are of the same inputs.

  Its L2 is the only one in the file if there is but one, as in
  `Population.origins`.
  """
  path = arrays_lib.examples_path(folder, method)
  try:
    arrays = arrays_lib.read(path)
    if arrays is None:
      return None
    l2s = np.unique(arrays["members_l2"])
    place = arrays_lib.place_of(
      arrays,
      seed=seed,
      l2=l2 if len(l2s) > 1 else float(l2s[0]),
      loss_weight=None,
    )
    low_res, super_res = arrays["low_res"], arrays["super_res"]
  except (errors.UserError, KeyError):
    messages.say(f"left out of the picture: {path} cannot be used")
    return None
  if place is None or low_res.shape != like["low_res"].shape:
    return None
  # Another machine may have rounded otherwise.
  if not np.allclose(low_res, like["low_res"], atol=1e-4):
    return None
  return super_res[place]


def _levels_shown(noise_variances: np.ndarray) -> np.ndarray:
  """Indices of a few variances, from the lowest to the highest."""
  order = np.argsort(noise_variances)
  num_levels = min(_NUM_LEVELS_SHOWN, len(order))
  places = np.linspace(0, len(order) - 1, num_levels).round().astype(int)
  return order[places]
