"""Weights, rows, arrays and pictures that a run stores and shows."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from sr2_jax import errors, messages, parallel
from sr2_jax.buckets import address
from sr2_jax.config import derived, record
from sr2_jax.evaluation import evaluate, phase_evaluation
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import metrics_log
from sr2_jax.records import rows as rows_lib
from sr2_jax.records import weights as weights_lib
from sr2_jax.report import confusion_matrix, example_grid, figures, summary
from sr2_jax.training import network as network_lib
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import population
from sr2_jax.training import run as run_lib


def store_weights(
  run: run_lib.Run,
  phase: phase_lib.Phase,
  kind: str,
  of_kinds: phase_evaluation.OfKinds,
  steps_done: Sequence[int],
  *,
  places: Sequence[int] | None = None,
) -> None:
  """Writes each member's weights, without optimizer state, to weights/.

  Args:
    run: configuration, images and folder.
    phase: what trained the weights.
    kind: "last" or "best".
    of_kinds: from `PhaseEvaluation.with_statistics`.
    steps_done: training steps of each member.
    places: of the members to write; None: all.
  """
  if not parallel.is_main_process():
    return
  folder = weights_lib.network_folder(
    run.folder.path, phase.name, phase.method.key
  )
  batch_norm, variables = next(iter(of_kinds.items()))
  if batch_norm == "reestimated":
    running = of_kinds["running"]["batch_stats"]
    variables = {**variables, weights_lib.RUNNING: running}
  for place in range(phase.population.size) if places is None else places:
    name = phase.population.folder_names[place]
    weights_lib.write(
      folder / name / f"{kind}.safetensors",
      network_lib.flatten(population.take(variables, place)),
      weights_lib.Origin(
        config=record.to_dict(run.config),
        image_shape=run.image_shape,
        class_names=run.dataset.class_names,
        phase=phase.name,
        method=phase.method.key,
        member=phase.population.members[place],
        step=steps_done[place],
        batch_norm=batch_norm,
      ),
    )


def store_rows(run: run_lib.Run, rows: Sequence[rows_lib.Row]) -> None:
  """Merges rows into the run folder's; they stay if the run is stopped."""
  if parallel.is_main_process():
    rows_lib.merge(run.folder.path, rows)


def store(
  run: run_lib.Run,
  evaluation: evaluate.Evaluation,
  metric_writer: metrics_log.Writer | None = None,
) -> None:
  """Stores an evaluation in the run folder; draws a trained method's examples.

  Args:
    run: configuration, images and folder.
    evaluation: rows, scores of each image and examples of a method.
    metric_writer: shows the picture in TensorBoard.

  Raises:
    Stopped: after a signal, once the rows are on disk.
  """
  method, folder = evaluation.method, run.folder.path
  store_rows(run, evaluation.rows)
  if parallel.is_main_process():
    for split, per_image in evaluation.per_image.items():
      arrays_lib.write_per_image(
        folder, per_image, method=method.name.key, split=split
      )
  evaluate.stop_if_asked(run)
  if evaluation.examples is None:
    return
  arrays_lib.write_examples(folder, evaluation.examples, method=method.name.key)
  if not method.name.is_trained:
    return
  pictures: dict[str, np.ndarray] = {}
  with messages.going_without(f"the pictures of {method.phase}"):
    pictures |= _draw(run, evaluation, evaluation.examples)
  if metric_writer is not None:
    for stem, picture in pictures.items():
      metric_writer.image(method.phase, stem, picture, max(method.steps))
    metric_writer.sync()


def _draw(
  run: run_lib.Run,
  evaluation: evaluate.Evaluation,
  examples: arrays_lib.Examples,
) -> dict[str, np.ndarray]:
  """Pictures of a method in the run folder, uint8 [H, W, 3], by their names."""
  method, folder = evaluation.method, run.folder.path
  shown, notes = example_grid.select(
    examples,
    method.name.key,
    folder=folder,
    baselines=_baselines(run.config, method.phase, folder),
    class_names=run.dataset.class_names,
  )
  for note in notes:
    messages.say(note)
  stem = f"{method.phase}_examples"
  pictures = {
    stem: figures.example_grid(shown, run.folder.images / f"{stem}.png")
  }
  matrix = _confusion(run, evaluation)
  if matrix is not None and matrix.is_legible:
    stem = f"{method.phase}_confusion"
    path = run.folder.images / f"{stem}.png"
    pictures[stem] = confusion_matrix.draw(matrix, path)
  return pictures


def _confusion(
  run: run_lib.Run, evaluation: evaluate.Evaluation
) -> confusion_matrix.Matrix | None:
  """Classes at the least noise, of the test if it was evaluated."""
  per_image = evaluation.per_image
  split = "test" if "test" in per_image else next(iter(per_image), None)
  if split is None:
    return None
  found = confusion_matrix.of(per_image[split], run.dataset.class_names)
  return next(iter(found), None)


def _baselines(
  config: Any, phase: str, folder: pathlib.Path
) -> list[example_grid.Baseline]:
  """The network that a phase started from, in this run or in `init_from`."""
  if phase != "joint":
    return []
  if config.init_from and not config.fine_tune:
    folder = address.local(config.init_from)
  elif "pretrain" not in derived.phases(config):
    return []
  return [example_grid.Baseline(folder, derived.method(config, "pretrain").key)]


def show(
  run: run_lib.Run,
  rows: Sequence[rows_lib.Row],
  *,
  checkpoint: str = "last",
) -> None:
  """Prints tables and draws curves of a run, with `init_from`'s pretraining.

  Args:
    run: configuration and folder.
    rows: results of one checkpoint of each phase.
    checkpoint: "last" or "best", the one that was evaluated.
  """
  with messages.going_without("tables and curves"):
    summary.show(
      [*pretraining_rows(run.config), *rows],
      run.folder.path,
      splits=run.config.eval.splits,
      checkpoint=checkpoint,
    )


def pretraining_rows(config: Any) -> list[rows_lib.Row]:
  """Rows of `init_from`'s pretraining, for this run's seeds.

  Not of a network that is fine-tuned: its rows are of other images. Empty if
  that file is damaged: a run must not fail because of another run's file.
  """
  source = address.local(config.init_from) / rows_lib.FILE_NAME
  if not config.init_from or config.fine_tune or not source.exists():
    return []
  seeds = range(config.seed, config.seed + config.num_seeds)
  try:
    rows = rows_lib.read(source)
  except errors.UserError as error:
    messages.say(f"left out of tables and curves: {error}")
    return []
  return [row for row in rows if row.phase == "pretrain" and row.seed in seeds]
