import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from sr2_jax.records import rows as rows_lib
from sr2_jax.report import intervals
from sr2_jax.report.paper import estimates as estimates_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values
from sr2_jax.report.paper import verdicts
from tests import paper_world

HOLDS, FAILS = verdicts.Verdict.HOLDS, verdicts.Verdict.FAILS
EQUIVALENT = verdicts.Verdict.EQUIVALENT
EXCLUDED = verdicts.Verdict.EXCLUDED
UNDECIDED = verdicts.Verdict.UNDECIDED
ONE_SEED = verdicts.Verdict.ONE_SEED
NOT_RUN = verdicts.Verdict.NOT_RUN
M = verdicts.MARGIN
LEVEL = rows_lib.Condition(1e-4)
SR2, CONTROL = (
  paper_values.subject(method, 4)
  for method in ("sr2_fsrcnn", "sr_continued_fsrcnn")
)
TERMS = tuple(
  estimates_lib.Term(weight, subject, "ssim", LEVEL)
  for weight, subject in ((1.0, SR2), (-1.0, CONTROL))
)
PART = verdicts.Part(text="", terms=TERMS, paper=0.032)


def _judge(part, low, high, *, seeds=(0, 1, 2)):
  middle, half = (low + high) / 2, (high - low) / 2
  quantile = stats.t.ppf(0.975, 2)
  interval = intervals.Interval(middle, half / quantile, 3)
  estimate = estimates_lib.Estimate(middle, seeds, interval, None, 0)
  return verdicts.judge_part(part, estimate, interval)


def test_the_margin_is_a_hundredth():
  assert M == 0.01


@pytest.mark.parametrize(
  ("low", "high", "expected"),
  [
    (-0.009, 0.009, EQUIVALENT),
    # Inside the margin comes first, whatever the sign.
    (0.001, 0.009, EQUIVALENT),
    (-0.009, -0.001, EQUIVALENT),
    (0.001, 0.011, HOLDS),
    (0.05, 0.06, HOLDS),
    (-0.011, -0.001, FAILS),
    (-0.011, 0.031, EXCLUDED),
    (-0.011, 0.033, UNDECIDED),
    (-0.05, 0.02, EXCLUDED),
  ],
)
def test_the_rules_in_their_order(low, high, expected):
  assert _judge(PART, low, high) == expected
  # A claim that something is below 0 is the same, mirrored.
  below = dataclasses.replace(PART, low=-math.inf, high=0.0, paper=-0.032)
  assert _judge(below, -high, -low) == expected


@pytest.mark.parametrize(
  ("interval", "expected"),
  [
    # At an end of the margin, of the range, or at the paper's number itself.
    (intervals.Interval(M, 0.0, 3), HOLDS),
    (intervals.Interval(-M, 0.0, 3), FAILS),
    (intervals.Interval(math.nextafter(M, 0), 0.0, 3), EQUIVALENT),
    (intervals.Interval(0.0, 0.0, 3), EQUIVALENT),
    (intervals.Interval(0.032, 0.0, 3), HOLDS),
    (intervals.Interval(math.nan, math.nan, 3), UNDECIDED),
    (None, UNDECIDED),
  ],
)
def test_at_the_boundaries(interval, expected):
  estimate = estimates_lib.Estimate(0.0, (0, 1, 2), interval, None, 0)
  assert verdicts.judge_part(PART, estimate, interval) == expected


def test_the_papers_number_at_the_end_of_the_interval_is_not_excluded():
  part = dataclasses.replace(PART, paper=0.5)
  interval = intervals.Interval(0.25, 0.25 / stats.t.ppf(0.975, 2), 3)
  part = dataclasses.replace(part, paper=interval.high, low=0.1)
  estimate = estimates_lib.Estimate(0.25, (0, 1, 2), interval, None, 0)
  assert verdicts.judge_part(part, estimate, interval) == UNDECIDED
  beyond = dataclasses.replace(part, paper=math.nextafter(interval.high, 1))
  assert verdicts.judge_part(beyond, estimate, interval) == EXCLUDED


def test_without_seeds_or_numbers():
  assert verdicts.judge_part(PART, None, None) == NOT_RUN
  assert _judge(PART, 0.1, 0.2, seeds=(0,)) == ONE_SEED
  unknown = dataclasses.replace(PART, paper=None)
  assert _judge(unknown, -0.02, 0.02) == UNDECIDED


@pytest.mark.parametrize(
  ("changes", "margin"),
  [
    ({}, M),
    ({"low": -math.inf, "high": 0.0}, M),
    ({"low": 0.1}, None),
    ({"low": -M, "high": M}, None),
    ({"relative": True}, None),
    (
      {"terms": tuple(dataclasses.replace(x, metric="loss_sr") for x in TERMS)},
      None,
    ),
    (
      {
        "terms": tuple(dataclasses.replace(x, metric="accuracy") for x in TERMS)
      },
      M,
    ),
  ],
)
def test_where_the_margin_applies(changes, margin):
  part = dataclasses.replace(PART, **changes)
  assert part.margin == margin


