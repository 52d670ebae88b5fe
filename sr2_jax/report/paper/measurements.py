"""Measurements of runs: rows, scores of images, example images; no JAX.

Everything is looked up by what was measured, a subject under a condition, never
by a run's name. If several experiments measured the same subject, one is taken
and the others are named in `Measurements.notes`.
"""

import collections
import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sr2_jax import errors, names
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import reading
from sr2_jax.report.paper import sources as sources_lib
from sr2_jax.report.paper import subjects as subjects_lib
from sr2_jax.report.paper import values as paper_values


class Measurements:
  """Everything measured on one split.

  Args:
    rows: rows, each with its file.
    split: split whose rows count.
    stand_ins: data set -> another, whose rows count if it has none.
    l2: preferred L2 strength; None: no preference.
    batch_norm: statistics of BatchNorm whose rows count, a key of
      `names.BATCH_NORMS`; None: the first that there are rows of.

  Attributes:
    rows: those of the split, each with its file.
    split: the split.
    batch_norm: the statistics whose rows count.
    stood_in: the `stand_ins` that count.
    notes: what a reader has to know about the choice of rows, and about files
      that could not be used; grows with what is asked for.
  """

  def __init__(
    self,
    rows: Iterable[tuple[rows_lib.Row, pathlib.Path]],
    *,
    split: str,
    stand_ins: Mapping[str, str] | None = None,
    l2: float | None = None,
    batch_norm: str | None = None,
  ) -> None:
    self.rows = [(row, file) for row, file in rows if row.split == split]
    self.split = split
    self.notes: list[str] = []
    self._l2 = l2
    self._stand_ins = stand_ins
    self.batch_norm = batch_norm or self.batch_norms[0]
    found = {row.dataset for row, _ in self.rows}
    self.stood_in = {
      name: other
      for name, other in (stand_ins or {}).items()
      if name not in found and other in found
    }
    replaced = {other: name for name, other in self.stood_in.items()}
    # By method, data set and scale, so that a look-up need not read all rows.
    self._rows: dict[
      tuple[str, str, int], list[tuple[rows_lib.Row, pathlib.Path]]
    ] = collections.defaultdict(list)
    for row, file in self.rows:
      if row.batch_norm not in (None, self.batch_norm):
        continue
      if row.dataset in replaced:
        row = dataclasses.replace(row, dataset=replaced[row.dataset])
      self._rows[row.method, row.dataset, row.scale].append((row, file))
    self._sources: dict[subjects_lib.Subject, sources_lib.Source | None] = {}
    self._per_image: dict[pathlib.Path, arrays_lib.PerImage | None] = {}
    self._budgets: dict[
      subjects_lib.Subject, dict[subjects_lib.Budget, set[int]]
    ] = {}

  def __contains__(self, subject: subjects_lib.Subject) -> bool:
    return self.source(subject) is not None

  @property
  def batch_norms(self) -> tuple[str, ...]:
    """The statistics that there are rows of, the first of all without rows."""
    found = {row.batch_norm for row, _ in self.rows}
    known = tuple(name for name in names.BATCH_NORMS if name in found)
    return known or names.BATCH_NORMS[:1]

  def by(self, batch_norm: str, *, alone: bool = False) -> "Measurements":
    """The same rows, of which those with other statistics count.

    `alone` leaves out files that have others as well.
    """
    kinds = (None, batch_norm)
    others = {file for row, file in self.rows if row.batch_norm not in kinds}
    return Measurements(
      [x for x in self.rows if not (alone and x[1] in others)],
      split=self.split,
      stand_ins=self._stand_ins,
      l2=self._l2,
      batch_norm=batch_norm,
    )

  def budgets(
    self, subject: subjects_lib.Subject
  ) -> Mapping[subjects_lib.Budget, set[int]]:
    """The epochs after which the subject has rows, each with its seeds."""
    if subject not in self._budgets:
      found: dict[subjects_lib.Budget, set[int]] = {}
      for row, _ in self._rows_of(subject):
        if row.seed is not None:
          found.setdefault(subjects_lib.budget_of(row), set()).add(row.seed)
      self._budgets[subject] = found
    return self._budgets[subject]

  def source(self, subject: subjects_lib.Subject) -> sources_lib.Source | None:
    """Where the subject's numbers are from; notes what is left out."""
    if subject not in self._sources:
      sources = sources_lib.ranked(self._rows_of(subject), l2=self._l2)
      # Untrained methods are the same in every experiment.
      taken, *others = sources_lib.names_of(sources) or [""]
      if others and subject.method not in names.UNTRAINED:
        self.note(
          f"{subject}: taken from {taken}; "
          f"left out, though measured as well: {', '.join(others)}."
        )
      self._sources[subject] = sources[0] if sources else None
    return self._sources[subject]

  def by_seed(
    self,
    subject: subjects_lib.Subject,
    metric: str,
    condition: rows_lib.Condition,
  ) -> dict[int | None, float]:
    """The value of each seed, None without training; {} if not run."""
    rows = self._comparable(subject, metric, condition)
    return {seed: row.value for seed, row in rows.items()}

  def num_images(
    self,
    subject: subjects_lib.Subject,
    metric: str,
    condition: rows_lib.Condition,
  ) -> int | None:
    """Images behind each value of `by_seed`; None if not run."""
    rows = self._comparable(subject, metric, condition)
    return next((row.n for row in rows.values()), None)

  def seeds(self, subject: subjects_lib.Subject, metric: str) -> list[int]:
    """The seeds that were measured, at any level; none without training."""
    source = self.source(subject)
    if source is None:
      return []
    found = {
      seed
      for name, condition in source.rows
      if name == metric
      for seed in self._comparable(subject, name, condition)
    }
    return sorted(seed for seed in found if seed is not None)

  def noise_variances(
    self, subject: subjects_lib.Subject, metric: str
  ) -> list[float]:
    """The levels of Gaussian noise that have rows, ascending."""
    source = self.source(subject)
    found = () if source is None else source.rows
    return sorted(
      condition.noise_variance
      for name, condition in found
      if name == metric and condition.corruption is None
    )

  def corruptions(
    self, dataset: str, scale: int
  ) -> dict[str, tuple[float, ...]]:
    """The levels that have rows, for each kind of corruption."""
    levels: dict[str, set[float]] = {}
    for (_, *setting), rows in self._rows.items():
      for row, _ in rows if setting == [dataset, scale] else ():
        if row.corruption is not None and row.corruption_level is not None:
          levels.setdefault(row.corruption, set()).add(row.corruption_level)
    return {kind: tuple(sorted(found)) for kind, found in levels.items()}

  def shared_corruptions(
    self, of: Sequence[subjects_lib.Subject], metric: str
  ) -> dict[str, tuple[float, ...]]:
    """The levels at which all subjects, of one scale, were measured."""
    shared = {}
    found = self.corruptions(of[0].dataset, of[0].scale)
    for kind, levels in found.items():
      measured = tuple(
        level
        for level in levels
        if all(
          self.by_seed(subject, metric, rows_lib.Condition(0.0, kind, level))
          for subject in of
        )
      )
      if measured:
        shared[kind] = measured
    return shared

  def per_image(
    self,
    subject: subjects_lib.Subject,
    metric: str,
    condition: rows_lib.Condition,
    seed: int | None,
  ) -> np.ndarray | None:
    """Scores of single images, float64 [N] in the split's order, or None.

    Scores of other weights than those of the rows do not count.
    """
    source = self.source(subject)
    if source is None or condition.corruption or seed not in source.folders:
      return None
    path = arrays_lib.per_image_path(
      source.folders[seed], subject.method, self.split
    )
    found = self._read_per_image(path, source.folders[seed], subject.method)
    if found is None:
      return None
    place = found.place(_member(subject, source, seed))
    level = found.level(condition.noise_variance)
    if place is None or level is None or metric not in found.scores:
      return None
    if found.steps[place] != source.steps[seed]:
      self.note(f"{_short(path)} is of other weights than the rows: unused.")
      return None
    if found.batch_norm != source.batch_norm:
      self.note(f"{_short(path)} is of other statistics than the rows: unused.")
      return None
    return found.scores[metric][place, level].astype(np.float64)

  def examples(
    self, subject: subjects_lib.Subject
  ) -> arrays_lib.Examples | None:
    """Example images of one member, with the subject's first seed, or None."""
    source = self.source(subject)
    if source is None:
      return None
    seed = min(source.folders, key=lambda seed: -1 if seed is None else seed)
    folder = source.folders[seed]
    try:
      found = arrays_lib.read_examples(folder, subject.method)
    except errors.UserError:
      path = arrays_lib.examples_path(folder, subject.method)
      self.note(f"{_short(path)} cannot be read: unused.")
      return None
    place = found and found.place(_member(subject, source, seed))
    if found is None or place is None:
      return None
    predicted = found.predicted
    return dataclasses.replace(
      found,
      members=(found.members[place],),
      steps=(found.steps[place],),
      super_res=found.super_res[place, None],
      predicted=None if predicted is None else predicted[place, None],
    )

  def note(self, text: str) -> None:
    """Adds to `notes`, once."""
    if text not in self.notes:
      self.notes.append(text)

  def _rows_of(
    self, subject: subjects_lib.Subject
  ) -> list[tuple[rows_lib.Row, pathlib.Path]]:
    key = (subject.method, subject.dataset, subject.scale)
    rows = self._rows.get(key, ())
    return [(row, file) for row, file in rows if subject.matches(row)]

  def _comparable(
    self,
    subject: subjects_lib.Subject,
    metric: str,
    condition: rows_lib.Condition,
  ) -> dict[int | None, rows_lib.Row]:
    """The rows of the seeds that were measured on the most images.

    A mean over other images is no further seed of the same experiment.
    """
    source = self.source(subject)
    rows = {} if source is None else source.at(metric, condition)
    most = max((row.n for row in rows.values()), default=0)
    for seed, row in rows.items():
      if row.n < most:
        self.note(
          f"`{row.experiment}`, {metric}: seed {seed} was measured on "
          f"{row.n:,} images, others on {most:,}; left out."
        )
    return {seed: row for seed, row in rows.items() if row.n == most}

  def _read_per_image(
    self, path: pathlib.Path, folder: pathlib.Path, method: str
  ) -> arrays_lib.PerImage | None:
    if path not in self._per_image:
      self._per_image[path] = None
      try:
        self._per_image[path] = arrays_lib.read_per_image(
          folder, method, self.split
        )
      except errors.UserError:
        self.note(f"{_short(path)} cannot be read: unused.")
    return self._per_image[path]


def read(
  paths: rows_lib.Paths,
  *,
  split: str,
  stand_ins: Mapping[str, str] | None = None,
  l2: float | None = None,
) -> Measurements:
  """`Measurements` of what `reading.read` finds, with its notes."""
  found = reading.read(paths)
  return _noted(found, split=split, stand_ins=stand_ins, l2=l2)


def of_the_paper(found: reading.Found, *, split: str) -> Measurements:
  """What was read, with the paper's L2, and digits that may stand in."""
  stand_ins, l2 = paper_values.STAND_INS, paper_values.L2
  return _noted(found, split=split, stand_ins=stand_ins, l2=l2)


def _noted(found: reading.Found, **settings: Any) -> Measurements:
  measurements = Measurements(found.rows, **settings)
  measurements.notes += found.notes
  return measurements


def _member(
  subject: subjects_lib.Subject, source: sources_lib.Source, seed: int | None
) -> rows_lib.Member:
  return rows_lib.Member(
    seed=seed, l2=source.l2, loss_weight=subject.loss_weight
  )


def _short(path: pathlib.Path) -> str:
  """The end of a path, as `run/per_image/file`, for the page."""
  return "`" + "/".join(path.parts[-3:]) + "`"
