"""The paper's figures from what was measured, as PNG and SVG; no JAX.

Curves (Figs. 4, 6 and 10) have bands of the 95 % interval over the seeds.
Panels (Figs. 5 and 7 to 9) show one test image, pixel for pixel.
"""

import collections
import dataclasses
import io
import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import figure as figure_lib
from matplotlib import layout_engine
from matplotlib.backends import backend_agg, backend_svg
from PIL import Image

from sr2_jax import names
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report import curves as curves_lib
from sr2_jax.report import figures, intervals, tables
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values

_SETTINGS: dict[Any, Any] = {
  "font.family": "DejaVu Sans",
  "text.usetex": False,
  "svg.hashsalt": "sr2_jax",  # The same figure is the same file.
  "svg.fonttype": "path",
}
_SOFT = "#767676"

# The control is dashed; of two SR2 networks the other is "sr2, other".
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
_DPI = 128


@dataclasses.dataclass(frozen=True)
class CurvesSpec:
  """A panel of curves.

  Attributes:
    stem: name of its files.
    title: what stands above it.
    metric: of the rows.
    metric_name: the vertical axis.
    subjects: of the curves.
  """

  stem: str
  title: str
  metric: str
  metric_name: str
  subjects: tuple[measurements_lib.Subject, ...]


@dataclasses.dataclass(frozen=True)
class PanelsSpec:
  """A row of images.

  Attributes:
    stem: name of its files.
    noise_variance: of the input.
    label: the class whose first test image is shown.
    reference: whose examples hold the truth and the input.
    columns: what is shown, in order; of "truth", "input" and subjects.
  """

  stem: str
  noise_variance: float
  label: int
  reference: measurements_lib.Subject
  columns: tuple[str | measurements_lib.Subject, ...]


def curves(
  evidence: measurements_lib.Evidence, spec: CurvesSpec
) -> blocks_lib.Picture | None:
  """One panel over log noise variance; None where nothing was run.

  All curves are of the same seeds and of as many images: seeds differ by more
  than methods do. A curve that has none of these seeds, or other images than
  most curves, is left out with a note. Without noise the place is left of a
  break of the axis.
  """
  subjects = _of_same_images(evidence, spec)
  seeds = _shared_seeds(evidence, subjects, spec.metric)
  found: dict[measurements_lib.Subject, dict[float, tuple[float, float]]] = {}
  for subject in subjects:
    points = _points(evidence, subject, spec.metric, seeds)
    if points:
      found[subject] = points
  for subject in spec.subjects:
    if evidence.seeds(subject, spec.metric) and subject not in found:
      evidence.note(
        f"{spec.metric_name}, {spec.title}: no curve of "
        f"{paper_values.full_name(subject)}, which has other seeds or images."
      )
  if not found:
    return None
  title = spec.title
  if seeds:
    title += f", {tables.number_of_seeds(len(seeds))}"
  with matplotlib.rc_context({**_SETTINGS, "font.size": 12}):
    figure = figure_lib.Figure(
      figsize=(5.4, 4.2),
      dpi=_DPI,
      layout=layout_engine.ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08),
    )
    panel = figure.subplots()
    panel.set_title(title, fontsize=13, loc="left", color=curves_lib.INK)
    panel.set_ylabel(spec.metric_name, color=curves_lib.INK)
    of_subjects = []
    for subject, points in found.items():
      means, halves = np.array([*points.values()]).T
      name = _in_two_lines(_name(subject, found))
      style = _style(subject, list(found))
      of_subjects.append(
        curves_lib.Curve(name, np.array([*points]), means, halves, style)
      )
    curves_lib.draw(panel, of_subjects, _LOOK)
    png, svg = _render(figure)
  shown = ", ".join(paper_values.full_name(subject) for subject in found)
  alt = f"{spec.metric_name} over the noise variance, {title}: {shown}"
  return blocks_lib.Picture(spec.stem, alt, png, svg, width=518)


