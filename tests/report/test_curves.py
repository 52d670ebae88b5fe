import math

import numpy as np
import pytest
from matplotlib import figure

from sr2_jax.report import curves as curves_lib

LOOK = curves_lib.Look(2, 1, 6, 12, gap=0.1, indent=0.05, margin=0.05)
STYLE = {"color": "#0072B2", "marker": "s", "linestyle": "-"}


def drawn(*curves):
  """A panel with curves of (name, levels, means, halves)."""
  panel = figure.Figure().subplots()
  curves_lib.draw(
    panel,
    [
      curves_lib.Curve(
        name, *(np.array(x, float) for x in (levels, means, halves)), STYLE
      )
      for name, levels, means, halves in curves
    ],
    LOOK,
  )
  return panel


def test_from_zero_to_the_first_level_the_line_is_a_guess():
  levels = (0, 1e-5, 1e-4, 1e-3)
  means = (0.9, 0.8, 0.7, 0.6)
  panel = drawn(("a", levels, means, [math.nan] * 4))
  line, guess = panel.lines
  np.testing.assert_array_equal(line.get_xydata().T, (levels[1:], means[1:]))
  np.testing.assert_array_equal(guess.get_xydata().T, (levels[:2], means[:2]))
  assert (line.get_linestyle(), guess.get_linestyle()) == ("-", ":")
  assert not panel.collections


def test_a_band_is_where_there_is_an_interval():
  panel = drawn(("a", (1e-4, 1e-3), (0.7, 0.5), (0.1, 0.2)))
  [band] = panel.collections
  [path] = band.get_paths()
  corners = {tuple(np.round(corner, 9)) for corner in path.vertices}
  assert corners == {(1e-4, 0.6), (1e-4, 0.8), (1e-3, 0.3), (1e-3, 0.7)}


def test_a_band_ends_where_values_do():
  panel = drawn(("a", (1e-4, 1e-3), (0.9, -0.1), (0.3, 0.2)))
  heights = panel.collections[0].get_paths()[0].vertices[:, 1]
  # To 1 at most; to 0 at least, unless a mean is below it.
  np.testing.assert_allclose([heights.min(), heights.max()], [-0.1, 1.0])


def test_wide_intervals_do_not_stretch_the_axis():
  panel = drawn(("a", (1e-4, 1e-3), (0.7, 0.5), (9.0, 9.0)))
  assert panel.get_ylim() == (-0.05, 1.05)


def test_names_stand_at_the_ends_from_the_lowest_up():
  panel = drawn(
    ("high", (1e-4, 1e-3), (0.2, 0.9), (0, 0)),
    ("gone", (1e-4, 1e-3), (0.5, math.nan), (0, 0)),
    ("low", (1e-4, 1e-3), (0.8, 0.1), (0, 0)),
  )
  names = [text for text in panel.texts if text.get_text() != "//"]
  assert [text.get_text() for text in names] == ["low", "high"]
  bottom, top = panel.get_ylim()
  for text, end in zip(names, (0.1, 0.9), strict=True):
    assert text.xy == pytest.approx((1, (end - bottom) / (top - bottom)))


@pytest.mark.parametrize(
  ("levels", "ticks"),
  [
    ((0, 1e-5, 3.2e-5, 1e-3), [0, 1e-5, 1e-4, 1e-3]),
    ((1e-5, 1e-3), [1e-5, 1e-4, 1e-3]),
    ((0, 3e-4), [0, 3e-4]),
    ((0,), [0]),
  ],
)
def test_ticks_are_zero_and_powers_of_ten_or_the_levels(levels, ticks):
  panel = figure.Figure().subplots()
  curves_lib.draw_axis(panel, levels)
  assert [*panel.get_xticks()] == pytest.approx(ticks)
  has_break = [text.get_text() for text in panel.texts] == ["//"]
  assert has_break == (0 in levels and len(levels) > 1)


@pytest.mark.parametrize(
  ("heights", "expected"),
  [
    ([], []),
    ([0.5], [0.5]),
    ([0.1, 0.5], [0.1, 0.5]),
    ([0.5, 0.5], [0.45, 0.55]),
    ([0.48, 0.5, 0.5], [0.39333, 0.49333, 0.59333]),
    ([0.0, 0.01], [0.0, 0.1]),
    ([0.99, 1.0], [0.9, 1.0]),
  ],
)
def test_labels_move_as_little_as_needed(heights, expected):
  assert curves_lib.spread(heights, gap=0.1) == pytest.approx(
    expected, abs=1e-4
  )


def test_labels_never_overlap():
  generator = np.random.default_rng(0)
  for _ in range(100):
    heights = sorted(generator.uniform(size=generator.integers(1, 12)))
    places = curves_lib.spread(heights, gap=0.065)
    assert min([1.0, *np.diff(places)]) >= 0.065 - 1e-9
    assert places[0] >= 0
    assert places[-1] <= 1 + 1e-9
