"""The metrics of a run: metrics.jsonl, TensorBoard and timing.jsonl.

metrics.jsonl has one JSON object on each line: `kind` ("train" or
"validation"), `phase`, `step` (done in that phase), `seed`, `l2`,
`loss_weight`, then the metrics by name. It holds no times, which `timing_log`
has, so that a resumed run's file equals that of an uninterrupted run byte for
byte. A number that is not finite is null. The last line of a member that
diverges also has `diverged_at`, the step.

TensorBoard's files are under tensorboard/, with one run for each member
(joint/seed_0_l2_0.01_lambda_9) and tags like train/loss, so that one chart
compares the members. Images and throughput are in one run for each phase. A
kill may lose what came after the last `sync` there, but not in metrics.jsonl.
They only show a run: where they cannot be written, the run goes on without.
"""

import contextlib
import hashlib
import math
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np

from sr2_jax import errors, files, json_files, names
from sr2_jax.records import json_lines, timing_log
from sr2_jax.records import tensorboard as tensorboard_lib

FILE_NAME = "metrics.jsonl"
KINDS = ("train", "validation")
DIVERGED_AT = "diverged_at"
_IDENTITY = ("kind", "phase", "step", "seed", "l2", "loss_weight")


class Writer:
  """Appends log lines, scalars and images to a run folder.

  Order of calls: `truncate` at every start, before anything is written. Then
  a step's log lines and `sync`, before that step's checkpoint. `close` at last.

  Args:
    workdir: the run folder.
    tensorboard: also write TensorBoard files.
    active: False makes every method do nothing: for all processes but one.

  Attributes:
    timing: timing.jsonl.
  """

  def __init__(
    self,
    workdir: str | os.PathLike[str],
    *,
    tensorboard: bool,
    active: bool = True,
  ) -> None:
    self._path = pathlib.Path(workdir) / FILE_NAME
    self._active = active
    self.timing = timing_log.TimingLog(workdir, active=active)
    self._file: IO[bytes] | None = None
    self._lines, self._digest = 0, hashlib.sha256()
    self._ends: list[dict[str, Any]] = []
    self._tensorboard: tensorboard_lib.TensorBoard | None = None
    if active and tensorboard:
      self._tensorboard = tensorboard_lib.TensorBoard(
        pathlib.Path(workdir) / "tensorboard"
      )

  def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
    """Appends lines: kind, phase, step, seed, l2, loss_weight and metrics.

    A step may follow as `diverged_at`.

    Raises:
      ValueError: a line lacks one of these, or its kind or phase is unknown.
    """
    if not self._active or not rows:
      return
    ordered = [_ordered(row) for row in rows]
    if self._file is None:
      self._path.parent.mkdir(parents=True, exist_ok=True)
      # Unbuffered: killing this process loses no line that was written.
      self._file = files.open_to_append(self._path, buffering=0)
    rest = "".join(map(json_lines.dump, ordered)).encode()
    self._count(rest, ordered)
    with files.naming(self._path):
      while rest:  # A disk may take a part before it reports that it is full.
        rest = rest[self._file.write(rest) :]
    with self._showing() as board:
      for row in ordered:
        for name, value in row.items():
          # A chart has no place for a number that is not finite.
          is_metric = name not in (*_IDENTITY, DIVERGED_AT)
          if board and is_metric and math.isfinite(value):
            tag = f"{row['kind']}/{name}"
            board.scalar(_run_name(row), tag, row["step"], value)

  @contextlib.contextmanager
  def _showing(self) -> Iterator[tensorboard_lib.TensorBoard | None]:
    """TensorBoard, which is given up if it fails; None if there is none."""
    try:
      yield self._tensorboard
    except Exception as error:  # Of the disk, or of its package.
      self._tensorboard = None
      print(
        f"note: going on without TensorBoard ({errors.in_words(error)})",
        file=sys.stderr,
        flush=True,
      )

  def image(self, phase: str, tag: str, rgb: np.ndarray, step: int) -> None:
    """Shows a picture, uint8 [H, W, 3], in TensorBoard."""
    with self._showing() as board:
      if board:
        board.image(phase, tag, step, rgb)

  def throughput(self, phase: str, step: int, images_per_second: float) -> None:
    """Records the speed, in TensorBoard and timing.jsonl."""
    self.timing.write("train", step, images_per_second=images_per_second)
    with self._showing() as board:
      if board:
        board.scalar(phase, "images_per_second", step, images_per_second)

  def truncate(self, phase: str, step: int) -> None:
    """Drops what comes after a step, so that the run can resume from there.

    Lines of earlier phases stay, and those of `phase` up to and including
    `step`. A last line that a kill cut short is dropped. TensorBoard hides the
    same steps.

    Raises:
      UserError: a line that has to stay is damaged.
    """
    if not self._active:
      return
    last = (names.PHASES.index(phase), step)
    if self._file is not None:
      self._file.close()
      self._file = None
    if self._path.exists():
      old = files.read(self._path)
      new = _rows_until(last, old, path=self._path)
      if new != old:
        files.write_atomically(self._path, new)
      self._lines, self._digest, self._ends = 0, hashlib.sha256(), []
      self._count(new, map(json_lines.parse, new.splitlines()))
    with self._showing() as board:
      if board:
        board.close()
      for name in board.runs if board else ():
        of_phase = name.partition("/")[0]
        if board and of_phase in names.PHASES[last[0] :]:
          first = step + 1 if of_phase == phase else 0
          board.purge(name, first)

  @property
  def held(self) -> dict[str, Any]:
    """What metrics.jsonl holds, for the checkpoint of this step.

    That is how many lines, their sha256, and which members diverged.
    """
    return {
      "lines": self._lines,
      "sha256": self._digest.hexdigest(),
      "diverged": list(self._ends),
    }

  def make_up(self, held: Mapping[str, Any]) -> str | None:
    """Compares the file with what it held at the step that it is cut back to.

    Lines that say who has diverged are added if they are gone: the run must not
    go on with a member that has.

    Args:
      held: from `held`, at that step.

    Returns:
      What else the file has lost, or None.
    """
    if not self._active:
      return None
    num_lines, found = held["lines"], self._lines
    first = hashlib.sha256()
    if os.path.lexists(self._path):
      lines = files.read(self._path).splitlines(keepends=True)
      first.update(b"".join(lines[:num_lines]))
    self.write([end for end in held["diverged"] if end not in self._ends])
    if found < num_lines:
      return f"{num_lines - found:,} of {num_lines:,} lines are gone"
    if first.hexdigest() != held["sha256"]:
      return "its lines are not those that were written"
    return None

  def _count(self, lines: bytes, rows: Iterable[Mapping[str, Any]]) -> None:
    """Notes lines that are in the file, and what they say."""
    self._lines += lines.count(b"\n")
    self._digest.update(lines)
    self._ends += [
      {name: row.get(name) for name in (*_IDENTITY, DIVERGED_AT)}
      for row in rows
      if DIVERGED_AT in row
    ]

  def sync(self) -> None:
    """Returns when all that was written is on disk."""
    if self._file is not None:
      with files.naming(self._path):
        os.fsync(self._file.fileno())
      files.sync_folder(self._path.parent)
    with self._showing() as board:
      if board:
        board.sync()

  def close(self) -> None:
    """Syncs and closes; a later `write` opens the files again."""
    self.sync()
    if self._file is not None:
      self._file.close()
      self._file = None
    with self._showing() as board:
      if board:
        board.close()


