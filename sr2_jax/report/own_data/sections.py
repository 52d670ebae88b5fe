"""The page's sections on data sets that are not the paper's; no JAX."""

import dataclasses
import functools
import io
import re
from collections.abc import Callable, Sequence

import numpy as np

from sr2_jax import errors, names
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report import example_grid, figures, intervals, tables
from sr2_jax.report.own_data import classes, comparison
from sr2_jax.report.paper import cells, effect_figure, sources
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values

_METRICS = {
  "ssim": "SSIM", "psnr_db": "PSNR in dB", "accuracy": "Accuracy",
  "balanced_accuracy": "Balanced accuracy",
}  # fmt: skip


def settings(
  measurements: measurements_lib.Measurements,
) -> list[tuple[str, int]]:
  """The data sets that are not the paper's, each with a scale, in order."""
  found = [(row.dataset, row.scale) for row, _ in measurements.rows]
  return [x for x in dict.fromkeys(found) if x[0] not in paper_values.DATA_SETS]


def is_all(measurements: measurements_lib.Measurements) -> bool:
  """Whether there are rows, and none of the paper's data sets."""
  found = {row.dataset for row, _ in measurements.rows}
  return bool(found) and not found & paper_values.DATA_SETS


def sections(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  """A section for each data set and scale."""
  return [
    block
    for dataset, scale in settings(measurements)
    for block in _section(measurements, dataset, scale)
  ]


def summary(measurements: measurements_lib.Measurements) -> str:
  """The sections in short, for a terminal."""
  parts = []
  for dataset, scale in settings(measurements):
    rows = [row for row, _ in _rows(measurements, dataset, scale)]
    for metric in ("ssim", "accuracy"):
      parts.append(tables.table(rows, metric=metric, split=measurements.split))
    parts += _sentences(measurements, dataset, scale)
  return "\n\n".join(part.replace("**", "") for part in parts if part)


def _section(
  measurements: measurements_lib.Measurements, dataset: str, scale: int
) -> list[blocks_lib.Block]:
  found = _rows(measurements, dataset, scale)
  rows = [row for row, _ in found]
  stem = re.sub(r"\W+", "_", f"{dataset}_x{scale}")
  corruptions = [
    table
    for metric in _METRICS
    if (
      table := tables.corruption_table(
        rows, metric=metric, split=measurements.split
      )
    )
  ]
  return [
    blocks_lib.Heading(2, f"{dataset}, x{scale}"),
    *map(blocks_lib.Paragraph, _sentences(measurements, dataset, scale)),
    *_examples(found, stem),
    *_curves(measurements, rows, stem),
    *_tables(tables.over_noise(rows)),
    *classes.section(found, stem, split=measurements.split),
    *_effect(measurements, dataset, scale, stem),
    *(
      [blocks_lib.Details("Corruptions", [*map(blocks_lib.Code, corruptions)])]
      if corruptions
      else []
    ),
  ]


def _rows(
  measurements: measurements_lib.Measurements, dataset: str, scale: int
) -> sources.RowsWithFiles:
  return [
    (row, file)
    for row, file in measurements.rows
    if (row.dataset, row.scale) == (dataset, scale)
  ]


def _levels(rows: Sequence[rows_lib.Row]) -> list[float]:
  return sorted({row.noise_variance for row in tables.over_noise(rows)})


def _sentences(
  measurements: measurements_lib.Measurements, dataset: str, scale: int
) -> list[str]:
  """What each network gains by classification, at the least noise."""
  levels = _levels([row for row, _ in _rows(measurements, dataset, scale)])
  pairs = comparison.pairs(measurements, dataset, scale)
  if not pairs or not levels:
    return [
      "**No control:** nothing can be said about what classification adds. It "
      "takes SR² and the same training without a classifier "
      "(`model.wiring=none`)."
    ]
  found = [comparison.sentence(measurements, pair, levels[0]) for pair in pairs]
  if len(pairs) > 1:
    found.append("The intervals are not corrected for the number of networks.")
  return found


def _curves(
  measurements: measurements_lib.Measurements,
  rows: Sequence[rows_lib.Row],
  stem: str,
) -> list[blocks_lib.Block]:
  if not any(row.metric in figures.CURVES for row in tables.over_noise(rows)):
    return []
  picture = _picture(
    f"curves_{stem}",
    "SSIM and accuracy over the noise variance",
    lambda png: figures.curves(rows, png, split=measurements.split),
    dots_per_pixel=2,
  )
  caption = (
    "Noise σ² is the variance of Gaussian noise on low-resolution images in "
    "[0, 1]. Bands are 95 % intervals over seeds."
  )
  return [blocks_lib.Figure([picture], caption)]


def _picture(
  stem: str,
  text: str,
  draw: Callable[[io.BytesIO], np.ndarray],
  *,
  dots_per_pixel: int = 1,
) -> blocks_lib.Picture:
  """What a function of `figures` draws, as a PNG alone."""
  png = io.BytesIO()
  width = draw(png).shape[1] // dots_per_pixel
  return blocks_lib.Picture(stem, text, png.getvalue(), b"", width)


def _tables(rows: Sequence[rows_lib.Row]) -> list[blocks_lib.Block]:
  """A table for each metric: methods and noise variances."""
  levels = _levels(rows)
  by_metric = {
    metric: [
      summary
      for summaries in tables.settings(
        row for row in rows if row.metric == metric
      ).values()
      for summary in summaries
    ]
    for metric in _METRICS
  }
  # They are equal where all classes have as many images.
  of_images, of_classes = (
    np.array([x.mean for x in by_metric[metric]])
    for metric in ("accuracy", "balanced_accuracy")
  )
  if np.array_equal(of_images.round(9), of_classes.round(9)):
    del by_metric["balanced_accuracy"]
  every = [summary for of in by_metric.values() for summary in of]
  if not every:
    return []
  counts = dict.fromkeys((min(x.n for x in every), max(x.n_max for x in every)))
  images = "–".join(f"{count:,}" for count in counts)
  text = (
    f"Means over {images} images and {tables.count_seeds(every)}, ± half the "
    "95 % interval over the seeds. SSIM is that of Wang et al. The control is "
    "the second phase without a classifier."
  )
  return [
    blocks_lib.Paragraph(text),
    *(_table(of, metric, levels) for metric, of in by_metric.items() if of),
  ]


def _table(
  summaries: Sequence[intervals.Summary], metric: str, levels: Sequence[float]
) -> blocks_lib.Table:
  by_line = tables.lines(summaries)
  labels = tables.labels(by_line, name_of=lambda key: names.method(key).title)
  decimals = names.METRICS[metric].decimals
  return blocks_lib.Table(
    (_METRICS[metric], *(f"σ² = {tables.display_number(x)}" for x in levels)),
    [
      (labels[line], *(_cell(of.get(x), decimals) for x in levels))
      for line, of in by_line.items()
    ],
  )


def _cell(
  summary: intervals.Summary | None, decimals: int
) -> str | blocks_lib.Cell:
  if summary is None:
    return cells.NOT_RUN
  text = f"{summary.mean:.{decimals}f}"
  if summary.half_width is not None:
    text += f" ± {summary.half_width:.{decimals}f}"
  return text


def _effect(
  measurements: measurements_lib.Measurements,
  dataset: str,
  scale: int,
  stem: str,
) -> list[blocks_lib.Block]:
  """SR² less its control: a figure and a table."""
  pairs = comparison.pairs(measurements, dataset, scale)
  levels = _levels([row for row, _ in _rows(measurements, dataset, scale)])
  picture = effect_figure.over_noise(
    measurements,
    pairs,
    stem=f"effect_{stem}",
    title=f"{dataset} x{scale}",
    levels=levels,
  )
  if picture is None:
    return []
  in_db = [dataclasses.replace(pair, metric="psnr_db") for pair in pairs]
  table = blocks_lib.Table(
    (
      "SR² − control",
      *(f"{pair.name}:\nSSIM" for pair in pairs),
      *(f"{pair.name}:\nPSNR in dB" for pair in pairs),
    ),
    [
      (
        f"σ² = {tables.display_number(level)}",
        *(
          cells.difference(pair.estimate(measurements, level))
          for pair in (*pairs, *in_db)
        ),
      )
      for level in levels
    ],
  )
  caption = (
    "What classification adds: SSIM of SR² less that of its control, the same "
    "second phase without a classifier. Dots are seeds, bands are 95 % "
    "intervals over them, cut at the frame. Within the gray margin a "
    "difference counts as none."
  )
  return [blocks_lib.Figure([picture], caption), table]


def _examples(
  found: sources.RowsWithFiles, stem: str
) -> list[blocks_lib.Block]:
  """Test images by all methods, of the run that has most of them."""
  folders = dict.fromkeys(
    (row.method, file.parent)
    for row, file in sorted(
      (x for x in found if x[0].seed is not None),
      key=lambda x: names.FAMILIES.index(names.method(x[0].method).family),
    )
  )
  for method, folder in reversed(folders):
    try:
      own = arrays_lib.read_examples(folder, method)
      record = folder_lib.RunFolder(folder).read() or {}
    except errors.UserError:
      continue
    if own is None or own.high_res is None or own.low_res is None:
      continue
    baselines = [
      example_grid.Baseline(
        other,
        key,
        0.0 if names.method(key).family == "sr_continued" else None,
      )
      for key, other in folders
      if names.method(key).family in ("trunk", "sr_continued")
      and key != method
      and names.method(key).trunk == names.method(method).trunk
    ]
    grid, _ = example_grid.select(
      own,
      method,
      folder=folder,
      baselines=baselines,
      class_names=record.get("dataset", {}).get("class_names", ()),
    )
    shown = ", ".join(names.method(key).title for key in grid.columns)
    picture = _picture(
      f"examples_{stem}",
      f"Test images: truth, input, {shown}",
      functools.partial(figures.example_grid, grid),
    )
    caption = (
      "Test images by the first seed. Below the truth is its class, and below "
      "a classifier's image the class that it reads."
    )
    return [blocks_lib.Figure([picture], caption)]
  return []
