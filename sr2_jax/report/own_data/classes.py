"""Which classes of a user's own images are read right, and as which; no JAX."""

import io
from collections.abc import Sequence

import numpy as np

from sr2_jax import errors, names
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import folder as folder_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report import confusion_matrix, tables
from sr2_jax.report.paper import sources


def section(
  found: sources.RowsWithFiles, stem: str, *, split: str
) -> list[blocks_lib.Block]:
  """A picture and a table of the classes by each network that classifies.

  There is no picture of more classes than can be read in one.

  Args:
    found: rows of a data set and scale, with their files.
    stem: what names of pictures end with.
    split: the split to show.
  """
  networks = dict.fromkeys(
    (row.method, file.parent) for row, file in found if row.metric == "accuracy"
  )
  methods = [method for method, _ in networks]
  blocks: list[blocks_lib.Block] = []
  for place, (method, folder) in enumerate(networks):
    try:
      per_image = arrays_lib.read_per_image(folder, method, split)
      record = folder_lib.RunFolder(folder).read() or {}
    except errors.UserError:
      continue
    class_names = record.get("dataset", {}).get("class_names", ())
    if per_image is None or len(class_names) < 2:
      continue
    if matrices := confusion_matrix.of(per_image, class_names):
      end = f"{method}_{stem}" + (f"_{place}" if place else "")
      title = names.method(method).title
      if methods.count(method) > 1:
        title += f" ({folder.name})"
      blocks += _of_network(matrices, title, end)
  return blocks


def _of_network(
  matrices: Sequence[confusion_matrix.Matrix], title: str, stem: str
) -> list[blocks_lib.Block]:
  seeds = tables.number_of_seeds(matrices[0].num_seeds)
  caption = (
    f"Classes by {title}, {seeds} together. A row is a true class; its cells "
    "say how many percent of its images are read as each class. Those on the "
    "diagonal are right."
  )
  pictures = []
  for place, matrix in enumerate(x for x in matrices if x.is_legible):
    png = io.BytesIO()
    width = confusion_matrix.draw(matrix, png).shape[1]
    level = tables.display_number(matrix.noise_variance)
    alt = f"Classes that {title} reads at σ² = {level}, by true class"
    name = f"confusion_{stem}_{place}"
    pictures.append(blocks_lib.Picture(name, alt, png.getvalue(), b"", width))
  details = blocks_lib.Details(
    f"Accuracy of each class, {title}", [_table(matrices)]
  )
  if not pictures:
    return [details]
  return [blocks_lib.Figure(pictures, caption), details]


def _table(matrices: Sequence[confusion_matrix.Matrix]) -> blocks_lib.Table:
  """A row for each class: images, accuracy, and its commonest mistake."""
  least = matrices[0]
  levels = [tables.display_number(x.noise_variance) for x in matrices]
  return blocks_lib.Table(
    (
      "Class",
      "Images",
      *(f"Accuracy, σ² = {level}" for level in levels),
      f"Most often mistaken for, σ² = {levels[0]}",
    ),
    [
      (
        name,
        f"{least.images[label]:,}",
        *(_accuracy(matrix.recalls[label]) for matrix in matrices),
        _mistake(least, label),
      )
      for label, name in enumerate(least.class_names)
    ],
  )


def _accuracy(value: float) -> str:
  return "—" if np.isnan(value) else f"{value:.3f}"


def _mistake(matrix: confusion_matrix.Matrix, label: int) -> str:
  """The class that most images of this one are wrongly read as."""
  wrong = matrix.counts[label].copy()
  wrong[label] = 0
  if not wrong.any():
    return "—"
  read = int(wrong.argmax())
  share = wrong[read] / matrix.counts[label].sum()
  return f"{matrix.class_names[read]} ({share:.0%})"
