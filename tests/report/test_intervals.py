import dataclasses
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
  assert intervals.interval([0.5, 0.5]) == intervals.Interval(0.5, 0, 2)
  assert math.isnan(intervals.interval([0.5, math.nan]).half_width)


@pytest.mark.parametrize("null", [3.0, 2.5, -1.0])
def test_the_p_value_is_scipys(null):
  values = np.random.default_rng(1).normal(3, 2, 7)
  found = intervals.interval(values)
  expected = stats.ttest_1samp(values, null)
  assert found.p_value(null) == pytest.approx(expected.pvalue, 1e-9)
  for error_rate in (0.05, 0.005):
    wide = dataclasses.replace(found, error_rate=error_rate)
    ends = expected.confidence_interval(1 - error_rate)
    assert (wide.low, wide.high) == pytest.approx(tuple(ends), 1e-9)
    # A test and its interval never disagree.
    is_outside = not wide.low <= null <= wide.high
    assert is_outside == (expected.pvalue < error_rate)


def test_p_values_without_a_spread():
  same = intervals.interval([0.5, 0.5])
  assert (same.p_value(0.5), same.p_value(0.4)) == (1, 0)
  assert math.isnan(intervals.interval([0.5, math.nan]).p_value(0))


@pytest.mark.parametrize("seed", range(20))
def test_holm_is_as_its_adjusted_p_values_say(seed):
  generator = np.random.default_rng(seed)
  p_values = generator.uniform(0, 0.06, 6) ** generator.integers(1, 3, 6)
  order = np.argsort(p_values)
  # Holm (1979): the largest so far of the p-values times the tests left.
  adjusted = np.maximum.accumulate(p_values[order] * np.arange(6, 0, -1))
  rates = np.array(intervals.holm([*p_values], error_rate=0.05))
  np.testing.assert_array_equal((p_values < rates)[order], adjusted < 0.05)
  assert (np.diff(rates[order]) >= 0).all()


def test_holm_by_hand():
  assert intervals.holm([0.03, 0.001, 0.02], error_rate=0.05) == pytest.approx(
    [0.05, 0.05 / 3, 0.025]
  )
  # The first that fails sets the rate of the rest.
  assert intervals.holm([0.02, 0.03, 0.04], error_rate=0.05) == pytest.approx(
    [0.05 / 3] * 3
  )
  assert intervals.holm([math.nan, 0.001], error_rate=0.05) == [0.05, 0.025]
  assert intervals.holm([], error_rate=0.05) == []


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
