import math

import numpy as np
import pytest

from sr2_jax.report import intervals
from sr2_jax.report.paper import estimates as estimates_lib
from sr2_jax.report.paper import verdicts

HOLDS, FAILS = verdicts.Verdict.HOLDS, verdicts.Verdict.FAILS
UNDECIDED = verdicts.Verdict.UNDECIDED
ONE_SEED = verdicts.Verdict.ONE_SEED
NOT_RUN = verdicts.Verdict.NOT_RUN
PART = verdicts.Part(text="", terms=())


def _estimate(seeds=None, images=None, num_seeds=3):
  found = [
    None
    if ends is None
    else intervals.Interval(sum(ends) / 2, np.ptp(ends) / 2)
    for ends in (seeds, images)
  ]
  return estimates_lib.Estimate(0.0, tuple(range(num_seeds)), *found, 12)


@pytest.mark.parametrize(
  ("estimate", "expected"),
  [
    (None, NOT_RUN),
    (_estimate((0.1, 0.2)), HOLDS),
    (_estimate((0.1, 0.2), (0.1, 0.2)), HOLDS),
    (_estimate((0.1, 0.2), (-0.1, 0.2)), UNDECIDED),
    (_estimate((-0.1, 0.2), (0.1, 0.2)), UNDECIDED),
    (_estimate((-0.2, -0.1), (-0.2, -0.1)), FAILS),
    (_estimate((-0.2, -0.1), (-0.2, 0.1)), UNDECIDED),
    (_estimate((math.nan, math.nan)), UNDECIDED),
    (_estimate(None, (0.1, 0.2), num_seeds=1), ONE_SEED),
    (_estimate(None, (0.1, 0.2), num_seeds=0), HOLDS),
    (_estimate(None, None, num_seeds=0), UNDECIDED),
  ],
)
def test_a_part_needs_both_intervals(estimate, expected):
  assert verdicts.judge_part(PART, estimate) == expected


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
  part = verdicts.Part(text="", terms=(), low=-0.01, high=0.01)
  assert verdicts.judge_part(part, _estimate(ends)) == expected


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
  ],
)
def test_parts_make_a_claim(parts, all_of, any_of):
  for order in (parts, parts[::-1]):
    assert verdicts._all_of(order) == all_of
    assert verdicts._any_of(order) == any_of
