"""Figures: curves of result rows, and a grid of example images; no JAX."""

import collections
import dataclasses
import io
import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import figure as figure_lib
from matplotlib import layout_engine, patches, transforms
from matplotlib import lines as lines_lib
from matplotlib.backends import backend_agg
from PIL import Image

from sr2_jax import files, names, paths
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import curves as curves_lib
from sr2_jax.report import intervals, tables

# The metrics that have a panel, and the panel's title.
CURVES = {"ssim": "SSIM (Wang et al.)", "accuracy": "Accuracy"}

# For each further round through a family's colors.
_DASHES = ("-", (0, (5, 1.5)), (0, (2, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
_LOOK = curves_lib.Look(2.5, 1.5, 8, 14, gap=0.065, indent=0.05, margin=0.05)

# The font ships with Matplotlib; a user's own settings do not count.
SETTINGS: dict[Any, Any] = {"font.family": "DejaVu Sans", "text.usetex": False}

# Lengths of the example grid in pixels. A power of two as resolution makes the
# figure's size in inches, and so in pixels, exact.
DPI = 128
_CELL, _GAP, _BLOCK_GAP, _MARGIN = 112, 10, 32, 24
_CAPTION, _TEXT = 32, 20
_LONGEST_NAME = 12  # Letters of a class that can be read below a cell.
POINT = 72 / DPI  # Points in a pixel.


def curves(
  rows: Iterable[rows_lib.Row],
  path: str | os.PathLike[str] | io.BytesIO,
  *,
  split: str = "test",
) -> np.ndarray:
  """Draws SSIM, and accuracy if there are rows, over the noise variance.

  Rows of other splits and of corruptions are left out. Returns what it wrote to
  `path` as a PNG, uint8 [height, width, 3]. Raises ValueError if no rows are
  left, or rows of several data sets or scales.
  """
  settings = tables.settings(
    row
    for row in tables.over_noise(rows)
    if row.split == split and row.metric in CURVES
  )
  if len(settings) != 1:
    raise ValueError(f"need rows of one data set and scale, got {[*settings]}")
  [((dataset, scale), summaries)] = settings.items()
  lines = tables.lines(summaries)
  labels = tables.labels(lines, name_of=lambda key: names.method(key).title)
  styles = _styles(lines)
  found = {summary.metric for summary in summaries}
  metrics = [metric for metric in CURVES if metric in found]
  title = f"{dataset} {split}, x{scale}, {tables.count_seeds(summaries)}"
  if any(summary.half_width is not None for summary in summaries):
    title += " (mean, 95 % interval)"

  with matplotlib.rc_context({**SETTINGS, "font.size": 15}):
    figure = figure_lib.Figure(
      figsize=(7.5 * len(metrics), 5.5),
      dpi=DPI,
      # In inches: nothing touches the border of the picture.
      layout=layout_engine.ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.1),
    )
    figure.suptitle(title, fontsize=16, color=curves_lib.INK)
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for panel, metric in zip(panels, metrics, strict=True):
      panel.set_title(
        CURVES[metric], fontsize=18, loc="left", color=curves_lib.INK
      )
      chosen = [summary for summary in summaries if summary.metric == metric]
      of_lines = _curves(chosen, labels=labels, styles=styles)
      curves_lib.draw(panel, of_lines, _LOOK)
    return save(figure, path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
  """Contents of a grid: N images at V noise levels, by several methods.

  Images are float in [0, 1], clipped for display, with C = 1 or 3 channels.
  Raises ValueError if shapes do not fit.

  Attributes:
    high_res: the truth, [N, H, W, C].
    labels: the true class, int [N].
    noise_variances: [V].
    low_res: the networks' input, [V, N, h, w, C]; h divides H, and w W.
    columns: method -> super-resolved images, [V, N, H, W, C], in the order of
      the columns.
    predictions: method -> predicted class, int [V, N], of the methods that
      classify.
    class_names: by label; empty shows the labels, if there are several.
  """

  high_res: np.ndarray
  labels: np.ndarray
  noise_variances: np.ndarray
  low_res: np.ndarray
  columns: Mapping[str, np.ndarray]
  predictions: Mapping[str, np.ndarray]
  class_names: Sequence[str] = ()

  def __post_init__(self) -> None:
    num_images, height, width, channels = self.high_res.shape
    leading = (len(self.noise_variances), num_images)
    if channels not in (1, 3):
      raise ValueError(f"images have 1 or 3 channels, not {channels}")
    small = self.low_res.shape[2:4]
    if height % small[0] or width % small[1]:
      raise ValueError(f"low_res, {small}, does not divide {height, width}")
    large = (*leading, height, width, channels)
    arrays = {
      "labels": (self.labels, (num_images,)),
      "low_res": (self.low_res, (*leading, *small, channels)),
      **{name: (images, large) for name, images in self.columns.items()},
    }
    for method, classes in self.predictions.items():
      if method not in self.columns:
        raise ValueError(f"predictions of {method}, which is not a column")
      arrays[f"predictions of {method}"] = (classes, leading)
    for name, (array, shape) in arrays.items():
      if array.shape != shape:
        raise ValueError(f"{name}: shape {array.shape}, expected {shape}")


def example_grid(
  grid: Grid, path: str | os.PathLike[str] | io.BytesIO
) -> np.ndarray:
  """Draws a row for each image, and a column for each method and noise level.

  Every pixel is a square. Below the truth is its class, and below a
  classifier's image the class that it read.

  Returns what it wrote to `path` as a PNG, uint8 [height, width, 3].
  """
  num_images, height, width, _ = grid.high_res.shape
  zoom = max(1, round(_CELL / height))
  height, width = zoom * height, zoom * width
  blocks = _blocks(grid)
  columns = [column for _, block in blocks for column in block]
  num_lines = max(column.name.count("\n") for column in columns) + 1
  names_y = _MARGIN + _CAPTION + num_lines * (_TEXT + 4) + _GAP
  tops = names_y + _GAP + np.arange(num_images) * (height + _CAPTION + _GAP)
  full_height = int(tops[-1]) + height + _CAPTION + _MARGIN // 2
  full_width = 2 * _MARGIN + len(columns) * (width + _GAP) - _GAP
  full_width += (len(blocks) - 1) * (_BLOCK_GAP - _GAP)
  background = np.full((full_height, full_width, 3), 255, np.uint8)

  with matplotlib.rc_context(SETTINGS):
    size = (full_width / DPI, full_height / DPI)
    figure = figure_lib.Figure(figsize=size, dpi=DPI)
    x = _MARGIN
    for title, block in blocks:
      left = x
      for column in block:
        # A letter is about 0.6 of its size wide.
        longest = max(map(len, column.name.split("\n")))
        style = {"size": min(_TEXT, width / 0.62 / longest), "linespacing": 1.1}
        _write(figure, x + width / 2, names_y, column.name, **style)
        for y, image in zip(tops, column.images, strict=True):
          place = background[y : y + height, x : x + width]
          place[:] = squares(image, height, width)
        for y, caption in zip(tops, column.captions, strict=False):
          _draw_caption(figure, (x, y, width, height), *caption)
        x += width + _GAP
      right, y = x - _GAP, _MARGIN + _TEXT
      x = right + _BLOCK_GAP
      if title:
        middle = (left + right) / 2
        _write(figure, middle, y, title, size=_TEXT + 4, weight="bold")
        rule = lines_lib.Line2D((left, right), (y + _GAP, y + _GAP))
        rule.set(color=curves_lib.INK, linewidth=1, transform=_pixels(figure))
        figure.add_artist(rule)
    figure.figimage(background, origin="upper")  # Nothing is resampled.
    return save(figure, path)


def _styles(lines: Iterable[tables.Line]) -> dict[tables.Line, dict[str, Any]]:
  """Color, marker and dashes of each line; families have their own."""
  styles: dict[tables.Line, dict[str, Any]] = {}
  seen = collections.Counter()
  for line in lines:
    family = names.method(line.method).family
    index = seen[family]
    seen[family] += 1
    turn, color = divmod(index, len(curves_lib.COLORS[family]))
    styles[line] = {
      "color": curves_lib.COLORS[family][color],
      "marker": curves_lib.MARKERS[family],
      "linestyle": _DASHES[(color + turn) % len(_DASHES)],
    }
  return styles


def _curves(
  summaries: Sequence[intervals.Summary],
  *,
  labels: Mapping[tables.Line, str],
  styles: Mapping[tables.Line, Mapping[str, Any]],
) -> list[curves_lib.Curve]:
  """The curves of one metric's summaries."""
  return [
    curves_lib.Curve(
      labels[line],
      np.array([*entries]),
      np.array([entry.mean for entry in entries.values()]),
      np.array([entry.half_width for entry in entries.values()], float),
      styles[line],
    )
    for line, entries in tables.lines(summaries).items()
  ]


@dataclasses.dataclass(frozen=True)
class _Column:
  """A column of a grid.

  Attributes:
    name: text above it.
    images: [N, h, w, C].
    captions: the class below each image, and whether it is right, or None.
  """

  name: str
  images: np.ndarray
  captions: Sequence[tuple[str, bool | None]] = ()


def _blocks(grid: Grid) -> list[tuple[str, list[_Column]]]:
  """The truth, then the columns of each noise level, with a heading each."""
  captions = [(short_name(grid.class_names, x), None) for x in grid.labels]
  if not grid.class_names and len(set(grid.labels.tolist())) == 1:
    captions = []  # Images without classes all have one label.
  blocks = [("", [_Column("Truth", grid.high_res, captions)])]
  for level, variance in enumerate(grid.noise_variances):
    columns = [_Column("Input", grid.low_res[level])]
    for method, images in grid.columns.items():
      name = names.method(method).title
      name = textwrap.fill(name, 8, break_long_words=False)
      captions = []
      if method in grid.predictions:
        predicted = grid.predictions[method][level]
        captions = [
          (short_name(grid.class_names, read), bool(read == label))
          for read, label in zip(predicted, grid.labels, strict=True)
        ]
      columns.append(_Column(name, images[level], captions))
    blocks.append((f"σ² = {tables.display_number(float(variance))}", columns))
  return blocks


def short_name(class_names: Sequence[str], label: int) -> str:
  """A class in one short line."""
  if not class_names:
    return str(label)
  name = paths.shown(class_names[label])
  if len(name) <= _LONGEST_NAME:
    return name
  # Both ends: long names often begin alike.
  half = _LONGEST_NAME // 2
  return f"{name[: half - 1]}…{name[-half:]}"


def _pixels(figure: figure_lib.Figure) -> transforms.Transform:
  """Coordinates in pixels from the upper left corner."""
  return transforms.Affine2D().scale(1, -1).translate(0, figure.bbox.height)


def _write(
  figure: figure_lib.Figure, x: float, y: float, text: str, **style: Any
) -> None:
  style = {"color": curves_lib.INK, "ha": "center", **style}
  style["size"] *= POINT
  # The class of a folder may have a "$" in its name.
  style["parse_math"] = False
  figure.text(x, y, text, transform=_pixels(figure), **style)


def _draw_caption(
  figure: figure_lib.Figure,
  place: tuple[int, int, int, int],
  text: str,
  is_right: bool | None,
) -> None:
  """Writes the class; mark, frame and color tell right from wrong."""
  x, y, width, height = place
  color = {
    None: curves_lib.INK,
    True: curves_lib.RIGHT,
    False: curves_lib.WRONG,
  }[is_right]
  text += {None: "", True: " ✓", False: " ✗"}[is_right]
  style = {"color": color, "weight": "normal" if is_right else "bold"}
  x_text, y_text = x + width / 2, y + height + _CAPTION / 2
  # A bold letter is about 0.7 of its size wide.
  size = min(_TEXT, width / 0.7 / len(text))
  _write(figure, x_text, y_text, text, size=size, va="center", **style)
  if is_right is False:
    frame = patches.Rectangle((x - 2, y - 2), width + 4, height + 4, fill=False)
    frame.set(edgecolor=color, linewidth=3 * POINT, transform=_pixels(figure))
    figure.add_artist(frame)


def squares(image: np.ndarray, height: int, width: int) -> np.ndarray:
  """Image [h, w, C] in [0, 1] as uint8 [height, width, C], in square pixels."""
  levels = np.rint(255 * np.clip(np.nan_to_num(image), 0, 1)).astype(np.uint8)
  rows = np.arange(height) * image.shape[0] // height
  columns = np.arange(width) * image.shape[1] // width
  return levels[rows][:, columns]


def save(
  figure: figure_lib.Figure, path: str | os.PathLike[str] | io.BytesIO
) -> np.ndarray:
  """Renders a figure, writes the PNG, returns uint8 [height, width, 3]."""
  canvas = backend_agg.FigureCanvasAgg(figure)
  canvas.draw()
  rgb = np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
  png = path if isinstance(path, io.BytesIO) else io.BytesIO()
  Image.fromarray(rgb).save(png, format="PNG")
  if not isinstance(path, io.BytesIO):
    # The report redraws curves while a run may hold its folder.
    files.write_atomically(path, png.getvalue(), shared=True)
  return rgb
