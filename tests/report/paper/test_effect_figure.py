import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from sr2_jax.report.paper import effect_figure, verdicts
from sr2_jax.report.paper import measurements as measurements_lib
from tests import paper_world

PAIR = effect_figure.pair("fsrcnn", 4)


def _count(picture, color):
  with Image.open(io.BytesIO(picture.png)) as image:
    pixels = np.asarray(image.convert("RGB")).astype(int)
  rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
  return int((abs(pixels - rgb) <= 2).all(-1).sum())


def _write(folder, *, epochs=(1, 3), effect=0.01, seeds=(0, 1, 2)):
  for after in epochs:
    for method, value in (
      ("sr2_fsrcnn", 0.8 + effect * after),
      ("sr_continued_fsrcnn", 0.8),
    ):
      paper_world.write_run(
        folder / method,
        method,
        lambda metric, level, seed, _, value=value: value + 0.1 * seed,
        budget=(7, after),
        step=100 * after,
        arrays=False,
        seeds=seeds,
      )
  return measurements_lib.read(folder, split="test")


def test_a_pair_is_sr2_and_its_control():
  assert PAIR.proposed.method == "sr2_fsrcnn"
  assert (PAIR.control.method, PAIR.control.loss_weight) == (
    "sr_continued_fsrcnn", 0.0,
  )  # fmt: skip
  assert PAIR.paper == pytest.approx(0.032)
  on_svhn = effect_figure.pair(
    "wdsr", 2, dataset="svhn_cropped", shared_layers=4
  )
  assert on_svhn.paper is None
  assert on_svhn.control.shared_layers == 4


def test_differences_are_of_the_last_step_or_the_epochs_asked_for(tmp_path):
  measurements = _write(tmp_path)
  last = PAIR.estimate(measurements, 1e-4)
  assert last.value == pytest.approx(0.03)
  assert last.by_seed == pytest.approx((0.03, 0.03, 0.03), 1e-5)
  first = PAIR.estimate(measurements, 1e-4, budget=(7, 1))
  assert first.value == pytest.approx(0.01, 1e-5)


def test_a_picture_over_noise_has_all_that_the_caption_names(tmp_path):
  measurements = _write(tmp_path)
  picture = effect_figure.over_noise(
    measurements, [PAIR], stem="a", title="MNIST x4"
  )
  assert _count(picture, "#009E73") > 300  # The curve.
  assert _count(picture, "#D55E00") > 100  # The paper's number.
  assert _count(picture, "#E4E4E4") > 1000  # The margin.
  ElementTree.fromstring(picture.svg)
  assert picture.alt.endswith("MNIST x4, 3 seeds: FSRCNN")
  again = effect_figure.over_noise(
    measurements, [PAIR], stem="a", title="MNIST x4"
  )
  assert (picture.png, picture.svg) == (again.png, again.svg)


def test_a_picture_over_epochs_needs_rows_that_say_them(tmp_path):
  picture = effect_figure.over_epochs(_write(tmp_path / "a"), PAIR, stem="b")
  assert _count(picture, "#009E73") > 100
  paper_world.write_run(tmp_path / "c", "sr2_fsrcnn", paper_world.constant(0.7))
  alone = measurements_lib.read(tmp_path / "c", split="test")
  assert effect_figure.over_epochs(alone, PAIR, stem="b") is None
  assert (
    effect_figure.over_noise(alone, [PAIR], stem="a", title="MNIST") is None
  )


def test_the_interval_after_one_number_of_epochs_is_seen(tmp_path):
  """As while the first runs of a sweep are in; there is no line to follow."""
  for method, by_seed in (("sr2_fsrcnn", 0.01), ("sr_continued_fsrcnn", 0.0)):
    paper_world.write_run(
      tmp_path / method,
      method,
      lambda metric, level, seed, _, by_seed=by_seed: 0.8 + by_seed * seed,
      budget=(7, 3),
      step=300,
      arrays=False,
      seeds=(0, 1, 2),
    )
  measurements = measurements_lib.read(tmp_path, split="test")
  picture = effect_figure.over_epochs(measurements, PAIR, stem="b")
  assert _count(picture, "#D1EEE6") > 1000


@pytest.mark.parametrize("effect", [0.0, 0.2, -0.3])
def test_the_axis_holds_every_mean_and_the_margin(tmp_path, effect):
  measurements = _write(tmp_path, epochs=(1,), effect=effect)
  estimate = PAIR.estimate(measurements, 1e-4)
  points = effect_figure._Points([1e-4], [estimate])
  limit = effect_figure._limit({PAIR: points})
  assert limit > max(abs(effect), 0.032, verdicts.MARGIN)
