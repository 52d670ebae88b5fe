"""What runs have measured: rows, per-image scores, examples; no JAX.

Everything is looked up by what was measured, a subject under a condition, never
by a run's name. Where several experiments measured the same subject, one is
taken and the others are named in `Evidence.notes`.
"""

import collections
import dataclasses
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sr2_jax import errors, names
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import rows as rows_lib

_PSNR = "psnr_db"
# Derived from an image's PSNR; only where there are scores of single images.
MSE = "mse"


@dataclasses.dataclass(frozen=True)
class Subject:
  """What numbers are of: one method, trained in one way, at one scale.

  Attributes:
    method: as in a row.
    dataset: as in a row.
    scale: as in a row.
    shared_layers: as in a row; None takes rows with any number.
    loss_weight: as in a row, None of a network without a classifier.
  """

  method: str
  dataset: str
  scale: int
  shared_layers: int | None = None
  loss_weight: float | None = None


@dataclasses.dataclass(frozen=True)
class Run:
  """Where numbers come from.

  Attributes:
    experiment: as in the rows.
    source: the run folder's name, or the file of rows.
    methods: those that it has rows of.
    phases: likewise.
    seeds: those that it has rows of.
    split_images: images of the split behind its rows.
    description: config.json, or None for a file of rows alone.
    is_done: whether the run folder says so.
  """

  experiment: str
  source: str
  methods: tuple[str, ...]
  phases: tuple[str, ...]
  seeds: tuple[int, ...]
  split_images: int
  description: Mapping[str, Any] | None
  is_done: bool


@dataclasses.dataclass(frozen=True)
class Examples:
  """Example images of one member: B images at V noise variances.

  Attributes:
    seed: the member's seed, None without training.
    labels: true classes, int [B].
    positions: places in the split, int [B].
    noise_variances: [V].
    high_res: the truth, [B, H, W, C]; None where the file holds none.
    low_res: [V, B, h, w, C]; None where the file holds none.
    super_res: [V, B, H, W, C].
    predicted: classes that were read, int [V, B]; None without a classifier.
  """

  seed: int | None
  labels: np.ndarray
  positions: np.ndarray
  noise_variances: np.ndarray
  high_res: np.ndarray | None
  low_res: np.ndarray | None
  super_res: np.ndarray
  predicted: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class _Source:
  """The rows of one subject in one experiment, of one L2."""

  experiment: str
  l2: float | None
  values: Mapping[
    tuple[str, rows_lib.Condition], Mapping[int | None, rows_lib.Row]
  ]
  steps: Mapping[int | None, int]
  folders: Mapping[int | None, pathlib.Path]
  num_images: int


