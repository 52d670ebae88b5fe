"""Evaluation: every metric at every noise variance and corruption, as rows."""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from sr2_jax import errors, messages, parallel
from sr2_jax.config import derived
from sr2_jax.data import dataset as dataset_lib
from sr2_jax.evaluation import examples
from sr2_jax.models import bicubic, sr2
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import metrics_log
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import figures
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import run as run_lib
from sr2_jax.training import steps

# Batches that the host may be ahead of the devices.
_BATCHES_AHEAD = 2

# Starts the evaluation of a batch; a Program takes the variables, where there
# are any to choose, before it and the noise variances after it.
Dispatch = Callable[[steps.EvalBatch], Any]
Program = Callable[..., Any]
# Waits for what these return: NumPy arrays.
Fetch = Callable[[Any], Mapping[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Scores:
  """What the images of a split score.

  Attributes:
    values: means over the images, {metric: float64 [M, V]}, for members and
      noise variances.
    per_image: {metric: float32 [M, V, N]}, in the order of the split; accuracy
      is 0 or 1, and f1 has no part in it.
    n: number of images.
  """

  values: dict[str, np.ndarray]
  per_image: dict[str, np.ndarray]
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
  dispatch: Dispatch,
  fetch: Fetch,
  batches_of_split: Iterator[steps.EvalBatch],
  *,
  num_classes: int,
) -> Scores:
  """Scores of all images, and their means in float64.

  The host dispatches a few batches before it waits for the first one's scores.

  Args:
    dispatch: starts the evaluation of a batch, as of `steps.eval_program`.
    fetch: waits for what that returned.
    batches_of_split: every image of the split once, under its batch's mask.
    num_classes: of the labels.
  """
  pending: collections.deque[tuple[np.ndarray, Any]] = collections.deque()
  fetched: list[dict[str, np.ndarray]] = []
  labels: list[np.ndarray] = []

  def settle(batches_ahead: int) -> None:
    while len(pending) > batches_ahead:
      is_image, outputs = pending.popleft()
      scores = fetch(outputs)
      fetched.append({name: x[..., is_image] for name, x in scores.items()})

  for batch in batches_of_split:
    is_image = batch.mask > 0
    labels.append(batch.labels[is_image])
    pending.append((is_image, dispatch(batch)))
    settle(_BATCHES_AHEAD)
  settle(0)

  true = np.concatenate(labels)
  per_image = {
    name: np.concatenate([scores[name] for scores in fetched], axis=-1)
    for name in fetched[0]
  }
  predicted = per_image.pop("predicted", None)
  if predicted is not None:
    per_image["accuracy"] = (predicted == true).astype(np.float32)
  values = {
    name: scores.mean(axis=-1, dtype=np.float64)
    for name, scores in per_image.items()
  }
  if predicted is not None:
    values["f1"] = weighted_f1(confusion(true, predicted, num_classes))
  return Scores(values, per_image, len(true))


def confusion(
  true: np.ndarray, predicted: np.ndarray, num_classes: int
) -> np.ndarray:
  """Counts [..., true class, predicted class] of int [N] and [..., N]."""
  cells = true * num_classes + predicted
  counts = [
    np.bincount(row, minlength=num_classes**2)
    for row in cells.reshape(-1, len(true))
  ]
  return np.reshape(counts, (*cells.shape[:-1], num_classes, num_classes))


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
  levels: Sequence[dict[str, Any]],
  members: Sequence[dict[str, Any]],
  fields: dict[str, Any],
) -> list[rows_lib.Row]:
  """One row for each member, level and metric.

  Args:
    scores: of [M, V] members and levels.
    levels: the fields of each level: noise_variance, and corruption and
      corruption_level where there is one.
    members: the fields of each member: seed, l2, loss_weight and step.
    fields: the other fields of the rows.
  """
  return [
    rows_lib.Row(
      **fields,
      **member,
      **level,
      metric=metric,
      value=values[index, place],
      n=scores.n,
    )
    for index, member in enumerate(members)
    for place, level in enumerate(levels)
    for metric, values in scores.values.items()
  ]


