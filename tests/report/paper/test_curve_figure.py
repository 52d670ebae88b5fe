import dataclasses
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from sr2_jax.report.paper import curve_figure
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values
from tests import paper_world

SUBJECTS = tuple(
  paper_values.subject(method, 4) for method in ("fsrcnn", "sr2_fsrcnn")
)
SPEC = curve_figure.Spec("fig", "MNIST, x4", "ssim", "SSIM", SUBJECTS)


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
  picture = curve_figure.draw(_world(tmp_path), SPEC)
  pixels = _pixels(picture.png)
  assert _count(pixels, "#0072B2") > 500
  assert _count(pixels, "#009E73") > 500
  assert _count(pixels, "#ccece3") > 500  # Green on white, a fifth opaque.
  ElementTree.fromstring(picture.svg)
  assert "FSRCNN, SR² FSRCNN" in picture.alt
  for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
    assert (edge == 255).all()  # Nothing is cut off.


def test_one_seed_has_no_band(tmp_path):
  picture = curve_figure.draw(_world(tmp_path, seeds=(0,)), SPEC)
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
  measurements = measurements_lib.read(tmp_path, split="test")
  assert "2 seeds" in curve_figure.draw(measurements, SPEC).alt
  seeds = curve_figure._panel_seeds(measurements, SUBJECTS, "ssim")
  assert seeds == {0, 1}
  assert not measurements.notes
  points = curve_figure._points(measurements, SUBJECTS[1], "ssim", seeds)
  assert points.levels == [*paper_values.LEVELS]
  assert points.means == pytest.approx([0.8] * 8)
  assert points.half_widths == pytest.approx([0] * 8, abs=1e-6)
  both = curve_figure._points(measurements, SUBJECTS[1], "ssim", {1, 2})
  assert both.means == pytest.approx([0.45] * 8)


def test_a_level_without_all_of_the_seeds_is_left_out(tmp_path):
  for seeds, levels in (((0,), (0.0, 1e-4)), ((1,), (1e-4,))):
    paper_world.write_run(
      tmp_path / str(seeds[0]) / "run",
      "sr2_fsrcnn",
      lambda *_: 0.8,
      seeds=seeds,
      levels=levels,
    )
  measurements = measurements_lib.read(tmp_path, split="test")
  points = curve_figure._points(measurements, SUBJECTS[1], "ssim", {0, 1})
  assert points.levels == [1e-4]


def test_one_run_on_more_images_empties_no_panel(tmp_path):
  methods = ("fsrcnn", "sr2_fsrcnn", "sequential_fsrcnn")
  for method, count in zip(methods, (12, 12, 20), strict=True):
    paper_world.write_run(
      tmp_path / method, method, lambda *_: 0.8, num_images=count
    )
  measurements = measurements_lib.read(tmp_path, split="test")
  subjects = tuple(paper_values.subject(method, 4) for method in methods)
  spec = dataclasses.replace(SPEC, subjects=subjects)
  assert curve_figure.draw(measurements, spec).alt.endswith(
    ": FSRCNN, SR² FSRCNN"
  )


@pytest.mark.parametrize("change", [{"seeds": (5, 6)}, {"num_images": 5}])
def test_a_curve_of_other_seeds_or_images_is_left_out(tmp_path, change):
  for method, settings in (("fsrcnn", {}), ("sr2_fsrcnn", change)):
    paper_world.write_run(tmp_path / method, method, lambda *_: 0.8, **settings)
  measurements = measurements_lib.read(tmp_path, split="test")
  assert curve_figure.draw(measurements, SPEC).alt.endswith(": FSRCNN")
  assert any("no curve of SR² FSRCNN" in note for note in measurements.notes)


def test_curves_of_what_was_not_run_are_none(tmp_path):
  measurements = _world(tmp_path)
  other = dataclasses.replace(SPEC, subjects=(paper_values.subject("wdsr", 4),))
  assert curve_figure.draw(measurements, other) is None
  some = dataclasses.replace(SPEC, subjects=(*SUBJECTS, *other.subjects))
  assert curve_figure.draw(measurements, some).alt.endswith("SR² FSRCNN")


@pytest.mark.parametrize("levels", [(0.0,), (1e-3,), (0.0, 1e-4)])
def test_curves_of_few_levels(tmp_path, levels):
  picture = curve_figure.draw(_world(tmp_path, levels=levels), SPEC)
  assert _count(_pixels(picture.png), "#009E73") > 20


def test_the_same_figure_is_the_same_file(tmp_path):
  measurements = _world(tmp_path)
  first, second = (curve_figure.draw(measurements, SPEC) for _ in range(2))
  assert (first.png, first.svg) == (second.png, second.svg)