def panels(
  evidence: measurements_lib.Evidence, spec: PanelsSpec
) -> blocks_lib.Picture | None:
  """A row of images; None where the example images are missing."""
  reference = evidence.examples(spec.reference)
  if reference is None or reference.high_res is None:
    return None
  places = np.flatnonzero(reference.labels == spec.label)
  if not len(places):
    return None
  position = int(reference.positions[places].min())
  entries = []
  for column in spec.columns:
    images = reference if isinstance(column, str) else evidence.examples(column)
    entries.append(_entry(images, column, spec, position))
  zoom = max(1, round(140 / reference.high_res.shape[1]))
  cell = zoom * reference.high_res.shape[1]
  with matplotlib.rc_context(_SETTINGS):
    png, svg = _draw_panels(entries, cell)
  shown = ", ".join(entry.name.replace("\n", " ") for entry in entries)
  alt = (
    f"Test image {position}, σ² = {tables.display_number(spec.noise_variance)}:"
    f" {shown}"
  )
  tiles = [_tile(index, entry, cell) for index, entry in enumerate(entries)]
  width = len(entries) * (cell + _GAP) + _GAP
  return blocks_lib.Picture(spec.stem, alt, png, svg, width, tiles)


@dataclasses.dataclass(frozen=True)
class _Entry:
  """An image of a panel, and what stands below it."""

  name: str
  image: np.ndarray | None  # [h, w, C], None where it was not run.
  caption: str
  is_right: bool | None

  @property
  def text(self) -> str:
    """The caption, where right and wrong show without colour."""
    return self.caption + {None: "", True: " ✓", False: " ✗"}[self.is_right]


def _of_same_images(
  evidence: measurements_lib.Evidence, spec: CurvesSpec
) -> list[measurements_lib.Subject]:
  """The subjects that were measured, on as many images as most others."""
  counts = {
    subject: max(
      evidence.num_images(subject, spec.metric, rows_lib.Condition(level)) or 0
      for level in levels
    )
    for subject in spec.subjects
    if (levels := evidence.noise_variances(subject, spec.metric))
  }
  how_often = collections.Counter(counts.values())
  usual = max(how_often, key=lambda n: (how_often[n], n), default=0)
  return [subject for subject, count in counts.items() if count == usual]


def _shared_seeds(
  evidence: measurements_lib.Evidence,
  subjects: Iterable[measurements_lib.Subject],
  metric: str,
) -> set[int]:
  """The seeds that all have, but for those who have none of the ones before.

  None where no network is trained.
  """
  shared: set[int] = set()
  for subject in subjects:
    seeds = set(evidence.seeds(subject, metric))
    shared = shared & seeds or shared or seeds
  return shared


def _points(
  evidence: measurements_lib.Evidence,
  subject: measurements_lib.Subject,
  metric: str,
  seeds: Collection[int],
) -> dict[float, tuple[float, float]]:
  """Mean and half width, nan for one seed, where all these seeds were run."""
  points = {}
  own = set(evidence.seeds(subject, metric))
  wanted = own & set(seeds) if own else {None}
  for level in evidence.noise_variances(subject, metric):
    cell = evidence.by_seed(subject, metric, rows_lib.Condition(level))
    values = [cell[seed] for seed in wanted if seed in cell]
    if values and len(values) == len(wanted):
      over = intervals.interval(values)
      half = math.nan if over is None else over.half_width
      points[level] = (float(np.mean(values)), half)
  return points


def _name(
  subject: measurements_lib.Subject,
  shown: Iterable[str | measurements_lib.Subject],
) -> str:
  """A name, with the loss weight where it differs from another's."""
  text = paper_values.full_name(subject)
  weights = {
    other.loss_weight
    for other in shown
    if not isinstance(other, str) and other.method == subject.method
  }
  if len(weights) > 1 and "λ" not in text:
    text += f", λ = {subject.loss_weight:g}"
  return text


def _in_two_lines(name: str, longest: int = 0) -> str:
  """What a method is above what sets it apart; a name alone if too long."""
  first, separator, rest = name.partition(", ")
  if not separator and len(name) > longest:
    first, separator, rest = name.partition(" ")
  return f"{first}\n{rest}" if separator else name


def _style(
  subject: measurements_lib.Subject, shown: Sequence[measurements_lib.Subject]
) -> dict[str, Any]:
  family = names.method(subject.method).family
  same = [other for other in shown if other.method == subject.method]
  # Of two SR2 networks the one with more shared layers has SR2's colour.
  if len(same) > 1 and subject != max(same, key=_distinction):
    family = f"{family}, other"
  return _STYLES.get(family, _STYLES["trunk"])


def _distinction(subject: measurements_lib.Subject) -> tuple[int, float]:
  return subject.shared_layers or 0, subject.loss_weight or 0.0


