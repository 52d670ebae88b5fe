"""Curves of the paper's methods over the noise variance, in a panel; no JAX.

Bands are 95 % intervals over the seeds.
"""

import collections
import dataclasses
import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from sr2_jax import names
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report import curves as curves_lib
from sr2_jax.report import intervals, tables
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import rendering
from sr2_jax.report.paper import subjects as subjects_lib
from sr2_jax.report.paper import values as paper_values

# The control is dashed. The second of two SR2 networks is "sr2, other".
_STYLES: dict[str, dict[str, Any]] = {
  family: {
    "color": curves_lib.COLORS[family.partition(",")[0]][
      int(family.endswith(", other"))
    ],
    "marker": curves_lib.MARKERS[family.partition(",")[0]],
    "linestyle": "--" if family == "sr_continued" else "-",
  }
  for family in ("sr2", "sr2, other", "sequential", "trunk", "sr_continued")
}
_LOOK = curves_lib.Look(2, 1.3, 5.5, 11, gap=0.13, indent=0.06, margin=0.02)


@dataclasses.dataclass(frozen=True)
class Spec:
  """A panel of curves.

  Attributes:
    stem: name of its files.
    title: text above it.
    metric: as in rows.
    metric_name: text at the vertical axis.
    subjects: one for each curve.
  """

  stem: str
  title: str
  metric: str
  metric_name: str
  subjects: tuple[subjects_lib.Subject, ...]


@dataclasses.dataclass(frozen=True)
class _Points:
  """Levels, means and half widths of a curve; half widths may be nan."""

  levels: Sequence[float]
  means: Sequence[float]
  half_widths: Sequence[float]


def draw(
  measurements: measurements_lib.Measurements, spec: Spec
) -> blocks_lib.Picture | None:
  """One panel over log noise variance; None if nothing was run.

  All curves are of the same seeds and of as many images, because seeds differ
  by more than methods do. A curve that has none of these seeds, or other images
  than most curves, is left out with a note. Zero noise is left of a break of
  the axis.
  """
  found, seeds = _points_of_subjects(measurements, spec)
  if not found:
    return None
  title = spec.title
  if seeds:
    title += f", {tables.number_of_seeds(len(seeds))}"
  with rendering.panel(title, spec.metric_name) as (figure, panel):
    curves = [
      curves_lib.Curve(
        rendering.in_two_lines(paper_values.name_among(subject, found)),
        np.array(points.levels),
        np.array(points.means),
        np.array(points.half_widths),
        _style(subject, list(found)),
      )
      for subject, points in found.items()
    ]
    curves_lib.draw(panel, curves, _LOOK)
    png, svg = rendering.render(figure)
  shown = ", ".join(paper_values.full_name(subject) for subject in found)
  alt = f"{spec.metric_name} over the noise variance, {title}: {shown}"
  return blocks_lib.Picture(
    spec.stem, alt, png, svg, width=rendering.PANEL_WIDTH
  )


def _points_of_subjects(
  measurements: measurements_lib.Measurements, spec: Spec
) -> tuple[dict[subjects_lib.Subject, _Points], set[int]]:
  """The points of each curve, and the seeds behind them."""
  comparable = _of_same_images(measurements, spec)
  seeds = _panel_seeds(measurements, comparable, spec.metric)
  found = {
    subject: points
    for subject in comparable
    if (points := _points(measurements, subject, spec.metric, seeds)).levels
  }
  for subject in spec.subjects:
    if measurements.seeds(subject, spec.metric) and subject not in found:
      measurements.note(
        f"{spec.metric_name}, {spec.title}: no curve of "
        f"{paper_values.full_name(subject)}, which has other seeds or images."
      )
  return found, seeds


def _of_same_images(
  measurements: measurements_lib.Measurements, spec: Spec
) -> list[subjects_lib.Subject]:
  """The subjects that were measured on as many images as most others."""
  counts = {
    subject: max(
      measurements.num_images(subject, spec.metric, rows_lib.Condition(level))
      or 0
      for level in levels
    )
    for subject in spec.subjects
    if (levels := measurements.noise_variances(subject, spec.metric))
  }
  how_often = collections.Counter(counts.values())
  usual = max(how_often, key=lambda n: (how_often[n], n), default=0)
  return [subject for subject, count in counts.items() if count == usual]


def _panel_seeds(
  measurements: measurements_lib.Measurements,
  subjects: Iterable[subjects_lib.Subject],
  metric: str,
) -> set[int]:
  """The seeds that all subjects have; empty if no network is trained.

  A subject that has none of the seeds of those before it does not count.
  """
  shared: set[int] = set()
  for subject in subjects:
    seeds = set(measurements.seeds(subject, metric))
    shared = shared & seeds or shared or seeds
  return shared


def _points(
  measurements: measurements_lib.Measurements,
  subject: subjects_lib.Subject,
  metric: str,
  seeds: Collection[int],
) -> _Points:
  """The levels at which all these seeds were run, as far as it has them."""
  own = set(measurements.seeds(subject, metric))
  wanted = own & set(seeds) if own else {None}
  levels, means, half_widths = [], [], []
  for level in measurements.noise_variances(subject, metric):
    cell = measurements.by_seed(subject, metric, rows_lib.Condition(level))
    values = [cell[seed] for seed in wanted if seed in cell]
    if values and len(values) == len(wanted):
      over = intervals.interval(values)
      levels.append(level)
      means.append(float(np.mean(values)))
      half_widths.append(math.nan if over is None else over.half_width)
  return _Points(levels, means, half_widths)


def _style(
  subject: subjects_lib.Subject, shown: Sequence[subjects_lib.Subject]
) -> dict[str, Any]:
  family = names.method(subject.method).family
  same = [other for other in shown if other.method == subject.method]
  # Of two SR2 networks the one with more shared layers has SR2's color.
  if len(same) > 1 and subject != max(same, key=_distinction):
    family = f"{family}, other"
  return _STYLES.get(family, _STYLES["trunk"])


def _distinction(subject: subjects_lib.Subject) -> tuple[int, float]:
  return subject.shared_layers or 0, subject.loss_weight or 0.0
