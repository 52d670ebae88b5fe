"""The page's table of claims: the paper's words, our numbers; no JAX."""

from collections.abc import Mapping, Sequence

from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import cells, verdicts
from sr2_jax.report.paper import claims as paper_claims
from sr2_jax.report.paper import estimates as estimates_lib
from sr2_jax.report.paper import values as paper_values

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

# The rulings on all claims by each definition of SSIM.
Rulings = Mapping[str, Sequence[verdicts.Ruling]]


def section(rulings: Rulings) -> list[blocks_lib.Block]:
  """The claims with what was measured, and the sentences without a number."""
  rows = []
  for by_ssim in zip(*rulings.values(), strict=True):
    ruling = by_ssim[0]
    claim = ruling.claim
    quote = f"“{claim.quote}”" if claim.is_verbatim else claim.quote
    rows.append(
      (
        f"{quote}\n{claim.where}",
        claim.criterion,
        _numbers(ruling),
        _verdict(dict(zip(rulings, by_ssim, strict=True))),
      )
    )
  return [
    blocks_lib.Heading(2, "Claims"),
    blocks_lib.Paragraph(
      "SSIM in this table is that of the authors' released code "
      f"(`{_MAIN_SSIM}`), because the paper names no settings. Other "
      "definitions are named where their verdict differs. “Operational” marks "
      "our reading of a sentence for which the paper gives no measure. ± is "
      "half a 95 % interval, over seeds or over test images. Each line of "
      "numbers is a part of the claim; “Rules” below says how they are weighed."
    ),
    blocks_lib.Table(
      ("The paper says", "Criterion", "We measured", "Verdict"),
      rows,
      is_prose=True,
    ),
    blocks_lib.Paragraph("Sentences that no number here tests:"),
    blocks_lib.Bullets(paper_claims.NOT_TESTED),
  ]


def counts(rulings: Sequence[verdicts.Ruling]) -> blocks_lib.Paragraph:
  """Numbers of claims that hold, do not hold, are undecided, were not run."""
  found = dict.fromkeys(verdicts.Verdict, 0)
  for ruling in rulings:
    found[ruling.verdict] += 1
  one_seed = found[verdicts.Verdict.ONE_SEED]
  text = (
    f"Of {len(rulings)} claims hold: **{found[verdicts.Verdict.HOLDS]}**; "
    f"do not hold: **{found[verdicts.Verdict.FAILS]}**; "
    f"equivalent: **{found[verdicts.Verdict.EQUIVALENT]}**; "
    f"exclude the paper's effect: **{found[verdicts.Verdict.EXCLUDED]}**; "
    f"undecided: **{found[verdicts.Verdict.UNDECIDED] + one_seed}**"
  )
  if one_seed:
    text += f" ({one_seed} need{'s' if one_seed == 1 else ''} a second seed)"
  text += f"; not run in full: **{found[verdicts.Verdict.NOT_RUN]}**."
  return blocks_lib.Paragraph(text)


def rules(rulings: Sequence[verdicts.Ruling]) -> list[blocks_lib.Block]:
  """Rules for weighing claims, and how many were weighed."""
  tested = [
    ruling
    for ruling in rulings
    if ruling.verdict is not verdicts.Verdict.NOT_RUN
  ]
  parts = sum(
    finding.estimate is not None
    for ruling in rulings
    for finding in ruling.findings
  )
  return [
    blocks_lib.Heading(2, "Rules"),
    blocks_lib.Bullets(verdicts.RULES),
    blocks_lib.Paragraph(
      f"Tested here: {len(tested)} of {len(rulings)} claims, {parts} parts "
      "with numbers."
    ),
  ]


def _numbers(ruling: verdicts.Ruling) -> str:
  """A line for each part of the claim, and what they are over."""
  lines = []
  for finding in ruling.findings:
    part = finding.part
    mark = _TONES[finding.verdict][0]
    line = f"{mark} {part.text}: {_estimate(finding.estimate, part)}"
    if part.paper is not None and not ruling.claim.any_part:
      line += f" (paper {cells.minus_sign(f'{part.paper:+.3f}')})"
    lines.append(line)
  estimates = [x.estimate for x in ruling.findings if x.estimate is not None]
  if estimates:
    seeds = sorted({len(x.seeds) for x in estimates})
    images = sorted({x.num_images for x in estimates if x.num_images})
    text = f"{'–'.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} "
    text += "seed" if seeds == [1] else "seeds"
    if images:
      text += f", {images[-1]:,} images"
    else:
      text += ", no scores of single images"
    lines.append(f"({text})")
  return "\n".join(lines)


def _estimate(
  estimate: estimates_lib.Estimate | None, part: verdicts.Part
) -> str:
  if estimate is None:
    return "not run"
  metric = part.terms[0].metric

  def form(value: float, sign: str = "") -> str:
    if part.relative:
      return f"{100 * value:{sign}.1f} %"
    if metric == paper_claims.ERROR:
      return f"{1e4 * value:{sign}.2f}·10⁻⁴"
    return f"{value:{sign}.4f}"

  is_level = len(part.terms) == 1
  text = form(estimate.value, "" if is_level else "+")
  for interval, over in (
    (estimate.over_seeds, "seeds"),
    (estimate.over_images, "images"),
  ):
    if interval is not None:
      text += f" ± {form(interval.half_width)} {over}"
  return cells.minus_sign(text)


def _verdict(by_ssim: Mapping[str, verdicts.Ruling]) -> blocks_lib.Cell:
  ruling = by_ssim[_MAIN_SSIM]
  mark, tone = _TONES[ruling.verdict]
  text = f"{mark} {ruling.verdict.value}"
  if ruling.claim.any_part and ruling.verdict is verdicts.Verdict.HOLDS:
    where = [
      finding.part.text.removeprefix("σ² = ")
      for finding in ruling.findings
      if finding.verdict is verdicts.Verdict.HOLDS
    ]
    text += f" at σ² = {', '.join(where)}"
  if paper_claims.uses_ssim(ruling.claim):
    others = [
      f"by `{ssim}`: {other.verdict.value}"
      for ssim, other in by_ssim.items()
      if other.verdict != ruling.verdict
    ]
    text = "\n".join([text, *others])
  return blocks_lib.Cell(text, tone)
