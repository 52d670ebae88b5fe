"""The page's claims: the paper's words, our numbers, a verdict; no JAX."""

import collections
from collections.abc import Mapping, Sequence

from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import budgets, cells, verdicts
from sr2_jax.report.paper import claims as paper_claims
from sr2_jax.report.paper import estimates as estimates_lib
from sr2_jax.report.paper import values as paper_values

# A mark that tells verdicts apart without color, and the color.
_TONES = {
  verdicts.Verdict.HOLDS: ("✓", "good"),
  verdicts.Verdict.FAILS: ("✗", "bad"),
  verdicts.Verdict.EQUIVALENT: ("=", "bad"),
  verdicts.Verdict.EXCLUDED: ("≠", "bad"),
  verdicts.Verdict.UNDECIDED: ("?", "open"),
  verdicts.Verdict.ONE_SEED: ("?", "open"),
  verdicts.Verdict.NOT_RUN: ("—", "missing"),
}
_MAIN_SSIM = paper_values.SSIMS[0]

# The rulings on all claims by each definition of SSIM, the main one first.
Rulings = Mapping[str, Sequence[verdicts.Ruling]]


def section(
  rulings: Rulings, older: Sequence[verdicts.Ruling] | None = None
) -> list[blocks_lib.Block]:
  """A card for each claim, and the sentences without a number.

  Args:
    rulings: what the cards show.
    older: those of rows with running statistics, where the rulings are of
      re-estimated ones; a card shows them if the claim was not run otherwise.
  """
  main = rulings[_MAIN_SSIM]
  blocks: list[blocks_lib.Block] = [
    blocks_lib.Heading(2, "Claims"),
    blocks_lib.Paragraph(counts(main)),
    blocks_lib.Paragraph(
      f"SSIM is that of the authors' released code (`{_MAIN_SSIM}`), because "
      "the paper names no settings. A card opens to its numbers: "
      "mean ± half the 95 % interval over seeds. “Corrected” is the interval "
      "that decides; see the rules below."
    ),
  ]
  for index, ruling in enumerate(main):
    by_ssim = {ssim: of[index] for ssim, of in rulings.items()}
    blocks.append(_card(ruling, by_ssim, older[index] if older else None))
  return [
    *blocks,
    blocks_lib.Details(
      "Sentences that no number here tests",
      [blocks_lib.Bullets(paper_claims.NOT_TESTED)],
    ),
    _rules(main),
  ]


def counts(rulings: Sequence[verdicts.Ruling]) -> str:
  """Numbers of claims by verdict, in one sentence."""
  found = collections.Counter(ruling.verdict for ruling in rulings)
  parts = [
    f"{verdict.value}: **{found[verdict]}**"
    for verdict in verdicts.Verdict
    if found[verdict]
  ]
  return f"Of {len(rulings)} claims: {', '.join(parts)}."


def mark(verdict: verdicts.Verdict) -> str:
  """A verdict in words, with its mark."""
  return f"{_TONES[verdict][0]} {verdict.value}"


def tone(verdict: verdicts.Verdict) -> str:
  """The color of a verdict, one of `blocks.TONES`."""
  return _TONES[verdict][1]


def _card(
  ruling: verdicts.Ruling,
  by_ssim: Mapping[str, verdicts.Ruling],
  older: verdicts.Ruling | None,
) -> blocks_lib.Details:
  claim = ruling.claim
  quote = f"“{claim.quote}”" if claim.is_verbatim else claim.quote
  inner: list[blocks_lib.Block] = [
    blocks_lib.Paragraph(f"**Criterion.** {claim.criterion}"),
    blocks_lib.Bullets([_part(finding, claim) for finding in ruling.findings]),
  ]
  notes = _where_it_holds(ruling)
  if paper_claims.uses_ssim(claim):
    notes += [
      f"By `{ssim}`: {other.verdict.value}."
      for ssim, other in by_ssim.items()
      if other.verdict != ruling.verdict
    ]
  if older is not None and ruling.verdict is verdicts.Verdict.NOT_RUN:
    notes.append(f"Older rows, with running statistics: {older.verdict.value}.")
    if older.verdict is not verdicts.Verdict.NOT_RUN:
      inner.append(
        blocks_lib.Details(
          "The older rows",
          [blocks_lib.Bullets([_part(x, claim) for x in older.findings])],
        )
      )
  if notes:
    inner.insert(1, blocks_lib.Paragraph(" ".join(notes)))
  return blocks_lib.Details(
    f"{quote} ({claim.where})",
    inner,
    mark(ruling.verdict),
    tone(ruling.verdict),
  )