class Evidence:
  """Everything measured on one split.

  Args:
    rows: the rows and the file that each stands in.
    split: the split.
    stand_ins: data set -> another, whose rows count where it has none.
    l2: the weight of L2 that counts before others; None knows none such.

  Attributes:
    split: the split.
    stood_in: those of `stand_ins` that do count.
    notes: what a reader has to know of the choice of rows, and of files that
      could not be used; grows with what is asked for.
  """

  def __init__(
    self,
    rows: Iterable[tuple[rows_lib.Row, pathlib.Path]],
    *,
    split: str,
    stand_ins: Mapping[str, str] | None = None,
    l2: float | None = None,
  ) -> None:
    rows = [(row, file) for row, file in rows if row.split == split]
    found = {row.dataset for row, _ in rows}
    self.stood_in = {
      name: other
      for name, other in (stand_ins or {}).items()
      if name not in found and other in found
    }
    replaced = {other: name for name, other in self.stood_in.items()}
    self.split = split
    self._l2 = l2
    self.notes: list[str] = []
    self._rows: dict[tuple[str, str, int], list[Any]] = collections.defaultdict(
      list
    )
    for row, file in rows:
      dataset = replaced.get(row.dataset, row.dataset)
      self._rows[row.method, dataset, row.scale].append((row, file))
    self._sources: dict[Subject, _Source | None] = {}
    self._arrays: dict[pathlib.Path, dict[str, np.ndarray] | None] = {}

  def __contains__(self, subject: Subject) -> bool:
    return self._source(subject) is not None

  def experiment(self, subject: Subject) -> str | None:
    """The experiment that the subject's numbers are taken from."""
    source = self._source(subject)
    return None if source is None else source.experiment

  def by_seed(
    self, subject: Subject, metric: str, condition: rows_lib.Condition
  ) -> dict[int | None, float]:
    """The value of each seed, of None without training; {} where not run."""
    source = self._source(subject)
    if source is None:
      return {}
    if metric == MSE:
      scores = {
        seed: self.per_image(subject, metric, condition, seed)
        for seed in self._measured(source, _PSNR, condition)
      }
      return {
        seed: float(values.mean())
        for seed, values in scores.items()
        if values is not None
      }
    rows = self._measured(source, metric, condition)
    return {seed: row.value for seed, row in rows.items()}

  def num_images(
    self, subject: Subject, metric: str, condition: rows_lib.Condition
  ) -> int | None:
    """Images behind each value of `by_seed`; None where not run."""
    source = self._source(subject)
    if source is None:
      return None
    metric = _PSNR if metric == MSE else metric
    rows = self._measured(source, metric, condition)
    return next((row.n for row in rows.values()), None)

  def seeds(self, subject: Subject, metric: str) -> list[int]:
    """The seeds that were measured, at any level; none without training."""
    source = self._source(subject)
    if source is None:
      return []
    found = {
      seed
      for name, condition in source.values
      if name == metric
      for seed in self._measured(source, name, condition)
    }
    return sorted(seed for seed in found if seed is not None)

  def noise_variances(self, subject: Subject, metric: str) -> list[float]:
    """The levels of Gaussian noise that there are rows of, ascending."""
    source = self._source(subject)
    known = () if source is None else source.values
    return sorted(
      condition.noise_variance
      for name, condition in known
      if name == metric and condition.corruption is None
    )

  def corruptions(
    self, dataset: str, scale: int
  ) -> dict[str, tuple[float, ...]]:
    """The levels that there are rows of, for each kind of corruption."""
    levels: dict[str, set[float]] = {}
    for (_, *setting), rows in self._rows.items():
      for row, _ in rows if setting == [dataset, scale] else ():
        condition = row.condition
        if condition.corruption is not None and condition.level is not None:
          levels.setdefault(condition.corruption, set()).add(condition.level)
    return {kind: tuple(sorted(found)) for kind, found in levels.items()}

  def shared_corruptions(
    self, subjects: Sequence[Subject], metric: str
  ) -> dict[str, tuple[float, ...]]:
    """The levels at which all were measured, of one data set and scale."""
    shared = {}
    known = self.corruptions(subjects[0].dataset, subjects[0].scale)
    for kind, levels in known.items():
      measured = tuple(
        level
        for level in levels
        if all(
          self.by_seed(subject, metric, rows_lib.Condition(0.0, kind, level))
          for subject in subjects
        )
      )
      if measured:
        shared[kind] = measured
    return shared

  def per_image(
    self,
    subject: Subject,
    metric: str,
    condition: rows_lib.Condition,
    seed: int | None,
  ) -> np.ndarray | None:
    """Scores of single images, float64 [N] in the split's order, or None.

    Scores of other weights than those of the rows do not count.
    """
    source = self._source(subject)
    if source is None or condition.corruption is not None:
      return None
    folder = source.folders.get(seed)
    if folder is None:
      return None
    path = arrays_lib.per_image_path(folder, subject.method, self.split)
    arrays = self._read_arrays(path)
    if arrays is None:
      return None
    name = _PSNR if metric == MSE else metric
    try:
      member = arrays_lib.place_of(
        arrays, seed=seed, l2=source.l2, loss_weight=subject.loss_weight
      )
      levels = np.isclose(
        arrays["noise_variances"], condition.noise_variance, 1e-6, 1e-12
      )
      if member is None or not levels.any() or name not in arrays:
        return None
      if int(arrays["step"][member]) != source.steps[seed]:
        self.note(f"{_short(path)} is of other weights than the rows: unused.")
        return None
      values = arrays[name][member, int(np.argmax(levels))]
    except (KeyError, IndexError, ValueError) as error:
      self.note(f"{_short(path)} is damaged ({error!r}): unused.")
      return None
    values = values.astype(np.float64)
    return 10 ** (-values / 10) if metric == MSE else values

  def examples(self, subject: Subject) -> Examples | None:
    """Example images of the subject's first seed, or None."""
    source = self._source(subject)
    if source is None:
      return None
    seed = min(source.folders, key=lambda seed: -1 if seed is None else seed)
    path = arrays_lib.examples_path(source.folders[seed], subject.method)
    arrays = self._read_arrays(path)
    if arrays is None:
      return None
    try:
      member = arrays_lib.place_of(
        arrays, seed=seed, l2=source.l2, loss_weight=subject.loss_weight
      )
      if member is None:
        return None
      predicted = arrays.get("predicted")
      return Examples(
        seed=seed,
        labels=arrays["labels"],
        positions=arrays["positions"],
        noise_variances=arrays["noise_variances"],
        high_res=arrays.get("high_res"),
        low_res=arrays.get("low_res"),
        super_res=arrays["super_res"][member],
        predicted=None if predicted is None else predicted[member],
      )
    except (KeyError, IndexError) as error:
      self.note(f"{_short(path)} is damaged ({error!r}): unused.")
      return None

  def runs(self) -> list[Run]:
    """Every experiment in every file of rows, with its config.json."""
    groups: dict[tuple[pathlib.Path, str], list[rows_lib.Row]] = {}
    for group in self._rows.values():
      for row, file in group:
        groups.setdefault((file, row.experiment), []).append(row)
    runs = []
    for (file, experiment), rows in groups.items():
      is_folder = file.name == rows_lib.FILE_NAME
      folder = folder_lib.RunFolder(file.parent)
      seeds = {row.seed for row in rows} - {None}
      runs.append(
        Run(
          experiment=experiment,
          source=file.parent.name if is_folder else file.name,
          methods=tuple(dict.fromkeys(row.method for row in rows)),
          phases=tuple(dict.fromkeys(row.phase for row in rows)),
          seeds=tuple(sorted(seed for seed in seeds if seed is not None)),
          split_images=max(row.n for row in rows),
          description=folder.read() if is_folder else None,
          is_done=is_folder and folder.is_done,
        )
      )
    return sorted(runs, key=lambda run: (run.experiment, run.source))

  def _source(self, subject: Subject) -> _Source | None:
    """The experiment that measured the subject with most seeds and images.

    And with the preferred weight of L2, if any did.
    """
    if subject not in self._sources:
      key = (subject.method, subject.dataset, subject.scale)
      groups: dict[Any, list[Any]] = collections.defaultdict(list)
      for row, file in self._rows.get(key, ()):
        if _is_of(row, subject):
          groups[row.experiment, row.l2].append((row, file))
      sources = sorted(
        (
          _gather(experiment, l2, rows)
          for (experiment, l2), rows in groups.items()
        ),
        # Of equals the first in the order of the files and of their rows.
        key=lambda x: (self._is_other_l2(x), -len(x.steps), -x.num_images),
      )
      # Interpolation is the same everywhere: nothing to tell.
      if len(sources) > 1 and subject.method not in names.UNTRAINED:
        taken, *others = (_name(source, sources) for source in sources)
        self.note(
          f"{_describe(subject)}: taken from {taken}; "
          f"left out, though measured as well: {', '.join(others)}."
        )
      self._sources[subject] = sources[0] if sources else None
    return self._sources[subject]

  def _is_other_l2(self, source: _Source) -> bool:
    """Old rows do not say their L2: nothing speaks against them."""
    return None not in (self._l2, source.l2) and not _same(source.l2, self._l2)

  def _measured(
    self, source: _Source, metric: str, condition: rows_lib.Condition
  ) -> dict[int | None, rows_lib.Row]:
    """A source's rows at a condition: of the seeds with the most images.

    Means over other images are no further seeds of the same experiment.
    """
    for (name, known), rows in source.values.items():
      if name == metric and _same_condition(known, condition):
        most = max(row.n for row in rows.values())
        for seed, row in rows.items():
          if row.n < most:
            self.note(
              f"`{source.experiment}`, {metric}: seed {seed} was measured on "
              f"{row.n:,} images, others on {most:,}; left out."
            )
        return {seed: row for seed, row in rows.items() if row.n == most}
    return {}

  def _read_arrays(self, path: pathlib.Path) -> dict[str, np.ndarray] | None:
    if path not in self._arrays:
      self._arrays[path] = None
      try:
        self._arrays[path] = arrays_lib.read(path)
      except errors.UserError:
        self.note(f"{_short(path)} cannot be read: unused.")
    return self._arrays[path]

  def note(self, text: str) -> None:
    """Adds to `notes`, once."""
    if text not in self.notes:
      self.notes.append(text)


