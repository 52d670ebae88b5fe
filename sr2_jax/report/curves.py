"""Curves over the noise variance, drawn alike in all pictures; no JAX.

Levels are on a logarithmic axis with zero left of a break, each curve is named
at its right end, and bands are intervals.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import axes

from sr2_jax import names
from sr2_jax.report import tables

INK = "#222222"
# Of the class that a classifier read.
RIGHT, WRONG = "#0072B2", "#C04000"
# Okabe and Ito's colors, which color-blind readers can tell apart. A family
# of methods has the same ones everywhere.
COLORS = {
  "bicubic": ("#767676",),
  "trunk": ("#0072B2", "#56B4E9"),
  "sr_continued": ("#6A3D9A", "#B294D1"),
  "other": ("#8C6D31", "#5B5B9F"),
  "sequential": ("#D55E00", "#E69F00"),
  "sr2": ("#009E73", "#CC79A7", "#000000"),
}
MARKERS: dict[str, str] = dict(zip(names.FAMILIES, "xsDP^o", strict=True))


@dataclasses.dataclass(frozen=True)
class Curve:
  """A curve.

  Attributes:
    name: text at its end.
    levels: noise variances, ascending, [V].
    means: [V].
    half_widths: half widths of the intervals, [V]; nan where there is none.
    style: color, marker and linestyle, as Matplotlib has them.
  """

  name: str
  levels: np.ndarray
  means: np.ndarray
  half_widths: np.ndarray
  style: Mapping[str, Any]


class Look(NamedTuple):
  """Sizes: lines, markers and letters in points, others in panel heights."""

  line: float
  guess: float
  marker: float
  letters: float
  # Between names, and from the panel to them.
  gap: float
  indent: float
  # Of the value axis beyond [0, 1], in its own unit.
  margin: float


def draw(panel: axes.Axes, curves: Sequence[Curve], look: Look) -> None:
  """Draws curves, their bands and their names."""
  draw_axis(panel, sorted({x for curve in curves for x in curve.levels}))
  for curve in curves:
    x, means, style = curve.levels, curve.means, dict(curve.style)
    # Nothing was measured between zero and the lowest level. The line between
    # them is a guess, and thinner.
    start = int(x[0] == 0 and len(x) > 1)
    size = look.marker
    panel.plot(
      x[start:], means[start:], linewidth=look.line, markersize=size, **style
    )
    if start:
      style |= {"linestyle": ":", "markevery": [0]}
      panel.plot(
        x[:2], means[:2], linewidth=look.guess, markersize=size, **style
      )
    if np.isfinite(curve.half_widths).any():
      # No value is above 1, and only rarely is one below 0.
      low = np.maximum(means - curve.half_widths, np.minimum(means, 0))
      high = np.minimum(means + curve.half_widths, np.maximum(means, 1))
      color = style["color"]
      panel.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)

  # Intervals stretch the axis only as far as values can be.
  finite = [x for curve in curves for x in curve.means if math.isfinite(x)]
  bottom, top = panel.get_ylim()
  bottom = max(bottom, min([0.0, *finite]) - look.margin)
  top = min(top, 1 + look.margin)
  panel.set_ylim(bottom, top)
  ends = [(x.name, float(x.means[-1]), x.style["color"]) for x in curves]
  write_names(panel, ends, look)


def write_names(
  panel: axes.Axes, ends: Sequence[tuple[str, float, str]], look: Look
) -> None:
  """Names curves at the panel's right; ends are (name, last value, color)."""
  bottom, top = panel.get_ylim()
  named = sorted((x for x in ends if math.isfinite(x[1])), key=lambda x: x[1])
  heights = [(value - bottom) / (top - bottom) for _, value, _ in named]
  places = spread(heights, gap=look.gap)
  for (name, _, color), height, place in zip(
    named, heights, places, strict=True
  ):
    link = {"arrowstyle": "-", "color": color, "shrinkA": 0, "shrinkB": 0}
    link["relpos"] = (0, 0.5)  # To the start of the text, not across it.
    at = (1 + look.indent, place)
    label = panel.annotate(
      name, (1, height), at, "axes fraction", arrowprops=link
    )
    label.set(
      color=color, fontsize=look.letters, fontweight="bold", va="center"
    )
    label.set_linespacing(0.95)


def draw_axis(panel: axes.Axes, levels: Sequence[float]) -> None:
  """Sets up a logarithmic axis with zero left of a break."""
  positive = [level for level in levels if level > 0]
  ticks = [level for level in levels if level == 0]
  if positive:
    # Linear, and 0.7 decades long, below the lowest level.
    panel.set_xscale("symlog", linthresh=positive[0], linscale=0.6)
    first = math.ceil(math.log10(positive[0]) - 1e-9)
    last = math.floor(math.log10(positive[-1]) + 1e-9)
    decades = [10.0**power for power in range(first, last + 1)]
    # A single power of ten gives no scale; the levels are named instead.
    ticks += decades if len(decades) > 1 else positive
    if ticks[0] == 0:
      mark = panel.text(positive[0] / 2, 0, "//", ha="center", va="center")
      mark.set(color=INK, fontsize=11, transform=panel.get_xaxis_transform())
      mark.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})
  panel.set_xticks(ticks, [tables.display_number(level) for level in ticks])
  panel.set_xticks(levels, minor=True)
  panel.margins(x=0.04)
  panel.set_xlabel("Noise variance σ²", color=INK)
  panel.grid(axis="y", color="#DDDDDD", linewidth=0.8)
  panel.set_axisbelow(True)
  panel.spines[["top", "right"]].set_visible(False)


def spread(heights: Sequence[float], *, gap: float) -> np.ndarray:
  """Ascending heights, moved as little as needed to be a gap apart.

  Little in the least-squares sense: an isotonic regression of the heights less
  their share of gaps.
  """
  if not heights:
    return np.zeros(0)
  from scipy import optimize  # Loaded with the first picture.

  shares = gap * np.arange(len(heights))
  fitted = optimize.isotonic_regression(np.asarray(heights) - shares).x
  # Inside the panel, as far as it has room for all.
  return np.clip(fitted, 0, max(1 - shares[-1], 0)) + shares
