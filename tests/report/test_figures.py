import dataclasses
import math

import matplotlib
import numpy as np
import pytest
from PIL import Image

from sr2_jax.report import curves as curves_lib
from sr2_jax.report import figures, intervals, tables
from tests import result_rows


def _count(picture, color):
  """Pixels of that color, '#rrggbb', but for rounding."""
  rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
  return int((abs(picture.astype(int) - rgb) <= 2).all(-1).sum())


def _read(path):
  with Image.open(path) as image:
    return np.asarray(image)


# SR2's green at the opacity of a band, on white.
BAND = "#ccece3"


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_curves_have_a_band_where_there_are_seeds(tmp_path, seeds):
  path = tmp_path / "new" / "curves.png"
  picture = figures.curves(result_rows.run(seeds=seeds), path)
  assert np.array_equal(_read(path), picture)
  height, width, _ = picture.shape
  assert width >= 1600
  assert width > 2 * height
  for half in np.split(picture, [width // 2], axis=1):
    assert _count(half, curves_lib.COLORS["sr2"][0]) > 300
    if len(seeds) > 1:
      assert _count(half, BAND) > 2000
    else:
      assert _count(half, BAND) < 200
  # The border is blank: nothing is cut off.
  edges = [picture[0], picture[-1], picture[:, 0], picture[:, -1]]
  assert all((edge == 255).all() for edge in edges)
  assert [p.name for p in path.parent.iterdir()] == ["curves.png"]


def test_a_wider_interval_gives_a_wider_band(tmp_path):
  narrow, wide = (
    figures.curves(
      result_rows.rows("sr2_fsrcnn", 0.8, spread=spread)
      + result_rows.rows("bicubic", 0.2),
      tmp_path / "curves.png",
    )
    for spread in (0.005, 0.02)
  )
  assert _count(wide, BAND) > 2 * _count(narrow, BAND)


def test_curves_without_a_classifier_are_one_panel(tmp_path):
  rows = [row for row in result_rows.run() if row.metric == "ssim"]
  picture = figures.curves(rows, tmp_path / "curves.png")
  assert picture.shape[1] < 1.5 * picture.shape[0]


@pytest.mark.parametrize("levels", [(0.0,), (1e-3,), (0.0, 3.2e-4), (0.5, 2.0)])
def test_curves_of_few_levels(tmp_path, levels):
  rows = [result_rows.row(noise_variance=level) for level in levels]
  picture = figures.curves(rows, tmp_path / "curves.png")
  assert _count(picture, curves_lib.COLORS["sr2"][0]) > 50


def test_curves_survive_numbers_that_are_not_finite(tmp_path):
  rows = [*result_rows.rows("fsrcnn", 0.5), *result_rows.rows("wdsr", math.nan)]
  picture = figures.curves(rows, tmp_path / "curves.png")
  assert _count(picture, curves_lib.COLORS["trunk"][0]) > 300


def test_curves_ignore_the_users_settings(tmp_path):
  expected = figures.curves(result_rows.run(), tmp_path / "curves.png")
  with matplotlib.rc_context({"font.size": 4, "font.family": "monospace"}):
    assert np.array_equal(
      figures.curves(result_rows.run(), tmp_path / "a.png"), expected
    )


def test_curves_leave_corruptions_out(tmp_path):
  rows = result_rows.run(seeds=(0,))
  more = rows + result_rows.corrupted("sr2_fsrcnn", 0.1, blur=(1.5, 2.0))
  assert np.array_equal(
    figures.curves(more, tmp_path / "a.png"),
    figures.curves(rows, tmp_path / "b.png"),
  )


@pytest.mark.parametrize(
  "rows",
  [
    [],
    result_rows.corrupted("wdsr", 0.5, blur=(1.5,)),
    [result_rows.row(), result_rows.row(scale=2)],
    [result_rows.row(split="validation")],
  ],
)
def test_curves_need_one_setting(tmp_path, rows):
  with pytest.raises(ValueError, match="one data set and scale"):
    figures.curves(rows, tmp_path / "curves.png")


def test_a_familys_first_line_looks_the_same_everywhere():
  lines = tables.lines(intervals.summarize(result_rows.run()))
  styles = {line.method: s for line, s in figures._styles(lines).items()}
  alone = tables.lines(intervals.summarize([result_rows.row("sr2_fsrcnn")]))
  assert figures._styles(alone)[next(iter(alone))] == styles["sr2_fsrcnn"]
  many = tables.lines(
    intervals.summarize(
      [result_rows.row(loss_weight=float(k)) for k in range(9)]
    )
  )
  looks = [tuple(map(str, s.values())) for s in figures._styles(many).values()]
  assert len(set(looks)) == 9


# Example grids


def _examples(*, channels=1, wrong=()):
  generator = np.random.default_rng(0)
  high_res = generator.uniform(size=(2, 28, 28, channels))
  labels = np.array([7, 3])
  predictions = np.tile(labels, (3, 1))
  for place in wrong:
    predictions[place] = (predictions[place] + 1) % 10
  upscaled = generator.uniform(-0.5, 1.5, size=(3, 2, 28, 28, channels))
  return figures.Grid(
    high_res=high_res.astype(np.float32),
    labels=labels,
    noise_variances=np.array([0.0, 1e-4, 3.2e-3]),
    low_res=generator.uniform(size=(3, 2, 7, 7, channels)),
    columns={"bicubic": upscaled, "fsrcnn": upscaled, "sr2_fsrcnn": upscaled},
    predictions={"sr2_fsrcnn": predictions},
  )


def _contains(picture, cell):
  """Whether the picture shows exactly these pixels somewhere."""
  height, width, _ = cell.shape
  return any(
    np.array_equal(picture[y : y + height, x : x + width], cell)
    for y, x in np.argwhere((picture == cell[0, 0]).all(-1))
  )


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_shows_every_pixel_as_a_square(tmp_path, channels):
  examples = _examples(channels=channels)
  path = tmp_path / "grid.png"
  picture = figures.example_grid(examples, path)
  assert np.array_equal(_read(path), picture)
  images = [
    examples.high_res[1],
    examples.low_res[2, 0],
    examples.columns["sr2_fsrcnn"][1, 1],
  ]
  for image in images:
    levels = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    squares = np.kron(
      levels, np.ones((112 // len(image),) * 2 + (1,), np.uint8)
    )
    assert _contains(picture, np.broadcast_to(squares, (112, 112, 3)))
  # 13 columns; the border is blank, nothing is cut off.
  assert picture.shape[1] > 13 * 112
  edges = [picture[:4], picture[-4:], picture[:, :4], picture[:, -4:]]
  assert all((edge == 255).all() for edge in edges)


def test_a_wrong_class_is_framed_and_a_right_one_is_not(tmp_path):
  pictures = [
    figures.example_grid(_examples(wrong=wrong), tmp_path / "grid.png")
    for wrong in ([], [(2, 0)], [(2, 0), (0, 1)])
  ]
  counts = [_count(picture, "#c04000") for picture in pictures]
  # A frame is at least two pixels wide.
  assert counts[0] == 0
  assert counts[1] > 2 * 4 * 112
  assert counts[2] > 2 * 2 * 4 * 112


def test_a_grid_without_a_classifier(tmp_path):
  examples = dataclasses.replace(_examples(), predictions={})
  picture = figures.example_grid(examples, tmp_path / "grid.png")
  assert _count(picture, "#0072b2") == 0


def test_a_grid_shows_what_is_not_a_number_as_black(tmp_path):
  examples = _examples()
  bad = np.full_like(examples.low_res, np.nan)
  picture = figures.example_grid(
    dataclasses.replace(examples, low_res=bad), tmp_path / "grid.png"
  )
  assert _count(picture, "#000000") >= 6 * 112 * 112


@pytest.mark.parametrize(
  ("name", "shown"),
  [
    ("ant", "ant"),
    ("twelve_signs", "twelve_signs"),
    ("speed_limit_30_kmh", "speed…30_kmh"),
    ("two\nlines", "'two\\nlines'"),
  ],
)
def test_a_class_has_its_name_shortened_if_need_be(name, shown):
  names = [str(k) for k in range(10)]
  names[7] = name
  examples = dataclasses.replace(_examples(), class_names=names)
  [(_, [truth]), *blocks] = figures._blocks(examples)
  assert truth.captions == [(shown, None), ("3", None)]
  assert blocks[0][1][-1].captions == [(shown, True), ("3", True)]


def test_a_name_is_drawn_as_it_stands_and_within_its_cell(tmp_path):
  """Not as a formula; and no wider than what is above it."""
  names = ["$x_$"] * 3 + ["mountainbike"] * 7
  examples = dataclasses.replace(_examples(), class_names=names)
  picture = figures.example_grid(examples, tmp_path / "grid.png")
  below = picture[-(32 + 12) :, 24 - 10 : 24]
  assert (below == 255).all()


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("high_res", np.zeros((2, 28, 28, 2))),
    ("labels", np.zeros(3, int)),
    ("low_res", np.zeros((3, 2, 9, 9, 1))),
    ("low_res", np.zeros((2, 2, 7, 7, 1))),
    ("columns", {"fsrcnn": np.zeros((3, 2, 14, 14, 1))}),
    ("predictions", {"sr2_wdsr": np.zeros((3, 2), int)}),
    ("predictions", {"sr2_fsrcnn": np.zeros((2, 3), int)}),
  ],
)
def test_examples_that_do_not_fit_are_refused(name, value):
  with pytest.raises(ValueError, match=r"shape|channels|divide|column"):
    dataclasses.replace(_examples(), **{name: value})
