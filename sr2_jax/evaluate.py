"""Evaluation: every metric at every noise variance, as result rows."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr2_jax import config as config_lib
from sr2_jax import (
  errors,
  figures,
  parallel,
  population,
  results,
  rng,
  steps,
  tables,
  writer,
)
from sr2_jax import phase as phase_lib
from sr2_jax import run as run_lib
from sr2_jax.data import dataset as dataset_lib
from sr2_jax.imaging import noise
from sr2_jax.models import bicubic, sr2

# Test images and noise levels in the example pictures.
_NUM_EXAMPLES = 6
_NUM_EXAMPLE_LEVELS = 3


@dataclasses.dataclass(frozen=True)
class Scores:
  """Means over the images of a split.

  Attributes:
    values: {metric: float64 [M, V]} for members and noise variances.
    n: number of images.
  """

  values: dict[str, np.ndarray]
  n: int


def batches(
  split: dataset_lib.Split, *, batch_size: int, max_images: int = 0
) -> Iterator[steps.EvalBatch]:
  """A split in batches of one size; the last is filled up under the mask.

  Args:
    split: the images and labels.
    batch_size: images in a batch.
    max_images: stop after so many; 0 takes all.
  """
  num_images = min(len(split.images), max_images or len(split.images))
  for first in range(0, num_images, batch_size):
    positions = np.arange(first, first + batch_size, dtype=np.int32)
    mask = (positions < num_images).astype(np.float32)
    positions = np.minimum(positions, num_images - 1)
    yield steps.EvalBatch(
      images=split.images[positions],
      labels=split.labels[positions],
      positions=positions,
      mask=mask,
    )


def evaluate(
  sums_of_batch: Callable[[steps.EvalBatch], dict[str, np.ndarray]],
  batches_of_split: Iterator[steps.EvalBatch],
) -> Scores:
  """Sums over all batches, divided once at the end, in float64.

  Args:
    sums_of_batch: an evaluation program on one batch, sums as NumPy arrays.
    batches_of_split: every image of the split once, under its batch's mask.
  """
  totals: dict[str, np.ndarray] = {}
  n = 0
  for batch in batches_of_split:
    n += int(batch.mask.sum())
    for name, value in sums_of_batch(batch).items():
      totals[name] = totals.get(name, 0.0) + value.astype(np.float64)
  confusion = totals.pop("confusion", None)
  values = {name: total / n for name, total in totals.items()}
  if confusion is not None:
    values["accuracy"] = np.trace(confusion, axis1=-2, axis2=-1) / n
    values["f1"] = weighted_f1(confusion)
  return Scores(values, n)


def weighted_f1(confusion: np.ndarray) -> np.ndarray:
  """Mean F1 of the classes, weighted by their images (the authors' choice).

  Args:
    confusion: counts [..., true class, predicted class].

  Returns:
    [...]; a class that is neither present nor predicted counts nothing.
  """
  hits = np.diagonal(confusion, axis1=-2, axis2=-1)
  present, predicted = confusion.sum(-1), confusion.sum(-2)
  f1 = 2 * hits / np.maximum(present + predicted, 1)
  return (f1 * present).sum(-1) / present.sum(-1)


def rows(
  scores: Scores,
  *,
  noise_variances: Sequence[float],
  members: Sequence[dict[str, Any]],
  fields: dict[str, Any],
) -> list[results.Row]:
  """One row for each member, noise variance and metric.

  Args:
    scores: of [M, V] members and variances.
    noise_variances: as in the config.
    members: the fields of each member: seed, loss_weight and step.
    fields: the other fields of the rows.
  """
  return [
    results.Row(
      **fields,
      **member,
      noise_variance=variance,
      metric=metric,
      value=values[index, level],
      n=scores.n,
    )
    for index, member in enumerate(members)
    for level, variance in enumerate(noise_variances)
    for metric, values in scores.values.items()
  ]


def validation(
  run: run_lib.Run, phase: phase_lib.Phase
) -> Callable[[steps.TrainState], dict[str, np.ndarray]]:
  """Measures a state on noise-free validation images: {metric: [M]}.

  `loss` is equation 1 with BatchNorm's running statistics, to be compared with
  the training rows, where BatchNorm has the batch's. Nothing is clipped.
  """
  sums_of_batch = _eval_program(run, phase, clip=False)
  loss_weights = phase.population.arrays().loss_weight.astype(np.float64)

  def validate(state: steps.TrainState) -> dict[str, np.ndarray]:
    scores = evaluate(
      lambda batch: sums_of_batch(variables_of(state), batch, (0.0,)),
      _batches(run, "validation"),
    )
    values = {name: value[:, 0] for name, value in scores.values.items()}
    loss = values["loss_sr"]
    if "loss_classifier" in values:
      loss = loss + loss_weights * values["loss_classifier"]
      if run.config.loss.normalize_weights:
        loss = loss / (1 + loss_weights)
    return {"loss": loss, **values}

  return validate


def evaluate_phase(
  run: run_lib.Run,
  phase: phase_lib.Phase,
  variables: Any,
  *,
  steps_done: Sequence[int],
  metric_writer: writer.Writer | None = None,
) -> list[results.Row]:
  """Evaluates weights on every split and noise variance: rows and a picture.

  Args:
    run: the run; its results.jsonl gets the rows.
    phase: the phase that they come from.
    variables: NumPy arrays with a member axis.
    steps_done: training steps of each member.
    metric_writer: shows the picture in TensorBoard.

  Returns:
    The rows.
  """
  on_devices = run.layout.put_members(variables)
  sums_of_batch = _eval_program(run, phase, clip=run.config.eval.clip)
  new_rows = _evaluate_splits(
    run,
    lambda *batch: sums_of_batch(on_devices, *batch),
    members=[
      {**phase.population.fields(member), "step": step}
      for member, step in enumerate(steps_done)
    ],
    method=phase.method,
    phase=phase.name,
    shared_layers=run.config.model.shared_layers,
  )
  stop_if_asked(run)
  if parallel.is_main_process():
    name = f"{phase.name}_examples"
    picture = figures.example_grid(
      examples(run, phase, population.take(variables, 0)),
      run.folder.images / f"{name}.png",
    )
    if metric_writer is not None:
      metric_writer.image(phase.name, name, picture, phase.num_steps)
      metric_writer.sync()
  return new_rows


def evaluate_bicubic(
  run: run_lib.Run, phase: phase_lib.Phase
) -> list[results.Row]:
  """The same for bicubic interpolation, of the phase's inputs."""
  return _evaluate_untrained(
    run, phase, _bicubic(phase), _NO_VARIABLES, method="bicubic"
  )


def evaluate_srmd(
  run: run_lib.Run, phase: phase_lib.Phase
) -> list[results.Row]:
  """The same for the released SRMD network, if `eval.srmd` names one."""
  if run.released_srmd is None:
    return []
  params = jax.tree.map(lambda x: x[None], run.released_srmd.params)
  return _evaluate_untrained(
    run, phase, _released_srmd(run), {"params": params}, method="srmd"
  )


def _evaluate_untrained(
  run: run_lib.Run,
  phase: phase_lib.Phase,
  apply: steps.Apply,
  variables: Any,
  *,
  method: str,
) -> list[results.Row]:
  """Evaluates what this run does not train, as a population of one."""
  return _evaluate_splits(
    run,
    _untrained_program(run, phase, apply, variables),
    members=[{"seed": None, "loss_weight": None, "step": 0}],
    method=method,
    phase="none",
    shared_layers=None,
  )


def _evaluate_splits(
  run: run_lib.Run,
  sums_of_batch: Callable[
    [steps.EvalBatch, Sequence[float]], dict[str, np.ndarray]
  ],
  *,
  members: Sequence[dict[str, Any]],
  method: str,
  **fields: Any,
) -> list[results.Row]:
  """Evaluates one method and puts its rows into results.jsonl."""
  config = run.config
  noise_variances = config.eval.noise_variances
  new_rows: list[results.Row] = []
  for split in config.eval.splits:
    run_lib.say(f"evaluating {method} on {split}")
    scores = evaluate(
      lambda batch: sums_of_batch(batch, noise_variances),
      _stoppable(run, _batches(run, split)),
    )
    new_rows += rows(
      scores,
      noise_variances=noise_variances,
      members=members,
      fields={
        **fields,
        "method": method,
        "experiment": config.experiment,
        "dataset": run.dataset.name,
        "split": split,
        "scale": config.degradation.scale,
      },
    )
  if parallel.is_main_process():
    results.merge(run.folder.path, new_rows)
  return new_rows


def examples(
  run: run_lib.Run, phase: phase_lib.Phase, variables: Any
) -> figures.Examples:
  """The first test images of different classes, by every method that there is.

  Args:
    run: the run.
    phase: the phase that the weights come from.
    variables: of one member.
  """
  split = run.dataset.test
  _, firsts = np.unique(split.labels, return_index=True)
  chosen = np.sort(firsts)[:_NUM_EXAMPLES]
  levels = _example_levels(run.config.eval.noise_variances)
  high_res = np.asarray(steps.to_float(jnp.asarray(split.images[chosen])))
  clean = phase.degrade(jnp.asarray(high_res))
  noise_key = rng.stream(run.config.eval.noise_seed, "noise")
  draw = noise.draw(
    rng.per_image(noise_key, jnp.asarray(chosen, jnp.int32)), clean.shape[1:]
  )
  low_res = jnp.stack(
    [noise.apply(clean, draw, jnp.float32(v)) for v in levels]
  )

  upsample = jax.vmap(lambda x: bicubic.upsample(x, phase.model.scale))
  columns = {"bicubic": upsample(low_res)}
  if run.released_srmd is not None:
    apply = functools.partial(
      _released_srmd(run), {"params": run.released_srmd.params}
    )
    outputs = jax.jit(jax.vmap(apply))(low_res, jnp.float32(levels))
    columns["srmd"] = outputs["super_res"]

  def of_levels(model: sr2.SR2, variables: Any) -> Mapping[str, jax.Array]:
    apply = steps.inference(model, phase.describe)
    apply = functools.partial(apply, variables)
    return jax.jit(jax.vmap(apply))(low_res, jnp.float32(levels))

  predictions = {}
  if phase.name == "joint":
    baseline = baseline_variables(run)
    if baseline is not None:
      model = phase.model.clone(wiring="none")
      outputs = of_levels(model, baseline)
      columns[run.config.model.trunk] = outputs["super_res"]
  outputs = of_levels(phase.model, variables)
  columns[phase.method] = outputs["super_res"]
  if "logits" in outputs:
    predictions[phase.method] = np.argmax(outputs["logits"], axis=-1)
  return figures.Examples(
    high_res=high_res,
    labels=split.labels[chosen],
    noise_variances=np.asarray(levels),
    low_res=np.asarray(low_res),
    columns={name: np.asarray(value) for name, value in columns.items()},
    predictions=predictions,
    class_names=run.dataset.class_names,
  )


def _example_levels(noise_variances: Sequence[float]) -> tuple[float, ...]:
  """A few of the variances, evenly spread from the lowest to the highest."""
  ordered = sorted(noise_variances)
  num_levels = min(_NUM_EXAMPLE_LEVELS, len(ordered))
  places = np.linspace(0, len(ordered) - 1, num_levels).round().astype(int)
  return tuple(ordered[place] for place in places)


def baseline_variables(run: run_lib.Run) -> Any:
  """The first member's weights after pretrain, or None where there are none."""
  if not run.config.init_from and "pretrain" not in config_lib.phases(
    run.config
  ):
    return None
  try:
    state = run_lib.pretrained_state(run)
  except errors.UserError as error:
    run_lib.say(f"no {run.config.model.trunk} in the pictures: {error}")
    return None
  return population.take(variables_of(state), 0)


def variables_of(state: steps.TrainState) -> dict[str, Any]:
  """What a model is applied with."""
  return {"params": state.params, "batch_stats": state.batch_stats}


def pretraining_rows(run: run_lib.Run) -> list[results.Row]:
  """The rows of the pretraining in another run that this one started from."""
  source = pathlib.Path(run.config.init_from) / results.FILE_NAME
  if not run.config.init_from or not source.exists():
    return []
  seeds = range(run.config.seed, run.config.seed + run.config.num_seeds)
  return [
    row
    for row in results.read(source)
    if row.phase == "pretrain" and row.seed in seeds
  ]


def report(run: run_lib.Run, rows_of_run: Sequence[results.Row]) -> None:
  """Draws SSIM and accuracy over the noise variances, and prints them.

  Args:
    run: the run.
    rows_of_run: those of one checkpoint of each phase.
  """
  shown = [*pretraining_rows(run), *rows_of_run]
  for split in run.config.eval.splits:
    path = run.folder.images / f"curves_{split}.png"
    figures.curves(shown, path, split=split)
  for metric in ("ssim", "accuracy"):
    split = run.config.eval.splits[-1]
    table = tables.table(shown, metric=metric, split=split)
    if table:
      print(table + "\n")
  print(f"Rows, pictures and checkpoints are in {run.folder.path}.")


def _eval_program(
  run: run_lib.Run, phase: phase_lib.Phase, *, clip: bool
) -> Callable[[Any, steps.EvalBatch, Sequence[float]], dict[str, np.ndarray]]:
  """Sums over a batch of a population whose variables are on the devices."""
  layout = run.layout
  program = layout.map(
    steps.eval_program(
      apply=steps.inference(phase.model, phase.describe),
      clip=clip,
      num_shards=layout.num_shards,
      axis_name=layout.axis_name,
      **_eval_settings(run, phase),
    )
  )

  def sums(
    variables: Any, batch: steps.EvalBatch, noise_variances: Sequence[float]
  ) -> dict[str, np.ndarray]:
    shared = layout.put_shared((batch, np.asarray(noise_variances, np.float32)))
    return layout.fetch_members(program(variables, (), shared))

  return sums


# Of bicubic interpolation, with a member axis.
_NO_VARIABLES = np.zeros((1,), np.float32)


def _bicubic(phase: phase_lib.Phase) -> steps.Apply:
  return lambda _variables, low_res, _noise_variance: {
    "super_res": bicubic.upsample(low_res, phase.model.scale)
  }


def _released_srmd(run: run_lib.Run) -> steps.Apply:
  assert run.released_srmd is not None
  model = sr2.SR2(
    trunk="srmd",
    wiring="none",
    scale=run.config.degradation.scale,
    channels=run.dataset.test.images.shape[-1],
  )
  describe = phase_lib.description_of(run.config, basis=run.released_srmd.basis)
  return steps.inference(model, describe)


def _untrained_program(
  run: run_lib.Run, phase: phase_lib.Phase, apply: steps.Apply, variables: Any
) -> Callable[[steps.EvalBatch, Sequence[float]], dict[str, np.ndarray]]:
  """The same for what this run does not train: on one device, with M = 1."""
  program = jax.jit(
    steps.eval_program(
      apply=apply,
      clip=run.config.eval.clip,
      num_shards=1,
      axis_name=None,
      **_eval_settings(run, phase),
    )
  )

  def sums(
    batch: steps.EvalBatch, noise_variances: Sequence[float]
  ) -> dict[str, np.ndarray]:
    variances = np.asarray(noise_variances, np.float32)
    return jax.device_get(
      program(variables, (), (batch, variances), np.int32(0))
    )

  return sums


def _eval_settings(run: run_lib.Run, phase: phase_lib.Phase) -> dict[str, Any]:
  config = run.config
  return {
    "degrade": phase.degrade,
    "sr_loss": config.loss.super_resolution,
    "noise_seed": config.eval.noise_seed,
    "num_classes": run.dataset.num_classes,
  }


def _batches(run: run_lib.Run, split: str) -> Iterator[steps.EvalBatch]:
  return batches(
    getattr(run.dataset, split),
    batch_size=run.config.eval.batch_size,
    max_images=run.config.eval.max_images,
  )


def _stoppable(
  run: run_lib.Run, items: Iterator[steps.EvalBatch]
) -> Iterator[steps.EvalBatch]:
  """Ends the run between two batches where it was asked to stop."""
  for item in items:
    stop_if_asked(run)
    yield item


def stop_if_asked(run: run_lib.Run) -> None:
  """Raises Stopped after a signal; nothing here needs to be saved."""
  signal_number = run.stop.received()
  if signal_number is not None:
    raise errors.Stopped(
      signal_number,
      "stopped while evaluating; the same command evaluates again.",
    )
