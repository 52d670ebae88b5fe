"""The runs behind a page: how they were trained, on what, where; no JAX."""

import collections
import dataclasses
import json
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from sr2_jax import names
from sr2_jax.config import record
from sr2_jax.records import divergence, provenance
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import sources as sources_lib
from sr2_jax.report.paper import values as paper_values

# What the networks of one data set and scale should have in common.
_RECIPE = (
  "fine_tune",
  "batch_size",
  "degradation",
  "augmentation",
  "adam",
  "loss.super_resolution",
  "loss.l2_scope",
  "loss.normalize_weights",
  "loss.class_weights",
  "model.batch_norm",
  "model.batch_norm_momentum",
  "model.expansion",
  "model.transposed_convolution",
  "model.classifier_strides",
  "model.dtype",
  "pretrain",
  "joint.num_epochs",
  "joint.learning_rate",
  "data.max_train_images",
  "data.validation_fraction",
  "data.split_seed",
  "eval.clip",
  "eval.noise_seed",
)


@dataclasses.dataclass(frozen=True)
class TrainedRun:
  """One experiment in one file of rows.

  Attributes:
    experiment: as in the rows.
    source: the run folder's name, or the file of rows.
    dataset: as in the rows.
    methods: those that it has rows of.
    phases: those that it has rows of.
    seeds: those that it has rows of.
    split_images: images of the split behind its rows.
    epochs: those after which each phase was evaluated, and those of a
      `pretrain` that it starts from; from config.json if the rows do not say.
    steps: the last step of each phase.
    description: config.json; None for a file of rows without it.
    is_done: whether the run folder says so.
    diverged: its members that diverged, which have no rows.
  """

  experiment: str
  source: str
  dataset: str
  methods: tuple[str, ...]
  phases: tuple[str, ...]
  seeds: tuple[int, ...]
  split_images: int
  epochs: Mapping[str, Sequence[float]]
  steps: Mapping[str, int]
  description: Mapping[str, Any] | None
  is_done: bool
  diverged: tuple[divergence.Divergence, ...] = ()


def find(rows: sources_lib.RowsWithFiles) -> list[TrainedRun]:
  """Every experiment in every file of rows, with its config.json."""
  groups: dict[tuple[pathlib.Path, str], list[rows_lib.Row]] = {}
  for row, file in rows:
    groups.setdefault((file, row.experiment), []).append(row)
  runs = []
  for (file, experiment), group in groups.items():
    is_folder = file.name == rows_lib.FILE_NAME
    folder = folder_lib.RunFolder(file.parent)
    description = folder.read() if is_folder else None
    runs.append(
      TrainedRun(
        experiment=experiment,
        source=file.parent.name if is_folder else file.name,
        dataset=group[0].dataset,
        methods=tuple(dict.fromkeys(row.method for row in group)),
        phases=tuple(dict.fromkeys(row.phase for row in group)),
        seeds=tuple(sorted({r.seed for r in group if r.seed is not None})),
        split_images=max(row.n for row in group),
        epochs=_epochs_of(group, description),
        steps={
          phase: max(row.step for row in group if row.phase == phase)
          for phase in dict.fromkeys(row.phase for row in group)
        },
        description=description,
        is_done=is_folder and folder.is_done,
        diverged=tuple(divergence.of_run(file.parent)) if is_folder else (),
      )
    )
  return sorted(runs, key=lambda run: (run.experiment, run.source))


def training(
  runs: Sequence[TrainedRun], *, against_paper: bool = True
) -> list[blocks_lib.Paragraph]:
  """Training lengths and data of the networks, and where runs differ."""
  trained = [run for run in runs if set(run.phases) & set(names.PHASES)]
  known = [run for run in trained if run.epochs]
  lines = []
  if known:
    epochs = ", ".join(
      f"{_span(found)} of `{phase}`"
      for phase in names.PHASES
      if (found := {x for run in known for x in run.epochs.get(phase, ())})
    )
    of_authors = (
      f"; the authors' script has {paper_values.AUTHORS_EPOCHS} of each, the "
      "paper names none"
    )
    lines.append(
      f"**Epochs**: {epochs}{of_authors if against_paper else ''}. Verdicts "
      "are about this training."
    )
  unfinished = [x.experiment for x in runs if x.description and not x.is_done]
  if unfinished:
    lines.append(f"**Unfinished**: {', '.join(unfinished)}.")
  diverged = [f"{run.experiment}, {x}" for run in runs for x in run.diverged]
  if diverged:
    lines.append(
      f"**Diverged**: {'; '.join(diverged)}. All numbers are of other members."
    )
  if len(known) < len(trained):
    of_mnist = " At the authors' batch of 64, 750 steps are an epoch of MNIST."
    lines.append(
      f"**Epochs unknown** to the rows of {len(trained) - len(known)} of "
      f"{len(trained)} runs, which have steps instead."
      f"{of_mnist if against_paper else ''}"
    )
  notes = dict.fromkeys(
    note
    for run in runs
    if run.description
    for note in run.description.get("dataset", {}).get("notes", ())
  )
  if notes:
    lines.append(f"**Data**: {'; '.join(notes)}.")
  for setting, fields in _differences(runs).items():
    lines.append(
      f"**Runs that were trained differently** are side by side on {setting}:"
      f" {', '.join(fields)} differ."
    )
  return [blocks_lib.Paragraph(line) for line in lines]


