"""The page's result in one sentence, and its key figure; no JAX."""

import textwrap
from collections.abc import Sequence

from sr2_jax import names
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report import tables
from sr2_jax.report.paper import (
  budgets,
  cells,
  claim_cards,
  effect_figure,
  verdicts,
)
from sr2_jax.report.paper import claims as paper_claims
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values

_SSIM = paper_values.SSIMS[0]
_SENTENCES = {
  verdicts.Verdict.HOLDS: "Classification improves super-resolution at x4.",
  verdicts.Verdict.FAILS: "Classification costs super-resolution at x4.",
  verdicts.Verdict.EQUIVALENT: "Classification changes super-resolution at x4 "
  "by nothing that matters.",
  verdicts.Verdict.EXCLUDED: "Classification does not account for the paper's "
  "gain in super-resolution at x4.",
  verdicts.Verdict.UNDECIDED: "Whether classification helps super-resolution "
  "at x4 is undecided.",
  verdicts.Verdict.ONE_SEED: "Whether classification helps super-resolution at "
  "x4 needs a second seed.",
}


def finding(rulings: Sequence[verdicts.Ruling]) -> verdicts.Finding | None:
  """The finding on the paper's main claim: SR² FSRCNN less its control."""
  wanted = paper_claims.of_control("fsrcnn", 4, _SSIM)
  for ruling in rulings:
    for found in ruling.findings:
      if found.part == wanted:
        return found
  return None


def sentence(rulings: Sequence[verdicts.Ruling]) -> str:
  """What was found about the paper's main claim, with its number."""
  found = finding(rulings)
  if found is None or found.estimate is None:
    return (
      "**Not run yet:** SR² FSRCNN and its control at x4 on MNIST, so nothing "
      "can be said about what classification adds."
    )
  paper = cells.minus_sign(f"{found.part.paper:+.3f}")
  count = len(found.estimate.seeds)
  text = (
    f"**{_SENTENCES[found.verdict]}** SR² FSRCNN less its control is "
    f"{claim_cards.number(found.estimate, found.part)} in SSIM over {count} "
    f"seed{'s' if count != 1 else ''}"
  )
  epochs = budgets.text(found.estimate.budget or (None, None))
  text += f" after {epochs} epochs" if epochs else ""
  return f"{text}; the paper reports {paper} over its baseline."


def section(
  measurements: measurements_lib.Measurements,
  rulings: Sequence[verdicts.Ruling],
) -> list[blocks_lib.Block]:
  """The sentence and the figure."""
  pair = effect_figure.pair("fsrcnn", 4)
  pictures = [
    effect_figure.over_noise(
      measurements, [pair], stem="effect_noise", title="MNIST x4, FSRCNN"
    ),
    effect_figure.over_epochs(measurements, pair, stem="effect_epochs"),
  ]
  shown = [picture for picture in pictures if picture is not None]
  caption = (
    "What classification adds to super-resolution: SSIM of SR² FSRCNN less "
    "that of its control, the same second phase without a classifier. Dots are "
    "seeds, the band is the 95 % interval over them, cut at the frame. Within "
    "the gray margin a difference counts as none. The paper's number has no "
    "control: it is SR² less the baseline, at one noise level (★)."
  )
  if pictures[0] is not None and pictures[1] is None:
    caption += " Over epochs: needs rows that say their epochs."
  blocks: list[blocks_lib.Block] = [blocks_lib.Paragraph(sentence(rulings))]
  if measurements.batch_norm == "running":
    blocks.append(
      blocks_lib.Paragraph(
        "**Running statistics.** All rows here were evaluated with BatchNorm's "
        "running statistics, the authors' protocol. They trail behind the "
        "weights of a baseline and undervalue it, so claims against a baseline "
        "say more about the evaluation than about the network. SR² less its "
        "control is hardly affected."
      )
    )
  return [*blocks, *([blocks_lib.Figure(shown, caption)] if shown else [])]


def summary(
  measurements: measurements_lib.Measurements,
  rulings: Sequence[verdicts.Ruling],
) -> str:
  """The page in about twenty lines, for a terminal."""

  def plain(text: str) -> str:
    return textwrap.fill(text.replace("**", ""), 79)

  condition = rows_lib.Condition(paper_values.TABLE1_NOISE)
  lines = [plain(sentence(rulings)), ""]
  data = measurements.stood_in.get(paper_values.MNIST, "MNIST")
  level = tables.number(paper_values.TABLE1_NOISE)
  rows: list[tuple[str, ...]] = [
    (f"SSIM on {data} at σ² = {level}", "x2 paper", "x2", "x4 paper", "x4")
  ]
  for method in names.METHODS:
    row = [names.method(method).title]
    for scale in paper_values.SCALES:
      of_paper = paper_values.TABLE1.get((method, scale))
      cell = cells.mean(
        measurements, paper_values.subject(method, scale), _SSIM, condition
      )
      row.append("-" if of_paper is None else f"{of_paper:.3f}")
      row.append(cell if isinstance(cell, str) else "-")
    if any(cell != "-" for cell in row[2::2]):
      rows.append(tuple(row))
  if len(rows) > 1:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines += ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    if measurements.batch_norm == "running":
      lines.append("(with BatchNorm's running statistics)")
    lines.append("")
  lines += [plain(claim_cards.counts(rulings))]
  count = len(measurements.notes)
  if count:
    lines.append(f"The page has {count} note{'s' if count > 1 else ''}.")
  return "\n".join(lines)
