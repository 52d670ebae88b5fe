"""Rows, scores of each image and examples of a method on a run's images."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from sr2_jax import errors, messages, parallel
from sr2_jax.config import derived
from sr2_jax.evaluation import examples as examples_lib
from sr2_jax.evaluation import methods, program
from sr2_jax.evaluation import scores as scores_lib
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.training import inputs, steps
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import run as run_lib


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Results of evaluating one method.

  Attributes:
    method: the method, with the weights that were evaluated.
    rows: one for each member, split, condition and metric.
    per_image: scores of each image under Gaussian noise, by split.
    examples: a few test images; None on all processes but the main one.
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
  def noise_variances(self) -> np.ndarray:
    return np.array([x.noise_variance for x in self.conditions], np.float64)


def evaluate(run: run_lib.Run, method: methods.Method) -> Evaluation:
  """Evaluation of a method on every split, noise variance and corruption.

  Raises:
    Stopped: if a signal arrives between two batches.
  """
  config = run.config
  groups = [(group, _starter(run, method, group)) for group in _groups(run)]
  rows: list[rows_lib.Row] = []
  per_image = {}
  for split in config.eval.splits:
    for group, start in groups:
      messages.say(f"evaluating {method.name.key} on {split}{group.title}")
      scores = scores_lib.measure(
        start,
        jax.device_get
        if method.layout is None
        else method.layout.fetch_members,
        _stoppable(run, _batches(run, split)),
        num_classes=run.dataset.num_classes,
      )
      rows += _rows(run, method, scores, split=split, group=group)
      if group.corrupt is None:
        per_image[split] = arrays_lib.PerImage(
          members=method.members,
          steps=method.steps,
          noise_variances=group.noise_variances,
          scores={
            name: value[np.array(method.places)]
            for name, value in scores.per_image.items()
          },
        )
  examples = None
  if parallel.is_main_process():
    examples = examples_lib.of_method(run, method)
  return Evaluation(method, rows, per_image, examples)


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
  run: run_lib.Run, method: methods.Method, group: _Group
) -> scores_lib.Start:
  """Function that starts the evaluation of a batch."""
  settings = _settings(
    run, method.apply, corrupt=group.corrupt, layout=method.layout
  )
  noise_variances = group.noise_variances.astype(np.float32)
  if method.layout is not None:
    return _on_devices(
      method.layout,
      settings,
      method.layout.put_members(method.variables),
      noise_variances,
    )
  compiled = jax.jit(program.create(settings))
  return lambda batch: compiled(
    method.variables, (), (batch, noise_variances), np.int32(0)
  )


def _on_devices(
  layout: parallel.Layout,
  settings: program.Settings,
  variables: Any,
  noise_variances: np.ndarray,
) -> scores_lib.Start:
  """Function that starts a batch, with the variables on the devices."""
  mapped = layout.map(program.create(settings))
  return lambda batch: mapped(
    variables, (), layout.put_shared((batch, noise_variances))
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
      noise_variance=condition.noise_variance,
      corruption=condition.corruption,
      corruption_level=condition.level,
      metric=metric,
      value=values[place, level],
      n=scores.n,
    )
    for place, member, step in zip(
      method.places, method.members, method.steps, strict=True
    )
    for level, condition in enumerate(group.conditions)
    for metric, values in scores.values.items()
  ]


def validation(
  run: run_lib.Run, phase: phase_lib.Phase
) -> Callable[[steps.TrainState], dict[str, np.ndarray]]:
  """Function from a state on the devices to validation metrics {name: [M]}.

  Images have no noise, and outputs are not clipped. `loss` is equation 1 with
  BatchNorm's running statistics, whereas training has it with those of the
  batch.
  """
  layout = run.layout
  settings = _settings(run, phase.network.apply, clip=False, layout=layout)
  mapped = layout.map(program.create(settings))
  no_noise = np.zeros(1, np.float32)
  loss_weights = phase.population.arrays().loss_weight.astype(np.float64)

  def validate(state: steps.TrainState) -> dict[str, np.ndarray]:
    scores = scores_lib.measure(
      lambda batch: mapped(
        state.variables, (), layout.put_shared((batch, no_noise))
      ),
      layout.fetch_members,
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


def _batches(run: run_lib.Run, split: str) -> Iterator[program.EvalBatch]:
  return scores_lib.batches(
    getattr(run.dataset, split),
    batch_size=run.config.eval.batch_size,
    max_images=run.config.eval.max_images,
  )


def _stoppable(
  run: run_lib.Run, batches: Iterator[program.EvalBatch]
) -> Iterator[program.EvalBatch]:
  """The batches; raises Stopped between two of them after a signal."""
  for batch in batches:
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
