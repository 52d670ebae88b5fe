import dataclasses
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from sr2_jax.report.paper import image_figure
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values
from tests import paper_world

SUBJECTS = tuple(
  paper_values.subject(method, 4) for method in ("fsrcnn", "sr2_fsrcnn")
)
SPEC = image_figure.Spec(
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


def test_a_row_shows_the_first_image_of_the_class(tmp_path):
  picture = image_figure.draw(_world(tmp_path), SPEC)
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
  gray = round(255 * bright)
  assert (
    _count(_pixels(picture.png), f"#{gray:02x}{gray:02x}{gray:02x}") > 19000
  )
  ElementTree.fromstring(picture.svg)


def test_a_wrong_class_shows_without_color(tmp_path):
  spec = dataclasses.replace(SPEC, noise_variance=1e-2)
  picture = image_figure.draw(_world(tmp_path), spec)
  assert picture.tiles[4].caption == "reads 8 ✗"
  assert picture.tiles[4].tone == "bad"


def test_loss_weights_are_named_where_they_differ(tmp_path):
  columns = tuple(
    paper_values.subject("sr2_fsrcnn", 4, loss_weight=weight)
    for weight in (0.11, 9.0)
  )
  spec = dataclasses.replace(SPEC, columns=columns)
  picture = image_figure.draw(_world(tmp_path), spec)
  assert [tile.name for tile in picture.tiles] == [
    "(a) SR² FSRCNN\nλ = 0.11",
    "(b) SR² FSRCNN\nλ = 9",
  ]


@pytest.mark.parametrize(
  "change", [{"noise_variance": 0.3}, {"label": 11}, {"reference": SUBJECTS[0]}]
)
def test_a_row_without_its_examples(tmp_path, change):
  measurements = _world(tmp_path)
  if "reference" in change:
    (tmp_path / "fsrcnn" / "examples" / "fsrcnn.npz").unlink()
  picture = image_figure.draw(measurements, dataclasses.replace(SPEC, **change))
  if "noise_variance" in change:
    assert all(tile.png is None for tile in picture.tiles)
  else:
    assert picture is None
