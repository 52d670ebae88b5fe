"""Judges sentences about measurements: parts, intervals, verdicts.

A claim is a sentence and one or several parts. A part is a sum of measurements
(`estimates`) and the range that it is in if the sentence is true. No JAX.
"""

import dataclasses
import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any

from sr2_jax.report import intervals
from sr2_jax.report.paper import estimates as estimates_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values

IN_UNITS_OF_THE_MARGIN = {*paper_values.SSIMS, "accuracy"}
# Differences within this are equal for practical purposes: a hundredth of SSIM
# or of accuracy (one point). Fixed on 29 November 2026, before the first of the
# runs that decide (P1 of docs/reproduction.md) had started.
MARGIN = 0.01
# How often a section of claims may have one or more false verdicts.
ERROR_RATE = 0.05


class Verdict(enum.Enum):
  """Outcome of holding a sentence against the measurements."""

  HOLDS = "holds"
  FAILS = "does not hold"
  EQUIVALENT = "equivalent"
  EXCLUDED = "excludes the paper's effect"
  UNDECIDED = "undecided"
  ONE_SEED = "undecided (one seed)"
  NOT_RUN = "not run"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
  """One sum, and the range that it is in if the sentence is true.

  Attributes:
    text: what the sum is, in words.
    terms: the sum.
    low: lower end of the range.
    high: upper end of the range; one of the two may be infinite.
    paper: the sum of the paper's own numbers, if it gives them.
    relative: the terms are numerator and denominator of `estimates.relative`.
  """

  text: str
  terms: tuple[estimates_lib.Term, ...]
  low: float = 0.0
  high: float = math.inf
  paper: float | None = None
  relative: bool = False

  @property
  def margin(self) -> float | None:
    """MARGIN where it applies: "more than" as a difference of SSIM or accuracy.

    Not to a ratio, to another metric, nor where the sentence names its own
    bound, such as "more than ten points".
    """
    has_bound = 0.0 not in (self.low, self.high)
    metrics = {term.metric for term in self.terms}
    if self.relative or has_bound or not metrics <= IN_UNITS_OF_THE_MARGIN:
      return None
    return MARGIN

  def excess(self, value: float) -> float:
    """How far a value is beyond the bound, in the claimed direction."""
    return value - self.low if math.isinf(self.high) else self.high - value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
  """A sentence of the paper.

  Attributes:
    quote: the sentence, or the part of it that is tested, word for word.
    where: its place in the paper.
    criterion: when it counts as true, in words.
    parts: all of them have to hold.
    any_part: one part that holds is enough.
    is_verbatim: False for what the paper shows but does not say.
    section: of the paper; the claims of one are corrected together.
  """

  quote: str
  where: str
  criterion: str
  parts: tuple[Part, ...]
  any_part: bool = False
  is_verbatim: bool = True
  section: str = ""


@dataclasses.dataclass(frozen=True)
class Finding:
  """Estimate for a part, the interval that decides, and the verdict.

  The interval is over seeds, as wide as Holm's method asks for. It is None for
  one seed.
  """

  part: Part
  estimate: estimates_lib.Estimate | None
  interval: intervals.Interval | None
  verdict: Verdict


@dataclasses.dataclass(frozen=True)
class Ruling:
  """The findings on a claim, and the verdict."""

  claim: Claim
  findings: tuple[Finding, ...]
  verdict: Verdict


def judge(
  measurements: measurements_lib.Measurements, claims: Sequence[Claim]
) -> list[Ruling]:
  """The rulings on claims, by the rules that `RULES` states in words.

  Args:
    measurements: what the claims are held against.
    claims: all of each section, because they are corrected together.
  """
  estimates = {
    part: _estimate(measurements, part)
    for claim in claims
    for part in claim.parts
  }
  deciding = {}
  for section in dict.fromkeys(claim.section for claim in claims):
    parts = [
      part
      for claim in claims
      if claim.section == section
      for part in claim.parts
    ]
    deciding[section] = _deciding_intervals(parts, estimates)
  rulings = []
  for claim in claims:
    found = deciding[claim.section]
    findings = tuple(
      Finding(
        part,
        estimates[part],
        found.get(part),
        judge_part(part, estimates[part], found.get(part)),
      )
      for part in claim.parts
    )
    order = _ANY_OF if claim.any_part else _ALL_OF
    verdict = min((x.verdict for x in findings), key=order.index)
    rulings.append(Ruling(claim, findings, verdict))
  return rulings


