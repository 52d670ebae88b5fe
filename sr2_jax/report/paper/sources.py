"""Chooses the experiment that a subject's numbers are taken from; no JAX."""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from sr2_jax.records import rows as rows_lib
from sr2_jax.report.paper import subjects as subjects_lib

RowsWithFiles = Sequence[tuple[rows_lib.Row, pathlib.Path]]


@dataclasses.dataclass(frozen=True)
class Source:
  """The rows of one subject in one experiment, with one L2 and budget.

  Attributes:
    experiment: as in the rows.
    l2: as in the rows.
    budget: epochs of training, as `Subject` has them.
    rows: the current ones, by metric and condition, then by seed.
    steps: the last step of each seed.
    batch_norm: BatchNorm's statistics in all of them, as in the rows.
    folders: where the rows of each seed are.
    num_images: images behind a row; the most, if rows differ in that.
  """

  experiment: str
  l2: float | None
  budget: subjects_lib.Budget
  rows: Mapping[
    tuple[str, rows_lib.Condition], Mapping[int | None, rows_lib.Row]
  ]
  steps: Mapping[int | None, int]
  batch_norm: str | None
  folders: Mapping[int | None, pathlib.Path]
  num_images: int

  def at(
    self, metric: str, condition: rows_lib.Condition
  ) -> Mapping[int | None, rows_lib.Row]:
    """The rows of a metric at a condition, by seed."""
    for (name, known), rows in self.rows.items():
      if name == metric and known.is_close(condition):
        return rows
    return {}


def ranked(rows: RowsWithFiles, *, l2: float | None) -> list[Source]:
  """The sources of one subject's rows, the one to take first.

  A source with the preferred L2 comes before others, then one with more seeds,
  then one with more images, then one that was trained for longer; of equals the
  first in the order of the rows.

  Args:
    rows: all of one subject, each with its file.
    l2: preferred L2; None: no preference.
  """
  groups: dict[
    tuple[str, float | None, subjects_lib.Budget],
    list[tuple[rows_lib.Row, pathlib.Path]],
  ] = {}
  for row, file in rows:
    key = (row.experiment, row.l2, subjects_lib.budget_of(row))
    groups.setdefault(key, []).append((row, file))
  sources = [_gather(*key, group) for key, group in groups.items()]

  def is_other_l2(source: Source) -> bool:
    # Old rows have no L2 field; treat them as matching.
    return None not in (l2, source.l2) and not rows_lib.is_close(source.l2, l2)

  return sorted(
    sources,
    key=lambda x: (
      is_other_l2(x),
      -len(x.steps),
      -x.num_images,
      *(-(part or 0) for part in x.budget),
    ),
  )


def names_of(sources: Sequence[Source]) -> list[str]:
  """Their experiments, each once, with its L2 if they differ in it."""
  first = {(source.experiment, source.l2): source for source in sources[::-1]}
  sources = [*first.values()][::-1]
  texts = [f"`{source.experiment}`" for source in sources]
  if len({source.l2 for source in sources}) == 1:
    return texts
  return [
    f"{text} with L2 " + ("unknown" if source.l2 is None else f"{source.l2:g}")
    for text, source in zip(texts, sources, strict=True)
  ]


def _gather(
  experiment: str,
  l2: float | None,
  budget: subjects_lib.Budget,
  rows: Iterable[tuple[rows_lib.Row, pathlib.Path]],
) -> Source:
  rows = list(rows)
  current = set(rows_lib.current(row for row, _ in rows))
  rows = [(row, file) for row, file in rows if row in current]
  found: dict[
    tuple[str, rows_lib.Condition], dict[int | None, rows_lib.Row]
  ] = {}
  for row, _ in rows:
    found.setdefault((row.metric, row.condition), {})[row.seed] = row
  return Source(
    experiment=experiment,
    l2=l2,
    budget=budget,
    rows=found,
    steps={row.seed: row.step for row, _ in rows},
    batch_norm=rows[0][0].batch_norm,
    folders={row.seed: file.parent for row, file in rows},
    num_images=max(row.n for row, _ in rows),
  )