def read(
  paths: rows_lib.Paths,
  *,
  split: str,
  stand_ins: Mapping[str, str] | None = None,
  l2: float | None = None,
) -> Evidence:
  """Reads run folders, folders of them, or files of rows.

  Args:
    paths: as `results.read` has them.
    split: as in rows.
    stand_ins: as `Evidence` has them.
    l2: likewise.

  Raises:
    UserError: as `results.read` does.
  """
  return Evidence(
    rows_lib.read_with_files(paths), split=split, stand_ins=stand_ins, l2=l2
  )


def _is_of(row: rows_lib.Row, subject: Subject) -> bool:
  if subject.shared_layers not in (None, row.shared_layers):
    return False
  return _same(row.loss_weight, subject.loss_weight)


def _name(source: _Source, sources: Sequence[_Source]) -> str:
  """A source's experiment, and its L2 where that is not all sources' L2."""
  name = f"`{source.experiment}`"
  if any(source.l2 != other.l2 for other in sources):
    name += " with L2 " + ("unknown" if source.l2 is None else f"{source.l2:g}")
  return name


def _gather(experiment: str, l2: float | None, rows: list[Any]) -> _Source:
  """Rows of one source; of each seed those of its last step."""
  last = rows_lib.last_steps(row for row, _ in rows)
  values: dict[Any, dict[int | None, rows_lib.Row]] = {}
  steps, folders, num_images = {}, {}, 0
  for row, file in rows:
    if row.step != last[rows_lib.weights(row)]:
      continue
    key = (row.metric, row.condition)
    values.setdefault(key, {})[row.seed] = row
    steps[row.seed] = row.step
    folders[row.seed] = file.parent
    num_images = max(num_images, row.n)
  return _Source(experiment, l2, values, steps, folders, num_images)


def _same(a: float | None, b: float | None) -> bool:
  if a is None or b is None:
    return a is b
  return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12)


def _same_condition(a: rows_lib.Condition, b: rows_lib.Condition) -> bool:
  return (
    a.corruption == b.corruption
    and _same(a.noise_variance, b.noise_variance)
    and _same(a.level, b.level)
  )


def _describe(subject: Subject) -> str:
  text = f"`{subject.method}` on {subject.dataset} x{subject.scale}"
  if subject.shared_layers is not None:
    text += f", shared layers {subject.shared_layers}"
  if subject.loss_weight is not None:
    text += f", λ = {subject.loss_weight:g}"
  return text


def _short(path: pathlib.Path) -> str:
  """As run/per_image/file, in the page."""
  return "`" + "/".join(path.parts[-3:]) + "`"
