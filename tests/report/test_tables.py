import math
import re

import pytest

from sr2_jax.report import tables
from tests import result_rows


def _lines(text):
  """The lines of a table below its rule."""
  return text.split("-\n", 1)[1].splitlines()


def test_a_table_in_full():
  rows = [
    result_rows.row("sr2_fsrcnn", seed=0, value=0.84),
    result_rows.row("sr2_fsrcnn", seed=1, value=0.85),
    result_rows.row("sr2_fsrcnn", seed=2, value=0.86),
    result_rows.row("sr2_fsrcnn", noise_variance=3.2e-5, seed=0, value=0.8),
    result_rows.row("bicubic", value=0.346),
    result_rows.row("bicubic", noise_variance=3.2e-5, value=0.9),
    result_rows.row("bicubic", split="validation", value=0.1),
    result_rows.row("bicubic", metric="psnr_db", value=10.0),
  ]
  # 4.302653 (t for two degrees of freedom) * 0.01 / sqrt(3) = 0.0248.
  assert tables.table(rows, metric="ssim", split="test") == (
    "SSIM (Gaussian 11x11 window, sigma 1.5, range 1): "
    "mnist5k test, x4, 500 images, 1-3 seeds\n"
    "mean ± half the 95 % interval over seeds; * best of its column\n"
    "noise variance  0            3.2e-5\n"
    "-----------------------------------\n"
    "bicubic         0.346        0.900*\n"
    "sr2_fsrcnn      0.850±.025*  0.800\n"
  ).removesuffix("\n")


def test_a_table_of_one_seed_has_no_interval():
  text = tables.table(result_rows.run(seeds=(3,)), metric="ssim", split="test")
  assert "±" not in text
  assert "1 seed\n* best" in text


def test_eight_levels_of_three_seeds_fit_a_terminal():
  rows = result_rows.run() + result_rows.rows("sequential_fsrcnn", 0.7)
  text = tables.table(rows, metric="ssim", split="test")
  assert 100 < max(map(len, text.splitlines())) <= 120
  header = text.splitlines()[2]
  assert header.split()[2:] == [
    "0", "1e-5", "3.2e-5", "1e-4", "3.2e-4", "1e-3", "3.2e-3", "1e-2",
  ]  # fmt: skip
  # Every cell begins where its heading does.
  starts = [match.start() for match in re.finditer(r"\S+", header)][2:]
  for line in _lines(text):
    assert [match.start() for match in re.finditer(r"\S+", line)][1:] == starts


def test_methods_come_in_the_order_of_the_paper():
  methods = [
    "sr2_wdsr", "sequential_fsrcnn", "wdsr", "sr2_fsrcnn", "bicubic",
    "sequential_wdsr", "fsrcnn", "srmd", "sr_continued_wdsr",
  ]  # fmt: skip
  rows = [result_rows.row(method) for method in methods]
  text = tables.table(rows, metric="ssim", split="test")
  assert [line.split()[0] for line in _lines(text)] == [
    "bicubic", "fsrcnn", "wdsr", "sr_continued_wdsr", "srmd",
    "sequential_fsrcnn", "sequential_wdsr", "sr2_fsrcnn", "sr2_wdsr",
  ]  # fmt: skip


def test_names_say_what_differs_and_no_more():
  rows = [
    result_rows.row("wdsr"),
    result_rows.row("sequential_wdsr", loss_weight=0.11),
    result_rows.row("sequential_wdsr", loss_weight=0.11, l2=0.1),
    result_rows.row("sr2_wdsr", loss_weight=9.0),
    result_rows.row("sr2_wdsr", loss_weight=0.11),
    result_rows.row("sr2_wdsr", loss_weight=9.0, shared_layers=4),
    result_rows.row("fsrcnn", experiment="first"),
    result_rows.row("fsrcnn", experiment="second"),
    result_rows.row("bicubic", experiment="first"),
    result_rows.row("bicubic", experiment="second"),
  ]
  text = tables.table(rows, metric="ssim", split="test")
  assert [line.rsplit("  ", 1)[0].rstrip() for line in _lines(text)] == [
    "bicubic",
    "fsrcnn, first",
    "fsrcnn, second",
    "wdsr",
    "sequential_wdsr, L2=0.01",
    "sequential_wdsr, L2=0.1",
    "sr2_wdsr, λ=0.11",
    "sr2_wdsr, λ=9, 1 shared",
    "sr2_wdsr, λ=9, 4 shared",
  ]


@pytest.mark.parametrize(
  ("metric", "best"),
  [("ssim", 2), ("psnr_db", 2), ("loss_sr", 0), ("loss_classifier", 0)],
)
def test_the_best_is_the_least_of_a_loss_and_the_most_else(metric, best):
  rows = [
    result_rows.row(method, metric=metric, value=value)
    for method, value in {"bicubic": 0.1, "fsrcnn": 0.2, "wdsr": 0.3}.items()
  ]
  lines = _lines(tables.table(rows, metric=metric, split="test"))
  assert [line.endswith("*") for line in lines] == [
    index == best for index in range(3)
  ]


