"""SSIM over the epochs of training, from rows and from logs; no JAX."""

import contextlib
import dataclasses
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from sr2_jax import files, json_files, names
from sr2_jax.records import json_lines, metrics_log
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report import curves as curves_lib
from sr2_jax.report import intervals, tables
from sr2_jax.report.paper import budgets, rendering
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import subjects as subjects_lib
from sr2_jax.report.paper import values as paper_values

_SSIM = paper_values.SSIMS[0]
_LEVEL = paper_values.TABLE1_NOISE
_LOOK = curves_lib.Look(2, 1.3, 5.5, 11, gap=0.1, indent=0.05, margin=0.02)
_METHODS = ("fsrcnn", "sr_continued_fsrcnn", "sr2_fsrcnn")


@dataclasses.dataclass(frozen=True)
class _Point:
  epochs: float
  mean: float
  half_width: float


def draw(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Picture]:
  """Pictures of the test rows and of the validation while training.

  Epochs of `joint` are to the right of those of `pretrain`. There is no picture
  of what has no two points.
  """
  subjects = [paper_values.subject(method, 4) for method in _METHODS]
  tested = {x: _of_rows(measurements, x) for x in subjects}
  logged = {x: _of_logs(measurements, x) for x in subjects}
  pictures = []
  for stem, title, found in (
    ("epochs_test", f"{measurements.split} images, MNIST x4", tested),
    ("epochs_validation", "validation images, MNIST x4", logged),
  ):
    if max(map(len, found.values())) > 1:
      pictures.append(_picture(stem, title, found))
  return pictures


def _of_rows(
  measurements: measurements_lib.Measurements, subject: subjects_lib.Subject
) -> list[_Point]:
  values = {}
  for budget in budgets.shared(measurements, [subject]):
    pinned = dataclasses.replace(subject, budget=budget)
    cell = measurements.by_seed(pinned, _SSIM, rows_lib.Condition(_LEVEL))
    # A run may continue another's epochs, but never starts from other ones.
    if None not in budget[: 1 if subject.loss_weight is None else 2]:
      values[sum(x or 0 for x in budget)] = [*cell.values()]
  return _points(values)


def _of_logs(
  measurements: measurements_lib.Measurements, subject: subjects_lib.Subject
) -> list[_Point]:
  """From the validation lines of the run folders that the rows are from."""
  values: dict[float, list[float]] = {}
  rows = [
    (row, file)
    for row, file in measurements.rows
    if subject.matches(row) and file.name == rows_lib.FILE_NAME
  ]
  last = {(file.parent, row.phase): row for row, file in rows if row.epochs}
  for (folder, phase), row in last.items():
    steps_of_epoch = row.step / (row.epochs or 1)
    for of_phase, loss_weight, step, value in _validations(folder):
      if of_phase == phase and rows_lib.is_close(
        loss_weight, subject.loss_weight
      ):
        epochs = step / steps_of_epoch + (row.pretrain_epochs or 0)
        values.setdefault(round(epochs, 3), []).append(value)
  return _points(values)


def _validations(
  folder: pathlib.Path,
) -> Iterator[tuple[str, float | None, int, float]]:
  """Phase, loss weight, step and SSIM of the lines of validation in a log."""
  try:
    lines = files.read(folder / metrics_log.FILE_NAME).splitlines()
  except OSError:
    return
  for line in lines:
    # A kill cut the last line short, or somebody has changed one.
    with contextlib.suppress(ValueError, LookupError, TypeError):
      fields = json_lines.parse(line)
      if fields["kind"] == "validation":
        weight = fields["loss_weight"]
        yield (
          fields["phase"],
          None if weight is None else float(weight),
          json_files.whole(fields["step"]),
          float(fields[f"{_SSIM}_noise_{_LEVEL:g}"]),
        )


def _points(values: dict[float, list[float]]) -> list[_Point]:
  points = []
  for epochs, of_seeds in sorted(values.items()):
    if of_seeds:
      over = intervals.interval(of_seeds)
      half = math.nan if over is None else over.half_width
      points.append(_Point(epochs, float(np.mean(of_seeds)), half))
  return points


def _picture(
  stem: str, title: str, found: Mapping[subjects_lib.Subject, Sequence[_Point]]
) -> blocks_lib.Picture:
  y_name = f"SSIM at σ² = {tables.display_number(_LEVEL)}"
  with rendering.panel(title, y_name) as (figure, panel):
    panel.set_xlabel("Epochs", color=curves_lib.INK)
    ends = []
    for subject, points in found.items():
      if not points:
        continue
      family = names.method(subject.method).family
      color = curves_lib.COLORS[family][0]
      x, means, halves = np.array([dataclasses.astuple(p) for p in points]).T
      panel.fill_between(
        x,
        np.clip(means - halves, 0, 1),
        np.clip(means + halves, 0, 1),
        color=color,
        alpha=0.18,
        linewidth=0,
      )
      panel.plot(
        x,
        means,
        color=color,
        marker=curves_lib.MARKERS[family],
        linewidth=2,
        # SR² may lie on it.
        linestyle="--" if family == "sr_continued" else "-",
        zorder=3 if family == "sr_continued" else 2,
      )
      name = rendering.in_two_lines(names.method(subject.method).title, 10)
      ends.append((name, float(means[-1]), color))
    panel.grid(axis="y", color="#DDDDDD", linewidth=0.8)
    panel.spines[["top", "right"]].set_visible(False)
    curves_lib.write_names(panel, ends, _LOOK)
    png, svg = rendering.render(figure)
  shown = ", ".join(names.method(x.method).title for x in found if found[x])
  alt = f"SSIM over epochs, {title}: {shown}"
  return blocks_lib.Picture(stem, alt, png, svg, width=rendering.PANEL_WIDTH)
