"""The page's sections on Table 1, the abstract and the control; no JAX."""

import itertools

from sr2_jax import names
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report import tables
from sr2_jax.report.paper import cells
from sr2_jax.report.paper import estimates as estimates_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import subjects as subjects_lib
from sr2_jax.report.paper import values as paper_values

_MAIN_SSIM = paper_values.SSIMS[0]


def table1(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  """Table 1 with the paper's column and one for each definition of SSIM."""
  level = paper_values.TABLE1_NOISE
  blocks: list[blocks_lib.Block] = [
    blocks_lib.Heading(2, "Table 1"),
    blocks_lib.Paragraph(
      f"Mean SSIM on MNIST at σ² = {tables.display_number(level)}, ± half the "
      "95 % interval over seeds. The paper names no settings of SSIM. "
      "`ssim_uniform7_range2` is what the authors' code computes (uniform "
      "window of 7 px, range 2), `ssim_uniform7` the same with range 1, and "
      "`ssim` that of Wang et al. (Gaussian window of 11 px), which is not "
      "comparable to the paper's column. “Continued” is the control: the "
      "second phase without classification. λ is 9 for SR² and 0.11 for the "
      "sequential networks."
    ),
  ]
  for scale in paper_values.SCALES:
    blocks += [
      blocks_lib.Heading(3, f"Table 1, x{scale}"),
      blocks_lib.Table(
        (
          f"x{scale}",
          "Paper",
          *(f"`{ssim}`" for ssim in paper_values.SSIMS),
          "Seeds",
        ),
        [_table1_row(measurements, method, scale) for method in names.METHODS],
      ),
    ]
  return blocks


def _table1_row(
  measurements: measurements_lib.Measurements, method: str, scale: int
) -> list[str | blocks_lib.Cell]:
  condition = rows_lib.Condition(paper_values.TABLE1_NOISE)
  subject = paper_values.subject(method, scale)
  of_paper = paper_values.TABLE1.get((method, scale))
  return [
    names.method(method).title,
    "—" if of_paper is None else f"{of_paper:.3f}",
    *(
      cells.mean(measurements, subject, ssim, condition)
      for ssim in paper_values.SSIMS
    ),
    cells.number_of_seeds(measurements, subject, _MAIN_SSIM, condition),
  ]


def abstract(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  """The gain of SR² over the sequential network at each noise level."""
  rows, seeds = [], set[int]()
  for level in paper_values.LEVELS:
    row, of_row = _abstract_row(measurements, level)
    rows.append(row)
    seeds |= of_row
  of_seeds = f" (here {', '.join(map(str, sorted(seeds)))})" if seeds else ""
  return [
    blocks_lib.Heading(2, "The abstract's two numbers"),
    blocks_lib.Paragraph(
      "“On upsampling by factor 4, we outperform sequential approaches in "
      "terms of SSIM by 10% and improve classification by 69%”, at a noise "
      "level that the paper does not name. Gain of SR² FSRCNN (λ = 9) over "
      "Sequential FSRCNN (λ = 0.11) on MNIST at x4: of the mean over seeds, ± "
      "half its 95 % interval over paired seeds. All means are over the seeds "
      f"that both have{of_seeds}."
    ),
    blocks_lib.Table(
      (
        "σ²",
        f"Sequential\n`{_MAIN_SSIM}`",
        f"SR²\n`{_MAIN_SSIM}`",
        f"Gain\n`{_MAIN_SSIM}`",
        *(f"Gain\n`{ssim}`" for ssim in paper_values.SSIMS[1:]),
        "Sequential\naccuracy",
        "SR²\naccuracy",
        "Gain\naccuracy",
      ),
      rows,
    ),
  ]


def _abstract_row(
  measurements: measurements_lib.Measurements, level: float
) -> tuple[list[str | blocks_lib.Cell], set[int]]:
  """A row of the table, and the seeds behind it."""
  sr2 = paper_values.subject("sr2_fsrcnn", 4)
  sequential = paper_values.subject("sequential_fsrcnn", 4)
  condition = rows_lib.Condition(level)
  row: list[str | blocks_lib.Cell] = [tables.display_number(level)]
  seeds = set[int]()
  for metric in (*paper_values.SSIMS, "accuracy"):
    gain = estimates_lib.relative(
      measurements,
      *(
        estimates_lib.Term(1.0, subject, metric, condition)
        for subject in (sr2, sequential)
      ),
    )
    if gain is not None:
      seeds.update(gain.seeds)
    if metric in (_MAIN_SSIM, "accuracy"):
      # Means over other seeds would not be those behind the gain.
      row += [
        cells.mean(
          measurements, subject, metric, condition, seeds=gain and gain.seeds
        )
        for subject in (sequential, sr2)
      ]
    row.append(cells.percentage(gain))
  return row, seeds


def control(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  """SR² against its baseline and against the same training without classes."""
  blocks: list[blocks_lib.Block] = [
    blocks_lib.Heading(2, "Control: is it the classification?"),
    blocks_lib.Paragraph(
      "The second phase changes three things at once: the classifier's "
      "gradient, a learning rate 100 times smaller, and more epochs. The "
      "control, “continued”, runs the same phase with λ = 0. A gain of SR² "
      "over its baseline is credited to classification only if SR² is also "
      "above the control, with the interval over seeds. Differences of "
      f"`{_MAIN_SSIM}` and `ssim`, ± half the 95 % interval over paired seeds; "
      "on MNIST unless the title says SVHN, with the number of shared layers "
      "(sl.). The baseline has as many shared layers as SR², because it is "
      "SR²'s own pretraining."
    ),
  ]
  mnist, svhn = paper_values.MNIST, paper_values.SVHN
  settings = [
    *itertools.product([mnist], ("fsrcnn", "wdsr"), paper_values.SCALES, [1]),
    *itertools.product([svhn], ["wdsr"], paper_values.SCALES, (1, 4)),
  ]
  columns = ("SR² − baseline", "SR² − continued", "Credited")
  for dataset, trunk, scale, shared_layers in settings:
    subjects = [
      paper_values.subject(
        method, scale, dataset=dataset, shared_layers=shared_layers
      )
      for method in (f"sr2_{trunk}", trunk, f"sr_continued_{trunk}")
    ]
    title = f"{names.TRUNKS[trunk].title} at x{scale}"
    if dataset == svhn:
      title += f", SVHN, {shared_layers} sl."
    rows = [
      _control_row(measurements, *subjects, level=level)
      for level in paper_values.LEVELS
    ]
    blocks += [
      blocks_lib.Heading(3, title),
      blocks_lib.Table(
        (
          "σ²",
          *(f"{text}\n`{_MAIN_SSIM}`" for text in columns),
          *(f"{text}\n`ssim`" for text in columns),
        ),
        rows,
      )
      if any(cell is not cells.NOT_RUN for row in rows for cell in row[1:3])
      else blocks_lib.Paragraph("Not run."),
    ]
  return blocks


def _control_row(
  measurements: measurements_lib.Measurements,
  sr2: subjects_lib.Subject,
  baseline: subjects_lib.Subject,
  continued: subjects_lib.Subject,
  *,
  level: float,
) -> list[str | blocks_lib.Cell]:
  condition = rows_lib.Condition(level)
  row: list[str | blocks_lib.Cell] = [tables.display_number(level)]
  for ssim in (_MAIN_SSIM, "ssim"):
    estimates = [
      estimates_lib.estimate(
        measurements,
        [
          estimates_lib.Term(1.0, sr2, ssim, condition),
          estimates_lib.Term(-1.0, other, ssim, condition),
        ],
      )
      for other in (baseline, continued)
    ]
    row += map(cells.difference, estimates)
    row.append(_credit(*estimates))
  return row


def _credit(
  over_baseline: estimates_lib.Estimate | None,
  over_continued: estimates_lib.Estimate | None,
) -> blocks_lib.Cell:
  """Whether a gain over the baseline exceeds the control's."""
  if over_baseline is None or over_continued is None:
    return cells.NOT_RUN
  gain, credit = over_baseline.over_seeds, over_continued.over_seeds
  if gain is None or credit is None:
    return blocks_lib.Cell("? one seed", "open")
  if gain.low > 0 and credit.low > 0:
    return blocks_lib.Cell("✓ yes", "good")
  if gain.high < 0 or credit.high < 0:
    return blocks_lib.Cell("✗ no", "bad")
  return blocks_lib.Cell("? undecided", "open")