def _entry(
  images: measurements_lib.Examples | None,
  column: str | measurements_lib.Subject,
  spec: PanelsSpec,
  position: int,
) -> _Entry:
  if isinstance(column, str):
    name = {"truth": "Truth", "input": "Input"}[column]
  else:
    name = _in_two_lines(_name(column, spec.columns), longest=10)
  found = None if images is None else _place(images, spec, position)
  if images is None or found is None:
    return _Entry(name, None, "", None)
  level, index = found
  if column == "truth":
    image = None if images.high_res is None else images.high_res[index]
    return _Entry(name, image, str(spec.label), None)
  if column == "input":
    image = None if images.low_res is None else images.low_res[level, index]
    return _Entry(name, image, "", None)
  image = images.super_res[level, index]
  if images.predicted is None:
    return _Entry(name, image, "", None)
  read = int(images.predicted[level, index])
  return _Entry(name, image, f"reads {read}", read == spec.label)


def _place(
  images: measurements_lib.Examples, spec: PanelsSpec, position: int
) -> tuple[int, int] | None:
  """The level and place of the image with that position in the split."""
  levels = np.flatnonzero(
    np.isclose(images.noise_variances, spec.noise_variance, 1e-6, 1e-12)
  )
  places = np.flatnonzero(images.positions == position)
  if not len(levels) or not len(places):
    return None
  return int(levels[0]), int(places[0])


_LETTERS = "abcdefgh"
# In pixels at _DPI: between images, and below them for names and captions.
_GAP, _TEXT = 12, 76


def _draw_panels(entries: Sequence[_Entry], cell: int) -> tuple[bytes, bytes]:
  """PNG and SVG; each image lies on whole pixels, none is resampled."""
  width = len(entries) * (cell + _GAP) + _GAP
  height = cell + _GAP + _TEXT
  figure = figure_lib.Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
  for index, entry in enumerate(entries):
    left = _GAP + index * (cell + _GAP)
    panel = figure.add_axes(
      (left / width, _TEXT / height, cell / width, cell / height)
    )
    panel.set(xticks=[], yticks=[])
    panel.spines[:].set(color="#BBBBBB", linewidth=0.5)
    if entry.image is None:
      panel.set_facecolor("#EEEEEE")
      panel.text(
        0.5, 0.5, "not run", ha="center", va="center", color=_SOFT, size=9,
        transform=panel.transAxes,
      )  # fmt: skip
    else:
      panel.imshow(
        _squares(entry.image, cell), interpolation="none", aspect="auto"
      )
    middle = (left + cell / 2) / width
    name = f"({_LETTERS[index]}) {entry.name}"
    figure.text(
      middle, (_TEXT - 5) / height, name, ha="center", va="top",
      color=curves_lib.INK, size=8.5, linespacing=1.05,
    )  # fmt: skip
    color = {
      None: curves_lib.INK,
      True: curves_lib.RIGHT,
      False: curves_lib.WRONG,
    }[entry.is_right]
    figure.text(
      middle, (_TEXT - 44) / height, entry.text, ha="center",
      va="top", color=color, size=9,
      weight="bold" if entry.is_right is False else "normal",
    )  # fmt: skip
  return _render(figure)


def _tile(index: int, entry: _Entry, cell: int) -> blocks_lib.Tile:
  png = None
  if entry.image is not None:
    buffer = io.BytesIO()
    Image.fromarray(_squares(entry.image, cell)).save(buffer, format="PNG")
    png = buffer.getvalue()
  tone = {None: "", True: "good", False: "bad"}[entry.is_right]
  name = f"({_LETTERS[index]}) {entry.name}"
  return blocks_lib.Tile(name, png, entry.text, tone)


def _squares(image: np.ndarray, cell: int) -> np.ndarray:
  """Image [h, w, C] in [0, 1] as uint8 [cell, cell, 3]."""
  large = figures.squares(image, cell, cell)
  return large if large.shape[-1] == 3 else large.repeat(3, axis=-1)


def _render(figure: figure_lib.Figure) -> tuple[bytes, bytes]:
  png, svg = io.BytesIO(), io.BytesIO()
  backend_agg.FigureCanvasAgg(figure).print_png(png, metadata={"Software": ""})
  # Without a date, the same figure is the same file.
  backend_svg.FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})
  return png.getvalue(), svg.getvalue()