def _epochs_of(
  rows: Sequence[rows_lib.Row], description: Mapping[str, Any] | None
) -> dict[str, Sequence[float]]:
  """Epochs by phase; a phase only if they are known."""
  found: dict[str, set[float]] = collections.defaultdict(set)
  for row in rows:
    if row.epochs is not None:
      found[row.phase].add(row.epochs)
    if row.pretrain_epochs is not None:
      found["pretrain"].add(row.pretrain_epochs)
  phases = {row.phase for row in rows}
  for phase in names.PHASES:
    if description and phase in phases and phase not in found:
      found[phase].add(description["config"][phase]["num_epochs"])
  return {phase: sorted(epochs) for phase, epochs in found.items()}


def _span(numbers: Collection[float]) -> str:
  """Text such as "4" or "4 to 12"."""
  return " to ".join(f"{x:g}" for x in sorted({min(numbers), max(numbers)}))


def _differences(runs: Sequence[TrainedRun]) -> dict[str, list[str]]:
  """The fields that differ, by data set and scale.

  SRMD is left out, because it has a recipe of its own.
  """
  found: dict[str, dict[str, set[str]]] = collections.defaultdict(
    lambda: collections.defaultdict(set)
  )
  for run in runs:
    config = (run.description or {}).get("config")
    if config and config["model"]["trunk"] != "srmd":
      setting = f"{run.dataset} x{config['degradation']['scale']}"
      for field, value in _recipe(run):
        found[setting][field].add(json.dumps(value, sort_keys=True))
  return {
    setting: [field for field, values in fields.items() if len(values) > 1]
    for setting, fields in found.items()
    if any(len(values) > 1 for values in fields.values())
  }


def _recipe(run: TrainedRun) -> Iterator[tuple[str, Any]]:
  """Fields and values of a run's recipe; a phase only if it has rows of it."""
  description = run.description or {}
  complete = record.complete(description["config"])
  for field in _RECIPE:
    phase = field.partition(".")[0]
    if phase in names.PHASES and phase not in run.phases:
      continue
    if (
      field == "fine_tune" and complete.get("init_from") and not complete[field]
    ):
      continue  # Its pretraining is that of another run, which says so.
    value: Any = complete
    for name in field.split("."):
      value = value.get(name) if isinstance(value, dict) else None
    if value is not None:  # An older version may not have had it.
      yield field, value
  fingerprint = description.get("dataset", {}).get("fingerprint")
  if fingerprint is not None:
    yield "images", fingerprint


def table(runs: Sequence[TrainedRun]) -> blocks_lib.Table:
  """A row for each run: what it measured, and how it was trained."""
  return blocks_lib.Table(
    (
      "Experiment",
      "Folder or file",
      "Methods",
      "Seeds",
      "Trained",
      "Images",
      "Git revision",
      "Devices",
      "State",
    ),
    [_row(run) for run in runs],
  )


def _row(run: TrainedRun) -> tuple[str, ...]:
  description: dict[str, Any] = dict(run.description or {})
  config = description.get("config", {})
  state = "finished" if run.is_done else "not finished"
  if run.diverged:
    state += f", {len(run.diverged)} diverged"
  return (
    run.experiment,
    run.source if config else f"{run.source} (rows only)",
    ", ".join(run.methods),
    ", ".join(map(str, run.seeds)) or "—",
    trained(run),
    f"{run.split_images:,}",
    _of_all_starts(description, "git_revision", _revision),
    _of_all_starts(description, "devices", _devices),
    state if config else "—",
  )


def trained(run: TrainedRun) -> str:
  """Text such as "30 + 1, 3, 10", or steps where epochs are unknown."""
  phases = [phase for phase in names.PHASES if phase in run.epochs]
  if phases:
    return " + ".join(
      ", ".join(f"{x:g}" for x in run.epochs[phase]) for phase in phases
    )
  steps = [f"{run.steps[x]:,}" for x in names.PHASES if x in run.steps]
  return f"{' + '.join(steps)} steps" if steps else "—"


def _of_all_starts(
  description: dict[str, Any], part: str, text_of: Callable[[Any], str]
) -> str:
  """A part of config.json at every start of the run, each text once."""
  starts = [description, *description.get("later", [])]
  texts = [text_of(start[part]) for start in starts if start.get(part)]
  return ", then ".join(dict.fromkeys(texts)) or "—"


def _revision(revision: str) -> str:
  commit, _, changes = revision.partition("+")
  return f"{commit[:10]}{' with changes' if changes else ''}"


def _devices(devices: dict[str, Any]) -> str:
  text = f"{devices.get('count', '?')} × {devices.get('kind', '?')}"
  cores = devices.get("cpu_cores")
  if cores is None:
    return text
  return f"{text}, {provenance.cores_in_words(cores)}"
