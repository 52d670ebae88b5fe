import dataclasses
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from sr2_jax.report.paper import figures as paper_figures
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values
from tests import paper_world

SUBJECTS = tuple(
  paper_values.subject(method, 4) for method in ("fsrcnn", "sr2_fsrcnn")
)
CURVES = paper_figures.CurvesSpec("fig", "MNIST, x4", "ssim", "SSIM", SUBJECTS)
PANELS = paper_figures.PanelsSpec(
  "fig5",
  1e-3,
  7,
  paper_values.subject("bicubic", 4),
  (
    "truth",
    "input",
    paper_values.subject("bicubic", 4),
    *SUBJECTS,
    paper_values.subject("wdsr", 4),
  ),
)


def _world(folder, **settings):
  for method in ("bicubic", "fsrcnn", "sr2_fsrcnn"):
    metrics = paper_world.METRICS
    if method != "sr2_fsrcnn":
      metrics = metrics[:-1]
    paper_world.write_run(
      folder / method,
      method,
      paper_world.constant(
        0.6 if method == "fsrcnn" else 0.8, seed_spread=0.02
      ),
      metrics=metrics,
      examples=True,
      **settings,
    )
  return measurements_lib.read(folder, split="test")


def _pixels(png):
  with Image.open(io.BytesIO(png)) as image:
    return np.asarray(image.convert("RGB")).astype(int)


def _count(pixels, color):
  rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
  return int((abs(pixels - rgb) <= 2).all(-1).sum())


def test_curves_have_both_methods_and_their_bands(tmp_path):
  picture = paper_figures.curves(_world(tmp_path), CURVES)
  pixels = _pixels(picture.png)
  assert _count(pixels, "#0072B2") > 500
  assert _count(pixels, "#009E73") > 500
  assert _count(pixels, "#ccece3") > 500  # Green on white, a fifth opaque.
  ElementTree.fromstring(picture.svg)
  assert "FSRCNN, SR² FSRCNN" in picture.alt
  for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
    assert (edge == 255).all()  # Nothing is cut off.


def test_one_seed_has_no_band(tmp_path):
  picture = paper_figures.curves(_world(tmp_path, seeds=(0,)), CURVES)
  assert _count(_pixels(picture.png), "#ccece3") < 100


def test_curves_are_of_the_seeds_that_all_have(tmp_path):
  """Seed 2 of SR2 lies apart, and FSRCNN does not have it."""
  for method, seeds in (("fsrcnn", (0, 1)), ("sr2_fsrcnn", (0, 1, 2))):
    paper_world.write_run(
      tmp_path / method,
      method,
      lambda metric, level, seed, weight: 0.1 if seed == 2 else 0.8,
      seeds=seeds,
    )
  known = measurements_lib.read(tmp_path, split="test")
  assert "2 seeds" in paper_figures.curves(known, CURVES).alt
  seeds = paper_figures._shared_seeds(known, SUBJECTS, "ssim")
  assert seeds == {0, 1}
  assert not known.notes
  points = paper_figures._points(known, SUBJECTS[1], "ssim", seeds)
  assert points[1e-4] == pytest.approx((0.8, 0.0), abs=1e-6)
  both = paper_figures._points(known, SUBJECTS[1], "ssim", {1, 2})
  assert both[1e-4][0] == pytest.approx(0.45)


def test_a_level_without_all_of_the_seeds_is_left_out(tmp_path):
  for seeds, levels in (((0,), (0.0, 1e-4)), ((1,), (1e-4,))):
    paper_world.write_run(
      tmp_path / str(seeds[0]) / "run",
      "sr2_fsrcnn",
      lambda *_: 0.8,
      seeds=seeds,
      levels=levels,
    )
  known = measurements_lib.read(tmp_path, split="test")
  points = paper_figures._points(known, SUBJECTS[1], "ssim", {0, 1})
  assert list(points) == [1e-4]


def test_one_run_on_more_images_empties_no_panel(tmp_path):
  methods = ("fsrcnn", "sr2_fsrcnn", "sequential_fsrcnn")
  for method, count in zip(methods, (12, 12, 20), strict=True):
    paper_world.write_run(
      tmp_path / method, method, lambda *_: 0.8, num_images=count
    )
  known = measurements_lib.read(tmp_path, split="test")
  subjects = tuple(paper_values.subject(method, 4) for method in methods)
  spec = dataclasses.replace(CURVES, subjects=subjects)
  assert paper_figures.curves(known, spec).alt.endswith(": FSRCNN, SR² FSRCNN")


