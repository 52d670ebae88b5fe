"""One test image by several of the paper's methods, pixel for pixel; no JAX."""

import dataclasses
import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib import figure as figure_lib
from PIL import Image

from sr2_jax.records import arrays as arrays_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report import curves as curves_lib
from sr2_jax.report import figures, tables
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import rendering
from sr2_jax.report.paper import subjects as subjects_lib
from sr2_jax.report.paper import values as paper_values

_SOFT = "#767676"
_LETTERS = "abcdefgh"
# In pixels: between images, and below them for names and captions.
_GAP, _TEXT = 12, 76


@dataclasses.dataclass(frozen=True)
class Spec:
  """A row of images.

  Attributes:
    stem: name of its files.
    noise_variance: noise variance of the input.
    label: the class whose first test image is shown.
    reference: whose examples hold the truth and the input.
    columns: "truth", "input" and subjects, in order.
  """

  stem: str
  noise_variance: float
  label: int
  reference: subjects_lib.Subject
  columns: tuple[str | subjects_lib.Subject, ...]


@dataclasses.dataclass(frozen=True)
class _Entry:
  """An image of the row, and the texts below it.

  Attributes:
    name: what the image is.
    image: [h, w, C]; None if it was not run.
    caption: the class.
    is_right: whether a classifier read the true class; None without one.
  """

  name: str
  image: np.ndarray | None
  caption: str = ""
  is_right: bool | None = None

  @property
  def text(self) -> str:
    """The caption, which tells right from wrong without color."""
    return self.caption + {None: "", True: " ✓", False: " ✗"}[self.is_right]


def draw(
  measurements: measurements_lib.Measurements, spec: Spec
) -> blocks_lib.Picture | None:
  """A row of images; None without the reference's example images."""
  reference = measurements.examples(spec.reference)
  if reference is None or reference.high_res is None:
    return None
  places = np.flatnonzero(reference.labels == spec.label)
  if not len(places):
    return None
  position = int(reference.positions[places].min())
  entries = [
    _own_entry(reference, column, spec, position)
    if isinstance(column, str)
    else _entry(measurements.examples(column), column, spec, position)
    for column in spec.columns
  ]
  zoom = max(1, round(140 / reference.high_res.shape[1]))
  cell = zoom * reference.high_res.shape[1]
  with matplotlib.rc_context(rendering.SETTINGS):
    png, svg = _draw_row(entries, cell)
  shown = ", ".join(entry.name.replace("\n", " ") for entry in entries)
  alt = (
    f"Test image {position}, σ² = {tables.display_number(spec.noise_variance)}:"
    f" {shown}"
  )
  tiles = [_tile(index, entry, cell) for index, entry in enumerate(entries)]
  width = len(entries) * (cell + _GAP) + _GAP
  return blocks_lib.Picture(spec.stem, alt, png, svg, width, tiles)


def _own_entry(
  reference: arrays_lib.Examples, column: str, spec: Spec, position: int
) -> _Entry:
  """The truth or the input of the reference."""
  level, place = _place(reference, spec, position)
  if column == "truth":
    images = reference.high_res
    if images is None or level is None or place is None:
      return _Entry("Truth", None)
    return _Entry("Truth", images[place], str(spec.label))
  images = reference.low_res
  if images is None or level is None or place is None:
    return _Entry("Input", None)
  return _Entry("Input", images[level, place])


def _entry(
  examples: arrays_lib.Examples | None,
  subject: subjects_lib.Subject,
  spec: Spec,
  position: int,
) -> _Entry:
  """Output of a subject, whose examples are of one member."""
  others = [x for x in spec.columns if not isinstance(x, str)]
  name = rendering.in_two_lines(
    paper_values.name_among(subject, others), longest=10
  )
  if examples is None:
    return _Entry(name, None)
  level, place = _place(examples, spec, position)
  if level is None or place is None:
    return _Entry(name, None)
  image = examples.super_res[0, level, place]
  if examples.predicted is None:
    return _Entry(name, image)
  read = int(examples.predicted[0, level, place])
  return _Entry(name, image, f"reads {read}", read == spec.label)


def _place(
  examples: arrays_lib.Examples, spec: Spec, position: int
) -> tuple[int | None, int | None]:
  """Level and place of the image with that position in the split, or None."""
  places = np.flatnonzero(examples.positions == position)
  place = int(places[0]) if len(places) else None
  return examples.level(spec.noise_variance), place


def _draw_row(entries: Sequence[_Entry], cell: int) -> tuple[bytes, bytes]:
  """PNG and SVG; each image is on whole pixels, none is resampled."""
  width = len(entries) * (cell + _GAP) + _GAP
  height = cell + _GAP + _TEXT
  figure = figure_lib.Figure(
    figsize=(width / rendering.DPI, height / rendering.DPI), dpi=rendering.DPI
  )
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
    figure.text(
      middle, (_TEXT - 5) / height, _lettered(index, entry), ha="center",
      va="top", color=curves_lib.INK, size=8.5, linespacing=1.05,
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
  return rendering.render(figure)


def _tile(index: int, entry: _Entry, cell: int) -> blocks_lib.Tile:
  png = None
  if entry.image is not None:
    buffer = io.BytesIO()
    Image.fromarray(_squares(entry.image, cell)).save(buffer, format="PNG")
    png = buffer.getvalue()
  tone = {None: "", True: "good", False: "bad"}[entry.is_right]
  return blocks_lib.Tile(_lettered(index, entry), png, entry.text, tone)


def _lettered(index: int, entry: _Entry) -> str:
  return f"({_LETTERS[index]}) {entry.name}"


def _squares(image: np.ndarray, cell: int) -> np.ndarray:
  """Image [h, w, C] in [0, 1] as uint8 [cell, cell, 3]."""
  large = figures.squares(image, cell, cell)
  return large if large.shape[-1] == 3 else large.repeat(3, axis=-1)
