"""What runs a page is of: how they were trained, on what, where; no JAX."""

import json
import pathlib
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values

# What the networks of one data set and scale should have in common.
_RECIPE = (
  "batch_size",
  "degradation",
  "augmentation",
  "adam",
  "loss.super_resolution",
  "loss.l2_scope",
  "loss.normalize_weights",
  "model.batch_norm",
  "model.batch_norm_momentum",
  "model.expansion",
  "model.transposed_convolution",
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


def training(
  runs: Sequence[measurements_lib.Run],
) -> list[blocks_lib.Paragraph]:
  """How long the networks were trained, and on what, if not as the paper's."""
  known = [run for run in runs if run.description]
  epochs: dict[str, set[int]] = {"pretrain": set(), "joint": set()}
  for run in known:
    assert run.description is not None
    for phase in epochs.keys() & set(run.phases):
      epochs[phase].add(run.description["config"][phase]["num_epochs"])
  text = ", ".join(
    f"{_span(of_phase)} of `{phase}`" for phase, of_phase in epochs.items()
  )
  lines = []
  if known:
    lines.append(
      f"**Epochs**: {text}; the authors' script has "
      f"{paper_values.AUTHORS_EPOCHS} of each, the paper names none. Verdicts "
      "are on this training."
    )
  unfinished = [run.experiment for run in known if not run.is_done]
  if unfinished:
    lines.append(f"**Unfinished**: {', '.join(unfinished)}.")
  if len(known) < len(runs):
    lines.append(
      "**Epochs unknown**: of files of rows alone, without config.json."
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
      f"**Runs that were trained differently** stand side by side on {setting}:"
      f" {', '.join(fields)} differ."
    )
  return [blocks_lib.Paragraph(line) for line in lines]


def _span(numbers: Collection[int]) -> str:
  """As "4" or "4 to 12"; "none" without numbers."""
  ends = sorted({min(numbers), max(numbers)}) if numbers else ["none"]
  return " to ".join(map(str, ends))


def _differences(runs: Sequence[measurements_lib.Run]) -> dict[str, list[str]]:
  """What differs, by data set and scale; SRMD has a recipe of its own.

  Of a phase only where a run has rows of it.
  """
  found: dict[str, dict[str, set[str]]] = {}
  for run in runs:
    if not run.description:
      continue
    config = run.description["config"]
    if config["model"]["trunk"] == "srmd":
      continue
    setting = f"{config['data']['name']} x{config['degradation']['scale']}"
    for field in _RECIPE:
      phase = field.partition(".")[0]
      if phase in ("pretrain", "joint") and phase not in run.phases:
        continue
      value: Any = config
      for name in field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
      if value is not None:  # An older version may not have had it.
        values = found.setdefault(setting, {}).setdefault(field, set())
        values.add(json.dumps(value, sort_keys=True))
    fingerprint = run.description.get("dataset", {}).get("fingerprint")
    if fingerprint is not None:
      images = found.setdefault(setting, {}).setdefault("images", set())
      images.add(fingerprint)
  return {
    setting: [field for field, values in fields.items() if len(values) > 1]
    for setting, fields in found.items()
    if any(len(values) > 1 for values in fields.values())
  }


def table(runs: Sequence[measurements_lib.Run]) -> blocks_lib.Table:
  """A row a run: what it measured, how long it was trained, with what."""
  rows = []
  for run in runs:
    known: dict[str, Any] = dict(run.description or {})
    config = known.get("config", {})
    epochs = "—"
    if config:
      pretrain, joint = (
        config.get(phase, {}).get("num_epochs", "?")
        for phase in ("pretrain", "joint")
      )
      source = config.get("init_from")
      first = f"from {pathlib.Path(source).name}" if source else str(pretrain)
      epochs = f"{first} + {joint}"
    state = "finished" if run.is_done else "not finished"
    rows.append(
      (
        run.experiment,
        run.source if config else f"{run.source} (rows alone)",
        ", ".join(run.methods),
        ", ".join(map(str, run.seeds)) or "—",
        epochs,
        f"{run.split_images:,}",
        _of_all_starts(known, "git_revision", _revision),
        _of_all_starts(known, "devices", _devices),
        state if config else "—",
      )
    )
  return blocks_lib.Table(
    (
      "Experiment",
      "Folder or file",
      "Methods",
      "Seeds",
      "Epochs",
      "Images",
      "Git revision",
      "Devices",
      "State",
    ),
    rows,
  )


def _of_all_starts(
  description: dict[str, Any], part: str, text_of: Callable[[Any], str]
) -> str:
  """What a run's starts had of a part of config.json, each once, in order."""
  starts = [description, *description.get("later", [])]
  texts = [text_of(start[part]) for start in starts if start.get(part)]
  return ", then ".join(dict.fromkeys(texts)) or "—"


def _revision(revision: str) -> str:
  commit, _, changes = revision.partition("+")
  return f"{commit[:10]}{' with changes' if changes else ''}"


def _devices(devices: dict[str, Any]) -> str:
  text = f"{devices.get('count', '?')} × {devices.get('kind', '?')}"
  cores = devices.get("cpu_cores")
  return text if cores is None else f"{text}, {cores} cores"
