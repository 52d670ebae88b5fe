import math

import numpy as np
import pytest
from scipy import stats

from sr2_jax.report import intervals
from tests import result_rows


@pytest.mark.parametrize("count", [2, 3, 10, 50])
def test_the_interval_is_scipys_t_interval(count):
  values = np.random.default_rng(count).normal(3, 2, count)
  found = intervals.interval(values)
  expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
  assert (found.low, found.high) == pytest.approx(tuple(expected), 1e-9)
  assert intervals.interval(values.tolist()) == found


def test_the_interval_of_three_seeds_by_hand():
  # t = 4.302653 for two degrees of freedom, from a printed table.
  expected = 4.302653 * 0.01 / math.sqrt(3)
  found = intervals.interval([0.8, 0.81, 0.79])
  assert found.mean == pytest.approx(0.8)
  assert found.half_width == pytest.approx(expected, 1e-6)


def test_the_interval_at_its_edges():
  assert intervals.interval([]) is None
  assert intervals.interval([0.5]) is None
  assert intervals.interval([0.5, 0.5]) == intervals.Interval(0.5, 0)
  assert math.isnan(intervals.interval([0.5, math.nan]).half_width)


def test_a_summary_averages_over_seeds_only():
  rows = [
    result_rows.row(seed=seed, noise_variance=variance, value=value)
    for variance, values in {
      0.0: (0.9, 0.8, 0.7),
      1e-2: (0.5, 0.5, 0.8),
    }.items()
    for seed, value in enumerate(values)
  ]
  clean, noisy = intervals.summarize(rows)
  assert (clean.noise_variance, noisy.noise_variance) == (0.0, 1e-2)
  assert clean.mean == pytest.approx(0.8)
  assert noisy.mean == pytest.approx(0.6)
  assert clean.half_width == intervals.interval([0.9, 0.8, 0.7]).half_width
  assert clean.seeds == (0, 1, 2)
  assert (clean.loss_weight, clean.phase, clean.n) == (9.0, "joint", 500)


@pytest.mark.parametrize(
  "changes",
  [
    {"experiment": "other"},
    {"method": "fsrcnn"},
    {"dataset": "mnist"},
    {"split": "validation"},
    {"scale": 2},
    {"shared_layers": 4},
    {"l2": 0.1},
    {"loss_weight": 0.11},
    {"phase": "pretrain"},
    {"noise_variance": 1e-2},
    {"corruption": "jpeg", "corruption_level": 50.0},
    {"metric": "f1"},
  ],
)
def test_summaries_keep_other_fields_apart(changes):
  assert (
    len(
      intervals.summarize(
        [result_rows.row(), result_rows.row(seed=1, **changes)]
      )
    )
    == 2
  )


def test_one_seed_counts_once_with_its_last_step():
  rows = [
    result_rows.row(step=600, value=0.8),
    result_rows.row(step=400, value=0.9),
    result_rows.row(seed=1, step=600, value=0.6),
    result_rows.row(seed=1, step=600, value=0.7),
  ]
  [summary] = intervals.summarize(rows)
  assert summary.seeds == (0, 1)
  assert summary.mean == pytest.approx(0.75)


def test_rows_of_other_weights_never_fill_a_gap():
  """Best weights, evaluated at levels and metrics that the last have not."""
  last, best = {"step": 600, "value": 0.8}, {"step": 400, "value": 0.9}
  rows = [
    result_rows.row(**last, noise_variance=0.0, metric="ssim"),
    result_rows.row(**best, noise_variance=0.5, metric="ssim"),
    result_rows.row(**best, noise_variance=0.0, metric="f1"),
  ]
  for some in (rows, rows[::-1]):
    [summary] = intervals.summarize(some)
    assert (summary.mean, summary.metric) == (0.8, "ssim")
  assert len(intervals.summarize(rows[1:])) == 2
  other_split = result_rows.row(**best, split="validation")
  assert len(intervals.summarize([rows[0], other_split])) == 2


def test_the_best_step_of_one_l2_hides_no_other():
  rows = [result_rows.row(step=600, l2=0.01), result_rows.row(step=400, l2=0.1)]
  assert {x.l2 for x in intervals.summarize(rows)} == {0.01, 0.1}


def test_numbers_of_images_that_differ_show():
  [summary] = intervals.summarize(
    [result_rows.row(n=500), result_rows.row(seed=1, n=50)]
  )
  assert (summary.n, summary.n_max) == (50, 500)


def test_corruptions_are_kept_apart_by_kind_and_level():
  rows = [
    result_rows.row(seed=seed, corruption=kind, corruption_level=level)
    for kind in ("speckle", "blur")
    for level in (0.1, 0.2)
    for seed in (0, 1)
  ]
  summaries = intervals.summarize(rows)
  assert [(x.corruption, x.corruption_level) for x in summaries] == [
    ("speckle", 0.1), ("speckle", 0.2), ("blur", 0.1), ("blur", 0.2),
  ]  # fmt: skip
  assert {x.seeds for x in summaries} == {(0, 1)}


def test_rows_of_other_weights_fill_no_gap_among_corruptions():
  rows = [
    result_rows.row(step=600),
    result_rows.row(step=400, corruption="speckle", corruption_level=0.1),
  ]
  [summary] = intervals.summarize(rows)
  assert summary.corruption is None


def test_bicubic_has_no_seeds_and_no_interval():
  [summary] = intervals.summarize([result_rows.row("bicubic")])
  assert summary.seeds == ()
  assert summary.half_width is None
  assert summary.mean == 0.8
