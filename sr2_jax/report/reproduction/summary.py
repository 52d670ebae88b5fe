"""The result and the table of claims of docs/reproduction.md; no JAX."""

import dataclasses
import math
import textwrap
from collections.abc import Sequence

from sr2_jax import names
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import claim_cards, headline, verdicts
from sr2_jax.report.paper import estimates as estimates_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values
from sr2_jax.report.reproduction import numbers as numbers_lib
from sr2_jax.report.reproduction import runs


def result(numbers: numbers_lib.Numbers) -> list[blocks_lib.Block]:
  """The result in one sentence, and that of the older rows."""
  states = [runs.state(numbers, part) for part in runs.PROGRAMME]
  complete, none = states.count("complete"), states.count(runs.NONE)
  begun = len(states) - complete - none
  return [
    blocks_lib.Paragraph(headline.sentence(numbers.of_new)),
    blocks_lib.Paragraph(
      "Older rows, with running statistics: "
      f"{headline.sentence(numbers.of_old)}"
    ),
    blocks_lib.Paragraph(
      f"Parts of the programme below: {complete} complete, {begun} begun, "
      f"{none} not run yet."
    ),
  ]


def summary(numbers: numbers_lib.Numbers) -> list[blocks_lib.Block]:
  """A line for each claim; the older rows fold out."""
  is_run = {x.verdict for x in numbers.of_new} != {verdicts.Verdict.NOT_RUN}
  new: list[blocks_lib.Block] = [blocks_lib.Paragraph(numbers_lib.NOT_RUN)]
  if is_run:
    new = [
      blocks_lib.Paragraph(claim_cards.counts(numbers.of_new)),
      _summary(numbers.new, numbers.of_new),
    ]
  older = [
    blocks_lib.Paragraph(claim_cards.counts(numbers.of_old)),
    _summary(numbers.old, numbers.of_old),
  ]
  return [
    *new,
    blocks_lib.Details("Older rows, with running statistics", older),
  ]


def _summary(
  measurements: measurements_lib.Measurements,
  rulings: Sequence[verdicts.Ruling],
) -> blocks_lib.Table:
  rows = []
  for ruling in rulings:
    claim = ruling.claim
    found = _shown(ruling)
    quote = textwrap.shorten(claim.quote, 90, placeholder=" …")
    papers, ours, controls = [], [], []
    for finding in found:
      part = finding.part
      papers.append(claim_cards.of_paper(part))
      ours.append(claim_cards.number(finding.estimate, part))
      controls.append(_of_control(measurements, part))
    if set(ours) == {"not run"}:
      ours = ["not run"]
    rows.append(
      (
        f"{quote} ({claim.where})",
        _lines(papers),
        "\n".join(ours),
        _lines(controls),
        claim_cards.mark(ruling.verdict),
      )
    )
  return blocks_lib.Table(
    ("Claim", "Paper", "Ours", "Control", "Verdict"), rows
  )


def _shown(ruling: verdicts.Ruling) -> Sequence[verdicts.Finding]:
  """The findings of a claim; of one "at some level" the largest."""
  if not ruling.claim.any_part:
    return ruling.findings
  return [
    max(
      ruling.findings,
      key=lambda x: -math.inf if x.estimate is None else x.estimate.value,
    )
  ]


def _lines(texts: Sequence[str]) -> str:
  return "\n".join(text or "–" for text in texts) if any(texts) else "–"


def _of_control(
  measurements: measurements_lib.Measurements, part: verdicts.Part
) -> str:
  """The part for the control instead of SR²; "" if that says nothing."""
  terms = []
  for term in part.terms:
    known = names.method(term.subject.method)
    if known.family == "sr_continued" or term.metric not in paper_values.SSIMS:
      return ""
    if known.family == "sr2":
      control = dataclasses.replace(
        term.subject, method=f"sr_continued_{known.trunk}", loss_weight=0.0
      )
      term = dataclasses.replace(term, subject=control)
    terms.append(term)
  # Against itself, the control says nothing.
  if (
    part.relative
    or len({x.subject for x in terms}) < 2
    or ([x.subject for x in terms] == [x.subject for x in part.terms])
  ):
    return ""
  found = estimates_lib.estimate(measurements, terms)
  return "" if found is None else claim_cards.number(found, part)
