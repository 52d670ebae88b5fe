"""A Matplotlib figure as PNG and SVG, the same bytes each time; no JAX."""

import io
from typing import Any

from matplotlib import figure as figure_lib
from matplotlib.backends import backend_agg, backend_svg

# The font ships with Matplotlib; a user's own settings do not count.
SETTINGS: dict[Any, Any] = {
  "font.family": "DejaVu Sans",
  "text.usetex": False,
  "svg.hashsalt": "sr2_jax",
  "svg.fonttype": "path",
}
DPI = 128


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
