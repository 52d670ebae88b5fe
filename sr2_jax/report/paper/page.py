"""The page of what was measured, compared with the paper; no JAX.

Data sets that are not the paper's have sections of their own. Without any of
the paper's the page has nothing else.
"""

import pathlib
from collections.abc import Sequence

from sr2_jax import files, names
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.own_data import sections as own_sections
from sr2_jax.report.paper import (
  claim_cards,
  corruption_tables,
  epochs_figure,
  headline,
  sections,
  trained_runs,
  verdicts,
)
from sr2_jax.report.paper import claims as paper_claims
from sr2_jax.report.paper import figures as paper_figures
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values

_TITLE = "SR²: the paper against our measurements"
_OWN_TITLE = "SR²: what was measured"
_MAIN_SSIM = paper_values.SSIMS[0]


def write(
  measurements: measurements_lib.Measurements,
  folder: pathlib.Path,
  *,
  command: str,
) -> tuple[list[pathlib.Path], str]:
  """Writes report.md, report.html and the figures into a folder.

  Args:
    measurements: what the page shows.
    folder: created if missing.
    command: the command that writes this page, for the page.

  Returns:
    The files, report.md and report.html last, and a summary for a terminal.
  """
  is_own = own_sections.is_all(measurements)
  title = _OWN_TITLE if is_own else _TITLE
  composed = _compose_own if is_own else compose
  blocks, summary = composed(measurements, command=command)
  paths = []
  for block in blocks:
    if isinstance(block, blocks_lib.Figure):
      for picture in block.pictures:
        for suffix, data in (("png", picture.png), ("svg", picture.svg)):
          if data:
            paths.append(folder / f"{picture.stem}.{suffix}")
            files.write_atomically(paths[-1], data)
  for name, text in (
    ("report.md", blocks_lib.markdown(blocks)),
    ("report.html", blocks_lib.page(blocks, title=title)),
  ):
    paths.append(folder / name)
    files.write_atomically(paths[-1], text.encode())
  return paths, summary


def compose(
  measurements: measurements_lib.Measurements, *, command: str
) -> tuple[list[blocks_lib.Block], str]:
  """The page's blocks, top to bottom, and its summary for a terminal."""
  runs = trained_runs.find(measurements.rows)
  rulings: dict[str, list[verdicts.Ruling]] = {}
  for ssim in paper_values.SSIMS:
    rulings[ssim] = judge(measurements, ssim)
  main = rulings[_MAIN_SSIM]
  older = None
  old = measurements.by("running", alone=True)
  if measurements.batch_norm != "running" and "running" in old.batch_norms:
    older = judge(old, _MAIN_SSIM)
  blocks = [
    blocks_lib.Heading(1, _TITLE),
    *_stand_ins(measurements),
    *headline.section(measurements, main),
    blocks_lib.Paragraph(
      "The paper is Schirrmacher et al., SR²: Super-Resolution with "
      f"Structure-Aware Reconstruction, ICIP 2020. Numbers are of the "
      f"{measurements.split} split. Noise σ² is the variance of Gaussian noise "
      "on low-resolution images in [0, 1]. All networks but SRMD were trained "
      "without noise."
    ),
    *trained_runs.training(runs),
    *sections.table1(measurements),
    *claim_cards.section(rulings, older),
    *sections.differences(measurements),
    *_epochs(measurements),
    *sections.abstract(measurements),
    *paper_figures.section(measurements),
    *corruption_tables.section(measurements),
    *own_sections.sections(measurements),
  ]
  # Last, because all others add to the notes that it shows.
  blocks += _origins(
    measurements, runs, [ruling.claim for ruling in main], command=command
  )
  return blocks, headline.summary(measurements, main)


def _compose_own(
  measurements: measurements_lib.Measurements, *, command: str
) -> tuple[list[blocks_lib.Block], str]:
  """As `compose`, of data sets that the paper does not have."""
  runs = trained_runs.find(measurements.rows)
  blocks = [
    blocks_lib.Heading(1, _OWN_TITLE),
    blocks_lib.Paragraph(
      f"Numbers are of the {measurements.split} split. The paper has none on "
      "these images, so nothing here is compared with it."
    ),
    *own_sections.sections(measurements),
    blocks_lib.Heading(2, "Training"),
    *trained_runs.training(runs, against_paper=False),
    *_sources(measurements, runs, [], command=command),
  ]
  return blocks, own_sections.summary(measurements)


def judge(
  measurements: measurements_lib.Measurements, ssim: str = _MAIN_SSIM
) -> list[verdicts.Ruling]:
  """The rulings on all claims by one definition of SSIM."""
  corruptions = measurements.shared_corruptions(paper_claims.BEYOND, "accuracy")
  claims = paper_claims.all_claims(ssim, corruptions=corruptions)
  return verdicts.judge(measurements, claims)


def _stand_ins(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  return [
    blocks_lib.Paragraph(
      f"**Not the paper's data:** there is no run on {name}; runs on {other} "
      "replace them. No number here is comparable to the paper's, and no "
      "verdict is about the paper."
    )
    for name, other in measurements.stood_in.items()
  ]


def _epochs(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  """SSIM over epochs, or what it needs."""
  pictures = epochs_figure.draw(measurements)
  if not pictures:
    return [
      blocks_lib.Heading(2, "SSIM over epochs"),
      blocks_lib.Paragraph(
        "Needs rows after several epochs (`eval.epochs`), or run folders with "
        "validation at this noise level while training."
      ),
    ]
  return [
    blocks_lib.Heading(2, "SSIM over epochs"),
    blocks_lib.Figure(
      pictures,
      "FSRCNN, then SR² and its control, which continue from it with a "
      "hundredth of the learning rate. Bands are 95 % intervals over seeds.",
    ),
  ]


def _origins(
  measurements: measurements_lib.Measurements,
  runs: Sequence[trained_runs.TrainedRun],
  claims: Sequence[verdicts.Claim],
  *,
  command: str,
) -> list[blocks_lib.Block]:
  """Sources of the numbers, and which of the paper's networks are missing."""
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
  return _sources(measurements, runs, absent, command=command)


def _sources(
  measurements: measurements_lib.Measurements,
  runs: Sequence[trained_runs.TrainedRun],
  absent: Sequence[str],
  *,
  command: str,
) -> list[blocks_lib.Block]:
  """The command, the runs, what is missing, and notes."""
  blocks: list[blocks_lib.Block] = [
    blocks_lib.Heading(2, "Where the numbers come from"),
    blocks_lib.Paragraph("This page was written by"),
    blocks_lib.Code(command),
    blocks_lib.Details(
      f"From {len(runs)} runs",
      [
        blocks_lib.Paragraph(
          "“Trained” is the epochs of `pretrain` + `joint` after which there "
          "are rows, or steps where the rows do not say epochs."
        ),
        trained_runs.table(runs),
      ],
    ),
  ]
  if absent:
    blocks.append(
      blocks_lib.Details(
        f"Not run: {len(absent)} networks", [blocks_lib.Bullets(absent)]
      )
    )
  if measurements.notes:
    blocks += [
      blocks_lib.Paragraph("Choices of rows, and faults in the files:"),
      blocks_lib.Bullets(measurements.notes),
    ]
  return blocks
