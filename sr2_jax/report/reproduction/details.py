"""The tables of docs/reproduction.md, section by section; no JAX."""

import dataclasses

from sr2_jax import names
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report import tables
from sr2_jax.report.paper import budgets, cells, effect_figure, sections
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import subjects as subjects_lib
from sr2_jax.report.paper import values as paper_values
from sr2_jax.report.reproduction import numbers as numbers_lib

_SSIM = paper_values.SSIMS[0]
_LEVELS = (0.0, 1e-4, 1e-3, 1e-2)


def table1(numbers: numbers_lib.Numbers) -> list[blocks_lib.Block]:
  """Table 1, and that of the older rows."""
  return numbers_lib.new_and_old(
    numbers,
    lambda measurements: [
      block
      for block in sections.table1(measurements)
      if isinstance(block, blocks_lib.Table)
    ],
  )


def levels(
  numbers: numbers_lib.Numbers, dataset: str, scale: int
) -> list[blocks_lib.Block]:
  """SSIM and accuracy at four noise levels, of one data set and scale."""

  def blocks_of(
    measurements: measurements_lib.Measurements,
  ) -> list[blocks_lib.Block]:
    return [
      table
      for metric in (_SSIM, "accuracy")
      if (table := _levels(measurements, dataset, scale, metric)) is not None
    ]

  return numbers_lib.new_and_old(numbers, blocks_of)


def _levels(
  measurements: measurements_lib.Measurements,
  dataset: str,
  scale: int,
  metric: str,
) -> blocks_lib.Table | None:
  rows = []
  has_trained = False
  for method in names.METHODS:
    shared = (1, 4) if dataset == paper_values.SVHN else (1,)
    if method in names.UNTRAINED:
      shared = (1,)
    for shared_layers in shared:
      subject = paper_values.subject(
        method, scale, dataset=dataset, shared_layers=shared_layers
      )
      if not measurements.noise_variances(subject, metric):
        continue
      has_trained |= method not in names.UNTRAINED
      rows.append(
        (
          paper_values.full_name(subject),
          *(
            cells.mean(measurements, subject, metric, rows_lib.Condition(level))
            for level in _LEVELS
          ),
        )
      )
  title = "SSIM" if metric == _SSIM else "Accuracy"
  if not has_trained:
    return None
  return blocks_lib.Table((title, *_titles()), rows)


def _titles() -> list[str]:
  return [f"σ² = {tables.display_number(level)}" for level in _LEVELS]


def loss_weights(numbers: numbers_lib.Numbers) -> list[blocks_lib.Block]:
  """SR² FSRCNN at x4 for each λ that was run; validation chooses among them."""

  def blocks_of(
    measurements: measurements_lib.Measurements,
  ) -> list[blocks_lib.Block]:
    weights = sorted(
      {
        row.loss_weight
        for row, _ in measurements.rows
        if row.method == "sr2_fsrcnn" and row.loss_weight
        if row.batch_norm == measurements.batch_norm
      }
    )
    rows = []
    for weight in weights:
      subject = paper_values.subject("sr2_fsrcnn", 4, loss_weight=weight)
      if subject in measurements:
        condition = rows_lib.Condition(paper_values.TABLE1_NOISE)
        validation = numbers.of_validation[measurements.batch_norm]
        rows.append(
          (
            f"{weight:g}",
            cells.mean(validation, subject, _SSIM, condition),
            cells.mean(measurements, subject, _SSIM, condition),
            cells.mean(measurements, subject, "accuracy", condition),
            budgets.describe(measurements, subject),
          )
        )
    level = tables.display_number(paper_values.TABLE1_NOISE)
    header = (
      "λ", f"Validation SSIM at σ² = {level}", f"SSIM at σ² = {level}",
      f"Accuracy at σ² = {level}", "Trained",
    )  # fmt: skip
    return [blocks_lib.Table(header, rows)] if rows else []

  return numbers_lib.new_and_old(numbers, blocks_of)


