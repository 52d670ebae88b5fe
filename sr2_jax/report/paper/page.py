"""The page that compares the paper with what was measured; no JAX."""

import pathlib
from collections.abc import Sequence

from sr2_jax import files, names
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import (
  claim_table,
  corruption_tables,
  sections,
  trained_runs,
  verdicts,
)
from sr2_jax.report.paper import claims as paper_claims
from sr2_jax.report.paper import figures as paper_figures
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values

_TITLE = "SR²: the paper against our measurements"
_MAIN_SSIM = paper_values.SSIMS[0]


def write(
  measurements: measurements_lib.Measurements,
  folder: pathlib.Path,
  *,
  command: str,
) -> list[pathlib.Path]:
  """Writes report.md, report.html and the figures into a folder.

  Args:
    measurements: what the page shows.
    folder: created if missing.
    command: the command that writes this page, for the page.

  Returns:
    The files, report.md and report.html last.
  """
  blocks = compose(measurements, command=command)
  paths = []
  for block in blocks:
    if isinstance(block, blocks_lib.Figure):
      for picture in block.pictures:
        for suffix, data in (("png", picture.png), ("svg", picture.svg)):
          paths.append(folder / f"{picture.stem}.{suffix}")
          files.write_atomically(paths[-1], data)
  for name, text in (
    ("report.md", blocks_lib.markdown(blocks)),
    ("report.html", blocks_lib.page(blocks, title=_TITLE)),
  ):
    paths.append(folder / name)
    files.write_atomically(paths[-1], text.encode())
  return paths


def compose(
  measurements: measurements_lib.Measurements, *, command: str
) -> list[blocks_lib.Block]:
  """The page's blocks, top to bottom."""
  runs = trained_runs.find(measurements.rows)
  corruptions = measurements.shared_corruptions(paper_claims.BEYOND, "accuracy")
  rulings = {
    ssim: verdicts.judge(
      measurements, paper_claims.all_claims(ssim, corruptions=corruptions)
    )
    for ssim in paper_values.SSIMS
  }
  main = rulings[_MAIN_SSIM]
  return [
    *_introduction(measurements),
    *trained_runs.training(runs),
    claim_table.counts(main),
    *claim_table.section(rulings),
    *sections.table1(measurements),
    *sections.abstract(measurements),
    *sections.control(measurements),
    *paper_figures.section(measurements),
    *corruption_tables.section(measurements),
    *claim_table.rules(main),
    # Last, because all others add to the notes that it shows.
    *_origins(
      measurements, runs, [ruling.claim for ruling in main], command=command
    ),
  ]


def _introduction(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  return [
    blocks_lib.Heading(1, _TITLE),
    blocks_lib.Paragraph(
      "Schirrmacher et al., SR²: Super-Resolution with Structure-Aware "
      f"Reconstruction, ICIP 2020, on the {measurements.split} split. Noise σ² "
      "is the variance of Gaussian noise on low-resolution images in [0, 1]. "
      "All networks but SRMD were trained without noise."
    ),
    *(
      blocks_lib.Paragraph(
        f"**Not the paper's data:** there is no run on {name}; runs on {other} "
        "replace them. No number here is comparable to the paper's, and no "
        "verdict is about the paper."
      )
      for name, other in measurements.stood_in.items()
    ),
  ]


def _origins(
  measurements: measurements_lib.Measurements,
  runs: Sequence[trained_runs.TrainedRun],
  claims: Sequence[verdicts.Claim],
  *,
  command: str,
) -> list[blocks_lib.Block]:
  """Sources of the numbers, and what is missing."""
  wanted = [
    paper_values.subject(method, scale)
    for scale in paper_values.SCALES
    for method in names.METHODS
  ]
  wanted += paper_claims.required_subjects(claims)
  absent = [
    f"{paper_values.full_name(subject)}, {subject.dataset}, x{subject.scale}"
    for subject in dict.fromkeys(wanted)
    if subject not in measurements
  ]
  blocks: list[blocks_lib.Block] = [
    blocks_lib.Heading(2, "Where the numbers come from"),
    blocks_lib.Paragraph("This page was written by"),
    blocks_lib.Code(command),
    blocks_lib.Paragraph(
      "from these runs: their `results.jsonl`, `config.json`, `per_image/` and "
      "`examples/`. Epochs are those of `pretrain` + `joint`."
    ),
    trained_runs.table(runs),
  ]
  if absent:
    blocks += [
      blocks_lib.Paragraph("Missing, and shown as not run above:"),
      blocks_lib.Bullets(absent),
    ]
  if measurements.notes:
    blocks += [
      blocks_lib.Paragraph("Choices of rows, and faults in the files:"),
      blocks_lib.Bullets(measurements.notes),
    ]
  return blocks