@pytest.mark.parametrize(
  ("ends", "expected"),
  [
    ((-0.005, 0.005), HOLDS),
    ((-0.005, 0.02), UNDECIDED),
    ((0.02, 0.03), FAILS),
    ((-0.03, -0.02), FAILS),
    ((-0.03, 0.03), UNDECIDED),
  ],
)
def test_comparable_means_all_of_the_interval_within_the_bounds(ends, expected):
  part = verdicts.Part(text="", terms=TERMS, low=-M, high=M)
  assert _judge(part, *ends) == expected


def test_a_bound_is_where_the_claim_names_it():
  part = verdicts.Part(text="", terms=TERMS, low=0.1, paper=0.3)
  assert _judge(part, 0.11, 0.2) == HOLDS
  assert _judge(part, 0.05, 0.09) == FAILS
  assert _judge(part, 0.05, 0.2) == EXCLUDED
  assert _judge(part, 0.05, 0.4) == UNDECIDED
  below = verdicts.Part(text="", terms=TERMS, low=-math.inf, high=0.1)
  assert _judge(below, 0.05, 0.09) == HOLDS
  assert _judge(below, 0.11, 0.2) == FAILS


@pytest.mark.parametrize(
  ("parts", "all_of", "any_of"),
  [
    ([HOLDS, HOLDS], HOLDS, HOLDS),
    ([HOLDS, FAILS], FAILS, HOLDS),
    ([FAILS, FAILS], FAILS, FAILS),
    ([HOLDS, UNDECIDED], UNDECIDED, HOLDS),
    ([FAILS, UNDECIDED], FAILS, UNDECIDED),
    ([HOLDS, NOT_RUN], NOT_RUN, HOLDS),
    ([FAILS, NOT_RUN], FAILS, NOT_RUN),
    ([HOLDS, ONE_SEED], ONE_SEED, HOLDS),
    ([FAILS, ONE_SEED], FAILS, ONE_SEED),
    ([HOLDS, EQUIVALENT], EQUIVALENT, HOLDS),
    ([FAILS, EQUIVALENT], FAILS, EQUIVALENT),
    ([NOT_RUN, EQUIVALENT], EQUIVALENT, NOT_RUN),
    ([EXCLUDED, EQUIVALENT], EQUIVALENT, EXCLUDED),
    ([EXCLUDED, UNDECIDED], EXCLUDED, UNDECIDED),
  ],
)
def test_parts_make_a_claim(parts, all_of, any_of):
  for order in (parts, parts[::-1]):
    assert min(order, key=verdicts._ALL_OF.index) == all_of
    assert min(order, key=verdicts._ANY_OF.index) == any_of
  assert {*verdicts._ALL_OF} == {*verdicts._ANY_OF} == {*verdicts.Verdict}


def _claim(section, *parts):
  return verdicts.Claim(
    quote="", where="", criterion="", parts=parts, section=section
  )


def test_verdicts_are_corrected_within_their_section(tmp_path):
  """Against SciPy: p-values of paired tests, ordered by Holm's method."""
  levels = paper_values.LEVELS[:4]
  generator = np.random.default_rng(3)
  effects = np.array([0.2, 0.03, 0.018, 0.002])
  values = {
    "sr2_fsrcnn": 0.5 + effects[:, None] + generator.normal(0, 0.01, (4, 5)),
    "sr_continued_fsrcnn": 0.5 + generator.normal(0, 0.01, (4, 5)),
  }
  for method, of in values.items():
    paper_world.write_run(
      tmp_path / method,
      method,
      lambda metric, level, seed, _, of=of: of[levels.index(level), seed],
      seeds=range(5),
      levels=levels,
      metrics=("ssim",),
      arrays=False,
    )
  measurements = measurements_lib.read(tmp_path, split="test")
  parts = [
    verdicts.Part(
      text="",
      terms=tuple(
        dataclasses.replace(term, condition=rows_lib.Condition(level))
        for term in TERMS
      ),
    )
    for level in levels
  ]
  together = _claim("a", *parts), _claim("a", parts[0])
  alone = _claim("b", parts[3])
  rulings = verdicts.judge(measurements, [*together, alone])

  tests = [
    stats.ttest_rel(a.astype(np.float32), b.astype(np.float32))
    for a, b in zip(*values.values(), strict=True)
  ]
  order = np.argsort([test.pvalue for test in tests])
  rate, is_open = 0.0, True
  for place, index in enumerate(order):
    if is_open:
      rate = 0.05 / (4 - place)  # The sum that occurs twice counts once.
      is_open = tests[index].pvalue < rate
    ends = tests[index].confidence_interval(1 - rate)
    found = rulings[0].findings[index].interval
    assert (found.low, found.high) == pytest.approx(tuple(ends), rel=1e-4)
  # What is corrected with less is judged by a narrower interval.
  [single] = rulings[2].findings
  assert single.interval.error_rate == 0.05
  assert single.interval.half_width < rulings[0].findings[3].interval.half_width
  # The interval that is shown beside it is at 95 %.
  assert single.estimate.over_seeds.error_rate == 0.05