def _where_it_holds(ruling: verdicts.Ruling) -> list[str]:
  """The noise levels at which a claim "at some level" holds."""
  where = [
    finding.part.text.removeprefix("σ² = ")
    for finding in ruling.findings
    if ruling.claim.any_part and finding.verdict is verdicts.Verdict.HOLDS
  ]
  return [f"Holds at σ² = {', '.join(where)}."] if where else []


def _part(finding: verdicts.Finding, claim: verdicts.Claim) -> str:
  """A part with its numbers, what they are over, and its verdict."""
  part, estimate = finding.part, finding.estimate
  text = f"{_TONES[finding.verdict][0]} {part.text}: {number(estimate, part)}"
  if estimate is not None and finding.interval is not None:
    ends = (finding.interval.low, finding.interval.high)
    low, high = (form(part, end) for end in ends)
    text += f"; corrected: [{low}, {high}]"
  if part.paper is not None and not claim.any_part:
    text += f"; the paper: {of_paper(part)}"
  if estimate is not None:
    text += f" ({_behind(estimate)})"
  return cells.minus_sign(text)


def number(estimate: estimates_lib.Estimate | None, part: verdicts.Part) -> str:
  """A part's number with half its 95 % intervals: "+0.0003 ± 0.0052"."""
  if estimate is None:
    return "not run"
  text = form(part, estimate.value)
  if estimate.over_seeds is not None:
    text += f" ± {form(part, estimate.over_seeds.half_width, sign='')}"
  if estimate.over_images is not None:
    half = form(part, estimate.over_images.half_width, sign="")
    text += f" (images ± {half})"
  return cells.minus_sign(text)


def of_paper(part: verdicts.Part) -> str:
  """The paper's own number, with its digits; "" if it gives none."""
  if part.paper is None:
    return ""
  if part.relative:
    return f"{part.paper:+.0%}".replace("%", " %")
  return cells.minus_sign(f"{part.paper:+.3f}")


def form(part: verdicts.Part, value: float, *, sign: str = "+") -> str:
  """A value of a part, in its unit."""
  if len(part.terms) == 1:
    sign = ""  # A level, no difference.
  if part.relative:
    return f"{100 * value:{sign}.1f} %"
  if part.terms[0].metric == paper_claims.ERROR:
    return f"{1e4 * value:{sign}.2f}·10⁻⁴"
  return f"{value:{sign}.4f}"


def _behind(estimate: estimates_lib.Estimate) -> str:
  """Seeds, epochs and images behind a number."""
  count = len(estimate.seeds)
  parts = [f"{count} seed{'s' if count != 1 else ''}"]
  if estimate.budget is not None and (text := budgets.text(estimate.budget)):
    parts.append(f"{text} epochs")
  if estimate.num_images:
    parts.append(f"{estimate.num_images:,} images")
  return ", ".join(parts)


def _rules(rulings: Sequence[verdicts.Ruling]) -> blocks_lib.Details:
  """Rules for weighing claims, and how many were weighed."""
  tested = sum(x.verdict is not verdicts.Verdict.NOT_RUN for x in rulings)
  parts = sum(
    finding.estimate is not None
    for ruling in rulings
    for finding in ruling.findings
  )
  return blocks_lib.Details(
    "Rules: how numbers become verdicts",
    [
      blocks_lib.Bullets(verdicts.RULES),
      blocks_lib.Paragraph(
        f"Tested here: {tested} of {len(rulings)} claims, {parts} parts with "
        "numbers."
      ),
    ],
  )
