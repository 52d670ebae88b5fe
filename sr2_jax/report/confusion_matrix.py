"""Which classes a network reads as which: counts and a picture; no JAX."""

import dataclasses
import io
import os
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib import colors
from matplotlib import figure as figure_lib

from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import confusion
from sr2_jax.report import curves as curves_lib
from sr2_jax.report import example_grid, figures, tables

# With more the cells hold no text that can be read.
MOST_CLASSES = 50
_CELL, _SMALL_CELL, _FEW = 72, 30, 12
_LETTERS, _SMALL_LETTERS = 18, 12
_MARGIN, _TITLE, _LETTER_WIDTH = 20, 56, 0.68
_LEAST_WIDTH = 440  # Of the title.
_SHADES = colors.LinearSegmentedColormap.from_list(
  "shares", ("#FFFFFF", curves_lib.RIGHT)
)


@dataclasses.dataclass(frozen=True)
class Matrix:
  """Counts of a split's images at a noise variance, of all seeds together.

  Attributes:
    noise_variance: of the inputs.
    counts: int [K, K], true class by read class.
    num_seeds: networks that are counted.
    class_names: by label.
  """

  noise_variance: float
  counts: np.ndarray
  num_seeds: int
  class_names: tuple[str, ...]

  @property
  def is_legible(self) -> bool:
    """Whether its picture can be read."""
    return len(self.class_names) <= MOST_CLASSES

  @property
  def recalls(self) -> np.ndarray:
    """Part of each class that is read right, [K]; NaN for no image."""
    present, right = self.counts.sum(axis=1), self.counts.diagonal()
    return confusion.recalls(
      confusion.Tallies(present, self.counts.sum(axis=0), right)
    )

  @property
  def images(self) -> np.ndarray:
    """Images of each class in the split, [K]."""
    return self.counts.sum(axis=1) // self.num_seeds


def of(
  per_image: arrays_lib.PerImage, class_names: Sequence[str]
) -> list[Matrix]:
  """Matrices at the least and a medium noise variance, or at the only one.

  They are of the first member's L2 and loss weight, over all seeds. Empty
  without a classifier, and of files whose classes are not known.
  """
  predicted, labels = per_image.predicted, per_image.labels
  if predicted is None or labels is None:
    return []
  first = per_image.members[0]
  chosen = [
    place
    for place, member in enumerate(per_image.members)
    if dataclasses.replace(member, seed=first.seed).is_close(first)
  ]
  return [
    Matrix(
      float(per_image.noise_variances[level]),
      confusion.counts(
        np.tile(labels, len(chosen)), read.reshape(-1), len(class_names)
      ),
      len(chosen),
      tuple(class_names),
    )
    for level in example_grid.levels_shown(per_image.noise_variances)[:2]
    if (read := predicted[chosen, level]).min() >= 0
  ]


def draw(
  matrix: Matrix, path: str | os.PathLike[str] | io.BytesIO
) -> np.ndarray:
  """Draws a row for each true class, a column for each that is read.

  Cells are percents of their row. Returns what it wrote to `path` as a PNG,
  uint8 [height, width, 3].
  """
  count = len(matrix.counts)
  few = count <= _FEW
  cell = _CELL if few else _SMALL_CELL
  letters = _LETTERS if few else _SMALL_LETTERS
  names = [figures.short_name(matrix.class_names, x) for x in range(count)]
  room = int(max(map(len, names)) * letters * _LETTER_WIDTH) + 2 * _MARGIN
  side = cell * count
  width = max(side + room + 2 * _MARGIN, _LEAST_WIDTH)
  height = side + room + _TITLE + _MARGIN
  present = matrix.counts.sum(axis=1, keepdims=True)
  shares = matrix.counts / np.maximum(present, 1)
  with matplotlib.rc_context(figures.SETTINGS):
    dpi = figures.DPI
    figure = figure_lib.Figure(figsize=(width / dpi, height / dpi), dpi=dpi)
    box = (room / width, (_MARGIN + room) / height)
    panel = figure.add_axes((*box, side / width, side / height))
    panel.imshow(shares, cmap=_SHADES, vmin=0, vmax=1, aspect="auto")
    size = letters * figures.POINT
    style = {"fontsize": size, "color": curves_lib.INK, "parse_math": False}
    panel.set_yticks(range(count), names, **style)
    is_wide = max(map(len, names)) * letters * _LETTER_WIDTH > cell
    panel.set_xticks(range(count), names, rotation=90 * is_wide, **style)
    panel.tick_params(length=0)
    panel.set_ylabel("True class", fontsize=size)
    panel.set_xlabel("Read as", fontsize=size)
    for row, column in np.argwhere(matrix.counts):
      share = shares[row, column]
      # White on dark cells, dark on light ones.
      color = "#FFFFFF" if share > 0.85 else curves_lib.INK
      panel.text(
        column,
        row,
        f"{100 * share:.0f}",
        ha="center",
        va="center",
        fontsize=size,
        color=color,
      )
    level = tables.display_number(matrix.noise_variance)
    figure.text(
      0.5,
      1 - _TITLE / 2 / height,
      f"σ² = {level}, % of each true class",
      ha="center",
      va="center",
      fontsize=_LETTERS * figures.POINT,
      color=curves_lib.INK,
    )
    return figures.save(figure, path)
