"""A Matplotlib figure as PNG and SVG, the same bytes each time; no JAX."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import matplotlib
from matplotlib import axes, layout_engine
from matplotlib import figure as figure_lib
from matplotlib.backends import backend_agg, backend_svg

from sr2_jax.report import curves as curves_lib

# The font ships with Matplotlib; a user's own settings do not count.
SETTINGS: dict[Any, Any] = {
  "font.family": "DejaVu Sans",
  "text.usetex": False,
  "svg.hashsalt": "sr2_jax",
  "svg.fonttype": "path",
}
DPI = 128
# Width of a figure from `panel` on a page.
PANEL_WIDTH = 518


@contextlib.contextmanager
def panel(
  title: str, y_name: str
) -> Iterator[tuple[figure_lib.Figure, axes.Axes]]:
  """A figure and its only panel, to draw on and `render` while this is open."""
  with matplotlib.rc_context({**SETTINGS, "font.size": 12}):
    figure = figure_lib.Figure(
      figsize=(5.4, 4.2),
      dpi=DPI,
      layout=layout_engine.ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08),
    )
    only = figure.subplots()
    only.set_title(title, fontsize=13, loc="left", color=curves_lib.INK)
    only.set_ylabel(y_name, color=curves_lib.INK)
    yield figure, only


def render(figure: figure_lib.Figure) -> tuple[bytes, bytes]:
  """PNG and SVG of a figure that was drawn with SETTINGS."""
  png, svg = io.BytesIO(), io.BytesIO()
  backend_agg.FigureCanvasAgg(figure).print_png(png, metadata={"Software": ""})
  # With a date, the same figure would be another file each time.
  backend_svg.FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})
  return png.getvalue(), svg.getvalue()


def in_two_lines(name: str, longest: int = 0) -> str:
  """A method above what sets it apart; a name without that if it is long."""
  first, separator, rest = name.partition(", ")
  if not separator and len(name) > longest:
    first, separator, rest = name.partition(" ")
  return f"{first}\n{rest}" if separator else name
