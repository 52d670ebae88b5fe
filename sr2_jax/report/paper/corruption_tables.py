"""The page's section on other degradations than Gaussian noise; no JAX."""

import itertools
from collections.abc import Sequence

from sr2_jax import names
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report import tables
from sr2_jax.report.paper import cells
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import subjects as subjects_lib
from sr2_jax.report.paper import values as paper_values

_MAIN_SSIM = paper_values.SSIMS[0]
_STRONG_NOISE = rows_lib.Condition(paper_values.STRONG_NOISE)


def section(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  """SSIM and accuracy at each level of each corruption."""
  blocks: list[blocks_lib.Block] = [
    blocks_lib.Heading(2, "Beyond Gaussian noise"),
    blocks_lib.Paragraph(
      "The paper's claim is about unseen degradations; it tests Gaussian "
      "noise. Here the same networks meet other degradations. SSIM is "
      f"`{_MAIN_SSIM}`; means over seeds, ± half the 95 % interval."
    ),
  ]
  settings = itertools.product(
    (paper_values.MNIST, paper_values.SVHN), paper_values.SCALES
  )
  for dataset, scale in settings:
    if measurements.corruptions(dataset, scale):
      blocks += _of_setting(measurements, dataset, scale)
    elif dataset == paper_values.MNIST:
      blocks.append(blocks_lib.Paragraph(f"Not run on {dataset} at x{scale}."))
  return blocks


def _of_setting(
  measurements: measurements_lib.Measurements, dataset: str, scale: int
) -> list[blocks_lib.Block]:
  """A table for SSIM and one for accuracy, of one data set and scale."""
  on_svhn = dataset == paper_values.SVHN
  subjects = dict.fromkeys(
    paper_values.subject(
      method, scale, dataset=dataset, shared_layers=shared_layers
    )
    for method in names.METHODS
    for shared_layers in ((1, 4) if on_svhn else (1,))
  )
  levels = measurements.corruptions(dataset, scale)
  conditions = [
    rows_lib.Condition(0.0, kind, level)
    for kind in names.CORRUPTIONS
    for level in levels.get(kind, ())
  ]
  blocks: list[blocks_lib.Block] = []
  for metric, name in ((_MAIN_SSIM, "SSIM"), ("accuracy", "Accuracy")):
    # Methods that were not run, or that do not classify, have no column.
    columns = [
      subject
      for subject in subjects
      if any(measurements.by_seed(subject, metric, x) for x in conditions)
    ]
    if columns:
      title = f"{name}{', SVHN' if on_svhn else ''}, x{scale}"
      table = _table(measurements, columns, metric, conditions)
      blocks.append(blocks_lib.Details(title, [table]))
  absent = [
    corruption.name
    for kind, corruption in names.CORRUPTIONS.items()
    if kind not in levels
  ]
  if absent:
    blocks.append(blocks_lib.Paragraph(f"Not run: {', '.join(absent)}."))
  return blocks


def _table(
  measurements: measurements_lib.Measurements,
  subjects: Sequence[subjects_lib.Subject],
  metric: str,
  conditions: Sequence[rows_lib.Condition],
) -> blocks_lib.Table:
  """A row for each degradation, from Gaussian noise on."""
  return blocks_lib.Table(
    (
      "Degradation",
      *(_name_and_seeds(measurements, subject, metric) for subject in subjects),
    ),
    [
      (
        _title(condition),
        *(
          cells.mean(measurements, subject, metric, condition)
          for subject in subjects
        ),
      )
      for condition in (_STRONG_NOISE, *conditions)
    ],
  )


def _title(condition: rows_lib.Condition) -> str:
  if condition.corruption is None:
    level = tables.display_number(condition.noise_variance)
    return f"Gaussian noise, σ² = {level}"
  return f"{names.CORRUPTIONS[condition.corruption].title} {condition.level:g}"


def _name_and_seeds(
  measurements: measurements_lib.Measurements,
  subject: subjects_lib.Subject,
  metric: str,
) -> str:
  """A column's heading, with its seeds, because methods differ in them."""
  name = paper_values.full_name(subject)
  seeds = measurements.seeds(subject, metric)
  if not seeds:
    return name
  return f"{name}\n{tables.number_of_seeds(len(seeds))}"
