"""Rows, scores of each image and examples of a method on a run's images."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from sr2_jax import errors, messages, parallel
from sr2_jax.config import derived
from sr2_jax.evaluation import batch_norm, methods, program
from sr2_jax.evaluation import examples as examples_lib
from sr2_jax.evaluation import scores as scores_lib
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.training import footprint, inputs, steps
from sr2_jax.training import network as network_lib
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import run as run_lib

# Enough for the loss, and a few percent of an epoch's work.
_VALIDATION_BATCHES = 10


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Results of evaluating one method.

  Attributes:
    method: the method, with the weights that were evaluated.
    rows: one for each member, split, condition and metric.
    per_image: scores of each image under Gaussian noise, by split; {} if only
      rows were asked for.
    examples: a few test images; None on all processes but the main one, and if
      only rows were asked for.
  """

  method: methods.Method
  rows: list[rows_lib.Row]
  per_image: dict[str, arrays_lib.PerImage]
  examples: arrays_lib.Examples | None


@dataclasses.dataclass(frozen=True)
class _Group:
  """Conditions that one program evaluates; `corrupt` makes their inputs."""

  title: str
  conditions: list[rows_lib.Condition]
  corrupt: inputs.Corrupt | None = None

  @property
  def field(self) -> str:
    """What sets the conditions."""
    return "eval.corruptions" if self.corrupt else "eval.noise_variances"

  @property
  def noise_variances(self) -> np.ndarray:
    return np.array([x.noise_variance for x in self.conditions], np.float64)


@dataclasses.dataclass(frozen=True)
class Program:
  """Evaluates a network under a group of conditions.

  Attributes:
    group: the conditions.
    start_with: maps weights, as from `placed`, to a function that starts a
      batch; compiled at first use.
  """

  group: _Group
  start_with: Callable[[Any], scores_lib.Start]


def programs(
  run: run_lib.Run, apply: network_lib.Apply, layout: parallel.Layout | None
) -> list[Program]:
  """Programs that evaluate a network, for any number of evaluations."""
  return [
    Program(group, _starter(run, apply, group, layout))
    for group in _groups(run)
  ]


def placed(layout: parallel.Layout | None, variables: Any) -> Any:
  """Weights where `Program.start_with` takes them; NumPy arrays [M, ...]."""
  if layout is None:
    return variables
  return layout.each(layout.put_members(variables), ())


def evaluate(
  run: run_lib.Run,
  method: methods.Method,
  compiled: Sequence[Program] | None = None,
  *,
  only_rows: bool = False,
  stoppable: bool = True,
) -> Evaluation:
  """Evaluation of a method on every split, noise variance and corruption.

  Args:
    run: configuration, images and devices.
    method: what to evaluate.
    compiled: the `programs` of the method's network; None: its own.
    only_rows: leave out scores of single images, and examples.
    stoppable: obey a signal between two batches.

  Raises:
    Stopped: if it obeys a signal.
  """
  if compiled is None:
    compiled = programs(run, method.apply, method.layout)
  weights = placed(method.layout, method.variables)
  starts = [(x.group, x.start_with(weights)) for x in compiled]
  rows: list[rows_lib.Row] = []
  per_image = {}
  for split in run.config.eval.splits:
    for group, start in starts:
      messages.say(f"evaluating {_named(method)} on {split}{group.title}")
      of_split = batches(run, split)
      scores = scores_lib.measure(
        start,
        jax.device_get if method.layout is None else method.layout.fetch_each,
        _stoppable(run, of_split) if stoppable else of_split,
        num_classes=run.dataset.num_classes,
      )
      rows += _rows(run, method, scores, split=split, group=group)
      if group.corrupt is None and not only_rows:
        per_image[split] = arrays_lib.PerImage(
          members=method.members,
          steps=method.steps,
          batch_norm=method.batch_norm,
          noise_variances=group.noise_variances,
          scores={
            name: value[np.array(method.places)]
            for name, value in scores.per_image.items()
          },
          labels=scores.labels,
          predicted=None
          if scores.predicted is None
          else scores.predicted[np.array(method.places)],
        )
  examples = None
  if parallel.is_main_process() and not only_rows:
    examples = examples_lib.of_method(run, method)
  return Evaluation(method, rows, per_image, examples)


def _named(method: methods.Method) -> str:
  """A method in messages."""
  running = method.batch_norm == "running"
  return method.name.key + running * " with running statistics"


def _groups(run: run_lib.Run) -> list[_Group]:
  """Gaussian noise and, if the config has any, corruptions.

  They are two programs because memory grows with a program's conditions.
  """
  config = run.config
  groups = [_Group("", [*map(rows_lib.Condition, config.eval.noise_variances)])]
  levels = derived.corruption_levels(config)
  if levels:
    conditions = [rows_lib.Condition(0.0, *level) for level in levels]
    corrupt = inputs.corruptions_of(config, *run.image_shape[:2])
    groups.append(_Group(" under corruptions", conditions, corrupt))
  return groups


def _starter(
  run: run_lib.Run,
  apply: network_lib.Apply,
  group: _Group,
  layout: parallel.Layout | None,
) -> Callable[[Any], scores_lib.Start]:
  """Function from weights to one that starts the evaluation of a batch."""
  settings = _settings(run, apply, corrupt=group.corrupt, layout=layout)
  levels = group.noise_variances.astype(np.float32)
  if layout is None:
    compiled = jax.jit(program.create(settings))
    return lambda variables: (
      lambda batch: compiled(variables, (), (batch, levels), np.int32(0))
    )
  check = footprint.evaluation_check(
    run, "evaluating", group.field, len(levels)
  )
  mapped = layout.map_each(program.create(settings), check=check)
  return lambda weights: (
    lambda batch: mapped(weights, layout.put_shared((batch, levels)))
  )