def test_decimal_points_stand_below_each_other():
  rows = [
    result_rows.row("bicubic", metric="psnr_db", value=9.346),
    result_rows.row("fsrcnn", metric="psnr_db", value=23.5),
    result_rows.row("wdsr", metric="psnr_db", value=-0.5),
  ]
  lines = _lines(tables.table(rows, metric="psnr_db", split="test"))
  assert len({line.index(".") for line in lines}) == 1


@pytest.mark.parametrize("wide", [(0.0, 0.16), (0.0, math.nan)])
def test_wide_and_narrow_intervals_stand_below_each_other(wide):
  values = {"fsrcnn": (0.9, 0.904), "wdsr": wide, "sr2_fsrcnn": (0.9, 0.904)}
  rows = [
    result_rows.row(
      method,
      metric="accuracy",
      noise_variance=level,
      seed=seed,
      value=value,
    )
    for method, pair in values.items()
    for level in (0.0, 1e-2)
    for seed, value in enumerate(pair)
  ]
  lines = _lines(tables.table(rows, metric="accuracy", split="test"))
  # 12.7062 (t for one degree of freedom) * 0.16 / 2 = 1.016.
  expected = "± nan" if math.isnan(wide[1]) else "±1.016"
  assert lines[1].count(expected) == 2
  for line in lines:
    assert [match.start() for match in re.finditer("±", line)] == [
      match.start() for match in re.finditer("±", lines[0])
    ]
  stars = [match.start() for match in re.finditer(r"\*", lines[0])]
  assert len(stars) == 2
  assert stars == [match.start() for match in re.finditer(r"\*", lines[2])]


def test_what_is_missing_or_not_a_number_shows():
  rows = [
    result_rows.row("fsrcnn", value=math.nan),
    result_rows.row("wdsr", value=0.5),
    result_rows.row("wdsr", value=0.5, noise_variance=1e-2),
  ]
  lines = _lines(tables.table(rows, metric="ssim", split="test"))
  assert lines[0].split() == ["fsrcnn", "nan", "-"]
  assert lines[1].split() == ["wdsr", "0.500*", "0.500*"]


def test_each_data_set_and_scale_has_its_own_table():
  rows = [
    result_rows.row(),
    result_rows.row(scale=2),
    result_rows.row(dataset="mnist", n=10_000),
  ]
  blocks = tables.table(rows, metric="ssim", split="test").split("\n\n")
  assert [block.splitlines()[0].split(": ")[1] for block in blocks] == [
    "mnist5k test, x4, 500 images, 1 seed",
    "mnist5k test, x2, 500 images, 1 seed",
    "mnist test, x4, 10,000 images, 1 seed",
  ]
  assert tables.table(rows, metric="f1", split="test") == ""


def test_a_table_of_corruptions_in_full():
  levels = {"jpeg": (10, 50), "speckle": (0.05,)}
  rows = [
    *result_rows.corrupted("sr2_fsrcnn", 0.85, **levels),
    *result_rows.corrupted("bicubic", 0.35, **levels),
    *result_rows.run(),
    result_rows.row(
      "wdsr", corruption="blur", corruption_level=1.5, split="validation"
    ),
  ]
  assert tables.corruption_table(rows, metric="ssim", split="test") == (
    "SSIM (Gaussian 11x11 window, sigma 1.5, range 1): "
    "mnist5k test, x4, 500 images, 1 seed\n"
    "* best of its column\n"
    "\n"
    "Speckle, variance  0.05\n"
    "-------------------------\n"
    "bicubic            0.350\n"
    "sr2_fsrcnn         0.850*\n"
    "\n"
    "JPEG, quality  10      50\n"
    "-----------------------------\n"
    "bicubic        0.350   0.250\n"
    "sr2_fsrcnn     0.850*  0.750*"
  )
  assert tables.corruption_table(rows, metric="f1", split="test") == ""


def test_corruptions_are_not_in_the_table_over_noise():
  rows = result_rows.run()
  more = rows + result_rows.corrupted("sr2_fsrcnn", 0.1, jpeg=(10,))
  assert tables.table(more, metric="ssim", split="test") == (
    tables.table(rows, metric="ssim", split="test")
  )
  assert tables.corruption_table(rows, metric="ssim", split="test") == ""


@pytest.mark.parametrize(
  ("value", "plain", "figure"),
  [
    (0.0, "0", "0"),
    (1e-2, "1e-2", "10⁻²"),
    (3.2e-5, "3.2e-5", "3.2·10⁻⁵"),
    (1.0, "1e0", "10⁰"),
    (25.0, "2.5e1", "2.5·10¹"),
  ],
)
def test_numbers_of_noise(value, plain, figure):
  assert tables.number(value) == plain
  assert tables.display_number(value) == figure


def test_what_is_not_trained_here_is_one_line_of_several_experiments():
  rows = [
    result_rows.row(method, experiment=experiment, phase="none", seed=None)
    for experiment in ("first", "second")
    for method in ("bicubic", "srmd")
  ]
  rows.append(result_rows.row("srmd_retrained", phase="pretrain"))
  text = tables.table(rows, metric="ssim", split="test")
  assert [line.split()[0] for line in _lines(text)] == [
    "bicubic", "srmd", "srmd_retrained",
  ]  # fmt: skip
