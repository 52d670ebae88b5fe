"""Judges sentences about measurements: parts, intervals, verdicts.

A claim is a sentence and one or several parts. A part is a sum of measurements
(`estimates`) and the range that it is in if the sentence is true. No JAX.
"""

import dataclasses
import enum
import math
from collections.abc import Sequence

from sr2_jax.report.paper import estimates as estimates_lib
from sr2_jax.report.paper import measurements as measurements_lib


class Verdict(enum.Enum):
  """Outcome of holding a sentence against the measurements."""

  HOLDS = "holds"
  FAILS = "does not hold"
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
    high: upper end of the range.
    paper: the sum of the paper's own numbers, if it gives them.
    relative: the terms are numerator and denominator of `estimates.relative`.
  """

  text: str
  terms: tuple[estimates_lib.Term, ...]
  low: float = 0.0
  high: float = math.inf
  paper: float | None = None
  relative: bool = False


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
  """

  quote: str
  where: str
  criterion: str
  parts: tuple[Part, ...]
  any_part: bool = False
  is_verbatim: bool = True


@dataclasses.dataclass(frozen=True)
class Finding:
  """Estimate for a part, and the verdict."""

  part: Part
  estimate: estimates_lib.Estimate | None
  verdict: Verdict


@dataclasses.dataclass(frozen=True)
class Ruling:
  """The findings on a claim, and the verdict."""

  claim: Claim
  findings: tuple[Finding, ...]
  verdict: Verdict


def judge(measurements: measurements_lib.Measurements, claim: Claim) -> Ruling:
  """The ruling on a claim, by the rules that `RULES` states in words."""
  findings = []
  for part in claim.parts:
    if part.relative:
      estimate = estimates_lib.relative(measurements, *part.terms)
    else:
      estimate = estimates_lib.estimate(measurements, part.terms)
    findings.append(Finding(part, estimate, judge_part(part, estimate)))
  verdicts = [finding.verdict for finding in findings]
  rule = _any_of if claim.any_part else _all_of
  return Ruling(claim, tuple(findings), rule(verdicts))


RULES = (
  "A part of a claim is a number (a difference, a difference of differences, a "
  "slope) and the range that it is in if the sentence is true.",
  "The number is computed for each seed, from networks that all have it, and "
  "then averaged over the seeds. “± … seeds” is half its 95 % t-interval "
  "over the seeds: what another training would change.",
  "If scores of single images are stored, the number is also computed for each "
  "image, from its mean over the seeds. “± … images” is half the 95 % "
  "t-interval over the images: what other test images would change.",
  "A part holds if each of these intervals is inside the range, and does not "
  "hold if each is outside; otherwise it is undecided. With one seed there is "
  "no interval over seeds, and the verdict is undecided whatever the images "
  "say. Between methods without training, only the images decide.",
  "A claim holds if all its parts hold, and does not hold if one does not. A "
  "claim “at some level” holds if one part does, and does not hold if none "
  "does. If a part was not run and the others do not settle the claim, it "
  "counts as not run.",
  "No correction is made for the number of claims, nor for the levels that a "
  "claim “at some level” may choose from. At 95 % a two-sided interval misses "
  "in one of twenty tests by chance. With eight independent levels, at least "
  "one would exceed its range by chance in up to one test in five; levels of "
  "one network are correlated, so it happens less often.",
)


def judge_part(part: Part, estimate: estimates_lib.Estimate | None) -> Verdict:
  """The verdict on a part, from where its intervals are."""
  if estimate is None:
    return Verdict.NOT_RUN
  if len(estimate.seeds) == 1:
    return Verdict.ONE_SEED
  intervals = [
    interval
    for interval in (estimate.over_seeds, estimate.over_images)
    if interval is not None
  ]
  if not intervals:
    return Verdict.UNDECIDED
  if all(x.low > part.low and x.high < part.high for x in intervals):
    return Verdict.HOLDS
  if all(x.high < part.low for x in intervals) or all(
    x.low > part.high for x in intervals
  ):
    return Verdict.FAILS
  return Verdict.UNDECIDED


def _all_of(verdicts: Sequence[Verdict]) -> Verdict:
  order = (
    Verdict.FAILS,
    Verdict.NOT_RUN,
    Verdict.UNDECIDED,
    Verdict.ONE_SEED,
    Verdict.HOLDS,
  )
  return min(verdicts, key=order.index)


def _any_of(verdicts: Sequence[Verdict]) -> Verdict:
  if Verdict.HOLDS in verdicts:
    return Verdict.HOLDS
  order = (
    Verdict.NOT_RUN,
    Verdict.UNDECIDED,
    Verdict.ONE_SEED,
    Verdict.FAILS,
  )
  return min(verdicts, key=order.index)