def epochs(numbers: numbers_lib.Numbers) -> list[blocks_lib.Block]:
  """SR² FSRCNN less its control at x4, for each budget with rows."""
  pair = effect_figure.pair("fsrcnn", 4)
  level = paper_values.TABLE1_NOISE
  rows = []
  found = budgets.shared(numbers.new, [pair.proposed, pair.control])
  for budget in sorted(found, key=lambda x: (x[0] or 0, x[1] or 0)):
    estimate = pair.estimate(numbers.new, level, budget=budget)
    if estimate is not None:
      means = (
        cells.mean(
          numbers.new,
          dataclasses.replace(subject, budget=budget),
          _SSIM,
          rows_lib.Condition(level),
          seeds=estimate.seeds,
        )
        for subject in (pair.proposed, pair.control)
      )
      rows.append(
        (
          budgets.text(budget),
          *means,
          cells.difference(estimate),
          str(len(estimate.seeds)),
        )
      )
  if not rows:
    return [blocks_lib.Paragraph(numbers_lib.NOT_RUN)]
  header = ("Epochs", "SR² FSRCNN", "Control", "SR² − control", "Seeds")
  return [blocks_lib.Table(header, rows)]


# Files of other recipes, and what they change.
_WHY = {
  "why_momentum": "`model.batch_norm_momentum=0.9`",
  "why_l1": "`loss.super_resolution=l1`, as in the authors' script",
  "why_kernels": "`loss.l2_scope=kernels`, L2 on all kernels",
  "why_l2": "`loss.l2`",
  "why_continued_lr1e-3": "control with a learning rate of 1e-3",
  "why_continued_lr1e-4": "control with a learning rate of 1e-4",
  "why_normalized": "`loss.normalize_weights=True`, as in the authors' script",
  "why_continued_l2_0.1": "control of the line above: L2 of 0.1",
  "why_l1_joint": "mean absolute error in both phases",
  "why_l1_continued": "control of the lines above",
  "why_authors_script": "mean absolute error, and divided by 1 + λ",
  "why_authors_script_continued": "control of the lines above: L2 of 0.1",
  "why_epochs_continued": "twelve epochs of `pretrain`, and the control",
  "why_epochs": "twelve epochs of `pretrain`, then SR²",
}


def why(numbers: numbers_lib.Numbers) -> list[blocks_lib.Block]:
  """A line for each network of another recipe, and the usual ones first."""
  rows = []
  for method in ("fsrcnn", "sr_continued_fsrcnn", "sr2_fsrcnn"):
    subject = paper_values.subject(method, 4)
    measured = numbers.new if subject in numbers.new else numbers.old
    if subject in measured:
      rows.append(_why_row("the usual recipe", measured, subject))
  order = [*_WHY, *(name for name in numbers.why if name not in _WHY)]
  for name in order:
    measured = numbers.why.get(name)
    if measured is None:
      continue
    members = dict.fromkeys(
      (row.method, row.loss_weight, row.l2)
      for row, _ in measured.rows
      if row.seed is not None
    )
    several = len({l2 for _, _, l2 in members}) > 1
    for method, loss_weight, l2 in members:
      only = measurements_lib.Measurements(
        [
          (row, file)
          for row, file in measured.rows
          if row.seed is None or rows_lib.is_close(row.l2, l2)
        ],
        split="test",
      )
      subject = subjects_lib.Subject(
        method, paper_values.MNIST, 4, loss_weight=loss_weight
      )
      text = _WHY.get(name, f"`{name}`")
      if several:
        text += f" of {l2:g}"
      rows.append(_why_row(text, only, subject))
  return [
    blocks_lib.Table(
      ("Recipe", "Network", *_titles(), "Seeds", "Statistics"), rows
    )
  ]


def _why_row(
  text: str,
  measurements: measurements_lib.Measurements,
  subject: subjects_lib.Subject,
) -> list[str | blocks_lib.Cell]:
  zero = rows_lib.Condition(0.0)
  return [
    text,
    names.method(subject.method).title,
    *(
      cells.mean(measurements, subject, _SSIM, rows_lib.Condition(level))
      for level in _LEVELS
    ),
    cells.number_of_seeds(measurements, subject, _SSIM, zero),
    measurements.batch_norm,
  ]
