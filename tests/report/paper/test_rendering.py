import matplotlib
import pytest
from matplotlib import figure as figure_lib

from sr2_jax.report.paper import rendering


def test_the_same_figure_is_the_same_file():
  def render():
    with matplotlib.rc_context(rendering.SETTINGS):
      figure = figure_lib.Figure()
      figure.subplots().plot([1, 2], label="x")
      figure.text(0.5, 0.5, "text")
      return rendering.render(figure)

  png, svg = render()
  assert (png, svg) == render()
  assert png.startswith(b"\x89PNG")
  assert b"<svg" in svg


@pytest.mark.parametrize(
  ("name", "longest", "expected"),
  [
    ("WDSR", 0, "WDSR"),
    ("SR² WDSR", 0, "SR²\nWDSR"),
    ("SR² WDSR", 10, "SR² WDSR"),
    ("Sequential FSRCNN", 10, "Sequential\nFSRCNN"),
    ("SR² WDSR, 4 sl.", 0, "SR² WDSR\n4 sl."),
  ],
)
def test_a_name_has_at_most_two_lines(name, longest, expected):
  assert rendering.in_two_lines(name, longest) == expected