@pytest.mark.parametrize("change", [{"seeds": (5, 6)}, {"num_images": 5}])
def test_a_curve_of_other_seeds_or_images_is_left_out(tmp_path, change):
  for method, settings in (("fsrcnn", {}), ("sr2_fsrcnn", change)):
    paper_world.write_run(tmp_path / method, method, lambda *_: 0.8, **settings)
  known = measurements_lib.read(tmp_path, split="test")
  assert paper_figures.curves(known, CURVES).alt.endswith(": FSRCNN")
  assert any("no curve of SR² FSRCNN" in note for note in known.notes)


def test_curves_of_what_was_not_run_are_none(tmp_path):
  known = _world(tmp_path)
  other = dataclasses.replace(
    CURVES, subjects=(paper_values.subject("wdsr", 4),)
  )
  assert paper_figures.curves(known, other) is None
  some = dataclasses.replace(CURVES, subjects=(*SUBJECTS, *other.subjects))
  assert paper_figures.curves(known, some).alt.endswith("SR² FSRCNN")


@pytest.mark.parametrize("levels", [(0.0,), (1e-3,), (0.0, 1e-4)])
def test_curves_of_few_levels(tmp_path, levels):
  picture = paper_figures.curves(_world(tmp_path, levels=levels), CURVES)
  assert _count(_pixels(picture.png), "#009E73") > 20


def test_the_same_figure_is_the_same_file(tmp_path):
  known = _world(tmp_path)
  first, second = (paper_figures.curves(known, CURVES) for _ in range(2))
  assert (first.png, first.svg) == (second.png, second.svg)


def test_panels_show_the_first_image_of_the_class(tmp_path):
  picture = paper_figures.panels(_world(tmp_path), PANELS)
  names = [tile.name for tile in picture.tiles]
  assert names == [
    "(a) Truth",
    "(b) Input",
    "(c) Bicubic",
    "(d) FSRCNN",
    "(e) SR² FSRCNN",
    "(f) WDSR",
  ]
  # Of 20 images the first 7 is number 14; the level is the sixth of eight.
  bright = np.linspace(0.1, 1, 20)[14]
  dark = np.linspace(1, 0.5, 8)[5]
  for tile, value in zip(
    picture.tiles[:5], (bright, *[bright * dark] * 4), strict=True
  ):
    tile_pixels = _pixels(tile.png)
    assert tile_pixels.shape == (140, 140, 3)
    assert (abs(tile_pixels - 255 * value) < 1).all(), tile.name
  assert picture.tiles[5].png is None
  assert [tile.caption for tile in picture.tiles] == [
    "7", "", "", "", "reads 7 ✓", "",
  ]  # fmt: skip
  # The file holds the same pixels, unscaled.
  grey = round(255 * bright)
  assert (
    _count(_pixels(picture.png), f"#{grey:02x}{grey:02x}{grey:02x}") > 19000
  )
  ElementTree.fromstring(picture.svg)


def test_a_wrong_class_shows_without_colour(tmp_path):
  spec = dataclasses.replace(PANELS, noise_variance=1e-2)
  picture = paper_figures.panels(_world(tmp_path), spec)
  assert picture.tiles[4].caption == "reads 8 ✗"
  assert picture.tiles[4].tone == "bad"


def test_loss_weights_are_named_where_they_differ(tmp_path):
  columns = tuple(
    paper_values.subject("sr2_fsrcnn", 4, loss_weight=weight)
    for weight in (0.11, 9.0)
  )
  spec = dataclasses.replace(PANELS, columns=columns)
  picture = paper_figures.panels(_world(tmp_path), spec)
  assert [tile.name for tile in picture.tiles] == [
    "(a) SR² FSRCNN\nλ = 0.11",
    "(b) SR² FSRCNN\nλ = 9",
  ]


@pytest.mark.parametrize(
  "change", [{"noise_variance": 0.3}, {"label": 11}, {"reference": SUBJECTS[0]}]
)
def test_panels_without_their_examples(tmp_path, change):
  known = _world(tmp_path)
  if "reference" in change:
    (tmp_path / "fsrcnn" / "examples" / "fsrcnn.npz").unlink()
  picture = paper_figures.panels(known, dataclasses.replace(PANELS, **change))
  if "noise_variance" in change:
    assert all(tile.png is None for tile in picture.tiles)
  else:
    assert picture is None
