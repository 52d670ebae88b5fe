"""The page's sections on Table 1, the abstract and the controls; no JAX."""

import dataclasses
from collections.abc import Sequence

from sr2_jax import names
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report import tables
from sr2_jax.report.paper import budgets, cells, effect_figure
from sr2_jax.report.paper import estimates as estimates_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values

_MAIN_SSIM = paper_values.SSIMS[0]


def table1(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  """Table 1: the paper, ours, the control, and what lies between them."""
  level = paper_values.TABLE1_NOISE
  blocks: list[blocks_lib.Block] = [
    blocks_lib.Heading(2, "Table 1"),
    blocks_lib.Paragraph(
      f"Mean SSIM (`{_MAIN_SSIM}`) on MNIST at σ² = "
      f"{tables.display_number(level)}, ± half the 95 % interval over seeds. "
      "The control is the second phase without a classifier (λ = 0). λ is 9 "
      "for SR² and 0.11 for the sequential networks. “Trained” is the epochs "
      "of `pretrain` + `joint`; the authors' script has "
      f"{paper_values.AUTHORS_EPOCHS} + {paper_values.AUTHORS_EPOCHS}. "
      "“Running” has BatchNorm's running statistics, the authors' protocol; "
      "the other columns have "
      + (
        "them as well."
        if measurements.batch_norm == "running"
        else "statistics that were estimated again with the final weights. "
        "Where ours was not run, it may be of older rows."
      )
    ),
  ]
  running = measurements.by("running")
  for scale in reversed(paper_values.SCALES):
    rows = [
      _table1_row(measurements, running, method, scale)
      for method in names.METHODS
      if names.method(method).family != "sr_continued"
    ]
    header = (
      f"x{scale}", "Paper", "Ours", "Control", "Ours − control", "Trained",
      "Seeds", "Running",
    )  # fmt: skip
    blocks.append(blocks_lib.Table(header, rows))
  return [
    *blocks,
    blocks_lib.Details(
      "Table 1 by other definitions of SSIM", _by_other_ssims(measurements)
    ),
  ]


def _table1_row(
  measurements: measurements_lib.Measurements,
  running: measurements_lib.Measurements,
  method: str,
  scale: int,
) -> list[str | blocks_lib.Cell]:
  condition = rows_lib.Condition(paper_values.TABLE1_NOISE)
  known = names.method(method)
  subject = paper_values.subject(method, scale)
  of_paper = paper_values.TABLE1.get((method, scale))
  row: list[str | blocks_lib.Cell] = [
    known.title, "—" if of_paper is None else f"{of_paper:.3f}",
  ]  # fmt: skip
  own, control = subject, None
  if known.family in ("sr2", "sequential"):
    control = paper_values.subject(f"sr_continued_{known.trunk}", scale)
    pair = (subject, control)
    if all(x in measurements for x in pair):
      own, control = budgets.alike(measurements, pair) or pair
  row.append(cells.mean(measurements, own, _MAIN_SSIM, condition))
  if control is None:
    row += ["", ""]
  else:
    estimate = estimates_lib.estimate(
      measurements,
      [
        estimates_lib.Term(weight, x, _MAIN_SSIM, condition)
        for weight, x in ((1.0, own), (-1.0, control))
      ],
    )
    row += [
      cells.mean(measurements, control, _MAIN_SSIM, condition),
      cells.difference(estimate),
    ]
  return [
    *row,
    budgets.describe(measurements, own),
    cells.number_of_seeds(measurements, own, _MAIN_SSIM, condition),
    ""
    if subject.method in names.UNTRAINED
    else cells.mean(running, subject, _MAIN_SSIM, condition),
  ]


def _by_other_ssims(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  condition = rows_lib.Condition(paper_values.TABLE1_NOISE)
  blocks: list[blocks_lib.Block] = [
    blocks_lib.Paragraph(
      "The paper names no settings of SSIM. `ssim_uniform7_range2` is what the "
      "authors' code computes (uniform window of 7 px, range 2), "
      "`ssim_uniform7` the same with range 1, and `ssim` that of Wang et al. "
      "(Gaussian window of 11 px), which is not comparable to the paper's "
      "column."
    )
  ]
  for scale in reversed(paper_values.SCALES):
    rows = []
    for method in names.METHODS:
      subject = paper_values.subject(method, scale)
      of_paper = paper_values.TABLE1.get((method, scale))
      rows.append(
        (
          names.method(method).title,
          "—" if of_paper is None else f"{of_paper:.3f}",
          *(
            cells.mean(measurements, subject, ssim, condition)
            for ssim in paper_values.SSIMS
          ),
        )
      )
    header = (f"x{scale}", "Paper", *(f"`{x}`" for x in paper_values.SSIMS))
    blocks.append(blocks_lib.Table(header, rows))
  return blocks


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


def differences(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  """SR² less its control for all networks: a plot, and tables that fold out."""
  pictures, details = [], list[blocks_lib.Block]()
  for dataset, title in _DATASETS.items():
    for scale in reversed(paper_values.SCALES):
      pairs = _pairs(dataset, scale)
      picture = effect_figure.over_noise(
        measurements,
        pairs,
        stem=f"effect_{dataset}_x{scale}",
        title=f"{title} x{scale}",
      )
      if picture is not None:
        pictures.append(picture)
        details += [
          blocks_lib.Paragraph(f"**{title} x{scale}**"),
          _difference_table(measurements, pairs),
        ]
  blocks: list[blocks_lib.Block] = [
    blocks_lib.Heading(2, "SR² less its control"),
    blocks_lib.Paragraph(
      "The second phase changes three things at once: the classifier's "
      "gradient, a learning rate 100 times smaller, and more epochs. The "
      "control has the last two. Only what SR² has beyond it can be credited "
      "to classification."
    ),
  ]
  if not pictures:
    return [*blocks, blocks_lib.Paragraph("Not run.")]
  caption = (
    "SSIM of SR² less that of its control over the noise variance. On MNIST "
    "the curves are the trunks FSRCNN and WDSR; on SVHN, with WDSR, 1 and 4 "
    "shared layers. Dots are seeds; bands are 95 % intervals over them, cut at "
    "the frame; the gray margin counts as no difference; ★ is the paper's SR² "
    "less its baseline."
  )
  return [
    *blocks,
    blocks_lib.Figure(pictures, caption),
    blocks_lib.Details("The differences as tables", details),
  ]


_DATASETS = {paper_values.MNIST: "MNIST", paper_values.SVHN: "SVHN"}


def _pairs(dataset: str, scale: int) -> list[effect_figure.Pair]:
  if dataset == paper_values.SVHN:
    return [
      effect_figure.pair(
        "wdsr", scale, dataset=dataset, shared_layers=shared_layers
      )
      for shared_layers in (1, 4)
    ]
  return [effect_figure.pair(trunk, scale) for trunk in ("fsrcnn", "wdsr")]


def _difference_table(
  measurements: measurements_lib.Measurements,
  pairs: Sequence[effect_figure.Pair],
) -> blocks_lib.Table:
  """Differences from baseline and control at each noise level."""
  rows = []
  for level in paper_values.LEVELS:
    row: list[str | blocks_lib.Cell] = [tables.display_number(level)]
    for pair in pairs:
      trunk = names.method(pair.proposed.method).trunk or ""
      # The baseline has as many shared layers: it is SR²'s own pretraining.
      baseline = dataclasses.replace(
        pair.proposed, method=trunk, loss_weight=None
      )
      of_baseline = dataclasses.replace(pair, control=baseline)
      row += [
        cells.difference(of_baseline.estimate(measurements, level)),
        cells.difference(pair.estimate(measurements, level)),
      ]
    rows.append(row)
  columns = [
    f"{pair.name}:\nSR² − {other}"
    for pair in pairs
    for other in ("baseline", "control")
  ]
  return blocks_lib.Table(("σ²", *columns), rows)