def _settings(
  run: run_lib.Run,
  apply: Any,
  *,
  layout: parallel.Layout | None,
  clip: bool | None = None,
  corrupt: inputs.Corrupt | None = None,
) -> program.Settings:
  config = run.config
  return program.Settings(
    apply=apply,
    degrade=inputs.degradation_of(config, *run.image_shape[:2]),
    sr_loss=config.loss.super_resolution,
    clip=config.eval.clip if clip is None else clip,
    noise_seed=config.eval.noise_seed,
    num_shards=1 if layout is None else layout.num_shards,
    axis_name=None if layout is None else layout.axis_name,
    corrupt=corrupt,
    class_weights=run.class_weights,
    pair_scale=derived.pair_scale(config),
  )


def _rows(
  run: run_lib.Run,
  method: methods.Method,
  scores: scores_lib.Scores,
  *,
  split: str,
  group: _Group,
) -> list[rows_lib.Row]:
  """One row for each member, condition and metric."""
  return [
    rows_lib.Row(
      experiment=run.config.experiment,
      method=method.name.key,
      dataset=run.dataset.name,
      split=split,
      scale=run.config.degradation.scale,
      shared_layers=method.shared_layers,
      **dataclasses.asdict(member),
      phase=method.phase,
      step=step,
      epochs=epochs,
      pretrain_epochs=method.pretrain_epochs,
      batch_norm=method.batch_norm,
      noise_variance=condition.noise_variance,
      corruption=condition.corruption,
      corruption_level=condition.level,
      metric=metric,
      value=values[place, level],
      n=scores.n,
      class_accuracy=None
      if metric != "balanced_accuracy" or scores.class_accuracy is None
      else tuple(scores.class_accuracy[place, level]),
    )
    for place, member, step, epochs in zip(
      method.places, method.members, method.steps, method.epochs, strict=True
    )
    for level, condition in enumerate(group.conditions)
    for metric, values in scores.values.items()
  ]


def validation(
  run: run_lib.Run,
  phase: phase_lib.Phase,
  estimator: batch_norm.Estimator,
) -> Callable[[steps.TrainState], dict[str, np.ndarray]]:
  """Function from a state on the devices to validation metrics {name: [M]}.

  Outputs are not clipped. Metrics are without noise; those of
  `arrays.PER_IMAGE` also at the other levels of
  `eval.validation_noise_variances`, as "ssim_noise_0.001". `loss` is equation 1
  with the preferred statistics of BatchNorm, whereas training has it with those
  of the batch.

  Args:
    run: configuration, images and devices.
    phase: what trains the state.
    estimator: of BatchNorm's statistics.
  """
  layout, config = run.layout.of(phase.population.size), run.config
  reestimates = derived.preferred_batch_norm(config) == "reestimated"
  settings = _settings(run, phase.network.apply, clip=False, layout=layout)
  field = "eval.validation_noise_variances"
  levels = config.eval.validation_noise_variances
  of_levels = np.asarray(levels, np.float32)
  check = footprint.evaluation_check(run, "validating", field, len(levels))
  mapped = layout.map_each(program.create(settings), check=check)
  loss_weights = phase.population.arrays().loss_weight.astype(np.float64)

  def validate(state: steps.TrainState) -> dict[str, np.ndarray]:
    variables = state.variables
    if reestimates and state.batch_stats:
      statistics = estimator(
        variables,
        num_batches=min(_VALIDATION_BATCHES, config.eval.batch_norm_batches),
      )
      variables["batch_stats"] = layout.put_members(statistics)
    weights = layout.each(variables, ())
    scores = scores_lib.measure(
      lambda batch: mapped(weights, layout.put_shared((batch, of_levels))),
      layout.fetch_each,
      batches(run, "validation"),
      num_classes=run.dataset.num_classes,
    )
    clean = levels.index(0.0)
    values = {name: value[:, clean] for name, value in scores.values.items()}
    noisy = {
      f"{name}_noise_{variance:g}": scores.values[name][:, level]
      for level, variance in enumerate(levels)
      for name in arrays_lib.PER_IMAGE
      if level != clean and name in values
    }
    loss = values["loss_sr"]
    if "loss_classifier" in values:
      loss = loss + loss_weights * values["loss_classifier"]
      if config.loss.normalize_weights:
        loss = loss / (1 + loss_weights)
    return {"loss": loss, **values, **noisy}

  return validate


def batches(run: run_lib.Run, split: str) -> Iterator[program.EvalBatch]:
  """Batches of a split, as all networks of a run are evaluated on it."""
  return scores_lib.batches(
    getattr(run.dataset, split),
    batch_size=run.layout.whole_shards(run.config.eval.batch_size),
    max_images=run.config.eval.max_images,
  )


def _stoppable(
  run: run_lib.Run, of_split: Iterator[program.EvalBatch]
) -> Iterator[program.EvalBatch]:
  """The batches; raises Stopped between two of them after a signal."""
  for batch in of_split:
    stop_if_asked(run)
    yield batch


def stop_if_asked(run: run_lib.Run) -> None:
  """Raises Stopped after a signal; an evaluation has no state to save."""
  signal_number = run.stop.received()
  if signal_number is not None:
    raise errors.Stopped(
      signal_number,
      "stopped while evaluating; run the same command to evaluate again.",
    )