def last_position(path: pathlib.Path) -> tuple[int, int] | None:
  """(Phase's index, step) of a log's last good line; None if it has none.

  Raises:
    UserError: if the file cannot be read.
  """
  lines = reversed(json_lines.read_lines(path))
  return next(filter(None, map(_position, lines)), None)


def _ordered(row: Mapping[str, Any]) -> dict[str, Any]:
  """A line in Python's own types: its identity, then its metrics by name."""
  missing = [name for name in _IDENTITY if name not in row]
  if missing:
    raise ValueError(f"a log line lacks {', '.join(missing)}: {dict(row)}")
  if row["kind"] not in KINDS or row["phase"] not in names.PHASES:
    raise ValueError(f"unknown kind or phase of a log line: {dict(row)}")
  loss_weight = row["loss_weight"]
  ordered: dict[str, Any] = {
    "kind": row["kind"],
    "phase": row["phase"],
    "step": int(row["step"]),
    "seed": int(row["seed"]),
    "l2": float(row["l2"]),
    "loss_weight": None if loss_weight is None else float(loss_weight),
  }
  for name in sorted(set(row) - {*_IDENTITY, DIVERGED_AT}):
    ordered[name] = float(row[name])
  if DIVERGED_AT in row:
    ordered[DIVERGED_AT] = int(row[DIVERGED_AT])
  return ordered


def _run_name(row: Mapping[str, Any]) -> str:
  name = f"{row['phase']}/seed_{row['seed']}_l2_{row['l2']:g}"
  if row["loss_weight"] is not None:
    name += f"_lambda_{row['loss_weight']:g}"
  return name


def _rows_until(
  last: tuple[int, int], old: bytes, *, path: pathlib.Path
) -> bytes:
  """The lines of a metrics file up to a (phase's index, step)."""
  kept = []
  damaged = None
  for number, line in enumerate(old.splitlines(), 1):
    position = _position(line)
    if position is None:
      damaged = damaged or number
    elif position <= last:
      # Lines that a checkpoint relies on were synced before it. A kill cannot
      # have torn a line that precedes one of them.
      if damaged is not None:
        raise errors.UserError(
          f"{path}:{damaged}: damaged line, and not the last one.\n"
          "Restore the file from a copy. Without one, take that line out and "
          "run the same command again."
        )
      kept.append(line + b"\n")
  return b"".join(kept)


def _position(line: bytes) -> tuple[int, int] | None:
  """(Phase's index, step) of a line; None if it is damaged."""
  try:
    row = json_lines.parse(line)
    return names.PHASES.index(row["phase"]), json_files.whole(row["step"])
  except (ValueError, KeyError, TypeError):
    return None