def validation(
  run: run_lib.Run, phase: phase_lib.Phase
) -> Callable[[steps.TrainState], dict[str, np.ndarray]]:
  """Measures a state on noise-free validation images: {metric: [M]}.

  `loss` is equation 1 with BatchNorm's running statistics, to be compared with
  the training rows, where BatchNorm has the batch's. Nothing is clipped.
  """
  program = _eval_program(run, phase, clip=False)
  loss_weights = phase.population.arrays().loss_weight.astype(np.float64)

  def validate(state: steps.TrainState) -> dict[str, np.ndarray]:
    variables = variables_of(state)
    scores = evaluate(
      lambda batch: program(variables, batch, (0.0,)),
      run.layout.fetch_members,
      _batches(run, "validation"),
      num_classes=run.dataset.num_classes,
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
  metric_writer: metrics_log.Writer | None = None,
) -> list[rows_lib.Row]:
  """Evaluates weights on every split, noise variance and corruption.

  Leaves rows, the scores of each image, example images and a picture.

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
  members = [
    {**phase.population.fields(member), "step": step}
    for member, step in enumerate(steps_done)
  ]

  def program_of(corrupt: steps.Corrupt | None) -> Program:
    clip = run.config.eval.clip
    program = _eval_program(run, phase, clip=clip, corrupt=corrupt)
    return functools.partial(program, on_devices)

  new_rows = _evaluate_splits(
    run,
    program_of,
    run.layout.fetch_members,
    members=members,
    method=phase.method,
    phase=phase.name,
    shared_layers=run.config.model.shared_layers,
  )
  stop_if_asked(run)
  if parallel.is_main_process():
    examples.write(
      run,
      phase,
      steps.inference(phase.model, phase.describe),
      variables,
      method=phase.method,
      members=members,
    )
    name = f"{phase.name}_examples"
    picture = figures.example_grid(
      examples.picture(run, phase), run.folder.images / f"{name}.png"
    )
    if metric_writer is not None:
      metric_writer.image(phase.name, name, picture, phase.num_steps)
      metric_writer.sync()
  return new_rows


def evaluate_bicubic(
  run: run_lib.Run, phase: phase_lib.Phase
) -> list[rows_lib.Row]:
  """The same, without a picture, for bicubic interpolation."""
  return _evaluate_untrained(
    run, phase, _bicubic(phase), _NO_VARIABLES, method="bicubic"
  )


def evaluate_srmd(
  run: run_lib.Run, phase: phase_lib.Phase
) -> list[rows_lib.Row]:
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
) -> list[rows_lib.Row]:
  """Evaluates what this run does not train, as a population of one."""
  members = [{"seed": None, "l2": None, "loss_weight": None, "step": 0}]
  new_rows = _evaluate_splits(
    run,
    functools.partial(_untrained_program, run, phase, apply, variables),
    jax.device_get,
    members=members,
    method=method,
    phase="none",
    shared_layers=None,
  )
  if parallel.is_main_process():
    examples.write(run, phase, apply, variables, method=method, members=members)
  return new_rows


def _evaluate_splits(
  run: run_lib.Run,
  program_of: Callable[[steps.Corrupt | None], Program],
  fetch: Fetch,
  *,
  members: Sequence[dict[str, Any]],
  method: str,
  **fields: Any,
) -> list[rows_lib.Row]:
  """Evaluates one method; puts its rows and its images' scores on disk.

  Args:
    run: the run.
    program_of: the program of Gaussian noise, or that of corruptions.
    fetch: waits for what these return.
    members: the fields seed, l2, loss_weight and step of each member's rows.
    method: as in rows.
    **fields: the other fields of rows that are the method's own.
  """
  config = run.config
  # Two programs, and not one of all levels, for the memory that they take.
  sweeps = {"": (_noise_levels(config), program_of(None))}
  if levels := _corruption_levels(config):
    height, width = run.dataset.test.images.shape[1:3]
    corrupt = phase_lib.corruptions_of(config, height, width)
    sweeps[" under corruptions"] = (levels, program_of(corrupt))
  new_rows: list[rows_lib.Row] = []
  for split in config.eval.splits:
    for name, (levels, program) in sweeps.items():
      messages.say(f"evaluating {method} on {split}{name}")
      noise_variances = [level["noise_variance"] for level in levels]
      scores = evaluate(
        functools.partial(program, noise_variances=noise_variances),
        fetch,
        _stoppable(run, _batches(run, split)),
        num_classes=run.dataset.num_classes,
      )
      if not name and parallel.is_main_process():
        arrays_lib.write_per_image(
          run.folder.path,
          method=method,
          split=split,
          members=members,
          noise_variances=noise_variances,
          scores=scores.per_image,
        )
      new_rows += rows(
        scores,
        levels=levels,
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
    rows_lib.merge(run.folder.path, new_rows)
  return new_rows


def _noise_levels(config: Any) -> list[dict[str, Any]]:
  """The fields of rows at each noise variance."""
  return [{"noise_variance": value} for value in config.eval.noise_variances]


def _corruption_levels(config: Any) -> list[dict[str, Any]]:
  """The fields of rows at each level of each corruption."""
  return [
    {"noise_variance": 0.0, "corruption": corruption, "corruption_level": level}
    for corruption, level in derived.corruption_levels(config)
  ]


def variables_of(state: steps.TrainState) -> dict[str, Any]:
  """What a model is applied with."""
  return {"params": state.params, "batch_stats": state.batch_stats}


def _eval_program(
  run: run_lib.Run,
  phase: phase_lib.Phase,
  *,
  clip: bool,
  corrupt: steps.Corrupt | None = None,
) -> Program:
  """Evaluates a population, whose variables are on the devices, on a batch."""
  layout = run.layout
  program = layout.map(
    steps.eval_program(
      apply=steps.inference(phase.model, phase.describe),
      clip=clip,
      num_shards=layout.num_shards,
      axis_name=layout.axis_name,
      corrupt=corrupt,
      **_eval_settings(run, phase),
    )
  )

  def dispatch(
    variables: Any, batch: steps.EvalBatch, noise_variances: Sequence[float]
  ) -> Any:
    shared = layout.put_shared((batch, np.asarray(noise_variances, np.float32)))
    return program(variables, (), shared)

  return dispatch


# What stands for the variables of the one member of a method without any.
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
  run: run_lib.Run,
  phase: phase_lib.Phase,
  apply: steps.Apply,
  variables: Any,
  corrupt: steps.Corrupt | None,
) -> Program:
  """The same for what this run does not train: on one device, with M = 1."""
  program = jax.jit(
    steps.eval_program(
      apply=apply,
      clip=run.config.eval.clip,
      num_shards=1,
      axis_name=None,
      corrupt=corrupt,
      **_eval_settings(run, phase),
    )
  )

  def dispatch(batch: steps.EvalBatch, noise_variances: Sequence[float]) -> Any:
    variances = np.asarray(noise_variances, np.float32)
    return program(variables, (), (batch, variances), np.int32(0))

  return dispatch


def _eval_settings(run: run_lib.Run, phase: phase_lib.Phase) -> dict[str, Any]:
  config = run.config
  return {
    "degrade": phase.degrade,
    "sr_loss": config.loss.super_resolution,
    "noise_seed": config.eval.noise_seed,
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