RULES = (
  "A part of a claim is a number (a difference, a difference of differences, a "
  "slope) and the range that it is in if the sentence is true.",
  "The number is computed for each seed, from networks that all have it and "
  "that were trained for as many epochs, and then averaged over the seeds. "
  "“± …” is half its 95 % t-interval over the seeds.",
  "Verdicts are corrected for the number of tests. Within a section of claims, "
  "Holm's method orders the p-values of the paired t-tests of all parts "
  "against the ends of their ranges; a sum that occurs twice counts once. Each "
  "part gets an error rate between 5 % divided by the number of tests and 5 %. "
  "The verdict uses the interval at that error rate, which is wider than ±.",
  f"Let [a, b] be that interval in the claimed direction, m = {MARGIN:g} the "
  "margin, and p the paper's own number. In this order: inside ±m: equivalent; "
  "a above 0: holds; b below 0: does not hold; p outside [a, b]: excludes the "
  "paper's effect; otherwise undecided. Where the sentence names a bound, 0 is "
  "that bound. Where it names two, the part holds inside them and does not "
  "hold outside.",
  "The margin is one hundredth of SSIM, or one point of accuracy (of a slope: "
  "per decade of noise). It does not apply to ratios, to errors, and where the "
  "sentence names a bound.",
  "With one seed there is no interval, and the verdict is undecided.",
  "A claim has the verdict of the part that decides: it does not hold if one "
  "part does not, else it is equivalent if one part is, and so on. It holds if "
  "all parts do. A claim “at some level” holds if one part does. If a part was "
  "not run and the others do not settle the claim, it counts as not run.",
  "Test images are another source of chance. Where scores of single images are "
  "at hand, “images” is half the 95 % interval over them. It does not enter "
  "the verdict.",
)


def judge_part(
  part: Part,
  estimate: estimates_lib.Estimate | None,
  interval: intervals.Interval | None,
) -> Verdict:
  """The verdict on a part, from where its interval over seeds is."""
  if estimate is None:
    return Verdict.NOT_RUN
  if len(estimate.seeds) == 1:
    return Verdict.ONE_SEED
  if interval is None or math.isnan(interval.half_width):
    return Verdict.UNDECIDED
  if not (math.isinf(part.low) or math.isinf(part.high)):
    if part.low < interval.low and interval.high < part.high:
      return Verdict.HOLDS
    if interval.high < part.low or part.high < interval.low:
      return Verdict.FAILS
    return Verdict.UNDECIDED
  low, high = sorted((part.excess(interval.low), part.excess(interval.high)))
  if part.margin is not None and -part.margin < low and high < part.margin:
    return Verdict.EQUIVALENT
  if low > 0:
    return Verdict.HOLDS
  if high < 0:
    return Verdict.FAILS
  if part.paper is not None and not low <= part.excess(part.paper) <= high:
    return Verdict.EXCLUDED
  return Verdict.UNDECIDED


def _estimate(
  measurements: measurements_lib.Measurements, part: Part
) -> estimates_lib.Estimate | None:
  if part.relative:
    return estimates_lib.relative(measurements, *part.terms)
  return estimates_lib.estimate(measurements, part.terms)


def _deciding_intervals(
  parts: Sequence[Part],
  estimates: Mapping[Part, estimates_lib.Estimate | None],
) -> dict[Part, intervals.Interval]:
  """The interval of each part that has one, as wide as Holm's method asks."""
  tests: dict[Any, tuple[intervals.Interval, float]] = {}
  for part in parts:
    estimate = estimates[part]
    if estimate is not None and estimate.over_seeds is not None:
      over = estimate.over_seeds
      bounds = [x for x in (part.low, part.high) if math.isfinite(x)]
      # Of a range with two ends, the nearer one decides.
      tests[_test(part)] = over, max(map(over.p_value, bounds))
  rates = intervals.holm(
    [p_value for _, p_value in tests.values()], error_rate=ERROR_RATE
  )
  wide = {
    test: dataclasses.replace(over, error_rate=rate)
    for (test, (over, _)), rate in zip(tests.items(), rates, strict=True)
  }
  return {part: wide[_test(part)] for part in parts if _test(part) in wide}


def _test(part: Part) -> tuple[Any, ...]:
  """What makes two parts the same test."""
  return (part.terms, part.low, part.high, part.relative)


# The first of these that a part has is the claim's.
_ALL_OF = (
  Verdict.FAILS,
  Verdict.EQUIVALENT,
  Verdict.EXCLUDED,
  Verdict.NOT_RUN,
  Verdict.UNDECIDED,
  Verdict.ONE_SEED,
  Verdict.HOLDS,
)
_ANY_OF = (
  Verdict.HOLDS,
  Verdict.NOT_RUN,
  Verdict.UNDECIDED,
  Verdict.ONE_SEED,
  Verdict.EXCLUDED,
  Verdict.EQUIVALENT,
  Verdict.FAILS,
)
