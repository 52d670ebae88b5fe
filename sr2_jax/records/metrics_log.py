"""What a run writes down while it trains: metrics.jsonl and TensorBoard.

metrics.jsonl holds one JSON object a line: `kind` ("train" or "validation"),
`phase`, `step` (done in that phase), `seed`, `l2`, `loss_weight`, then the
metrics by name. It has no times in it, so that a resumed run's file equals that
of an uninterrupted run byte for byte; a number that is not finite is null.

TensorBoard files lie under tensorboard/, in one run a member
(joint/seed_0_l2_0.01_lambda_9) with tags like train/loss, so that one chart
compares the members; images and throughput are in one run a phase. They are a
view: a kill may cost TensorBoard what came after the last `sync`, and what a
torn last record hides; metrics.jsonl stays exact.
"""

import json
import math
import os
import pathlib
import re
import socket
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from sr2_jax import errors, files
from sr2_jax.records import rows as rows_lib

if TYPE_CHECKING:
  import tensorboardX

FILE_NAME = "metrics.jsonl"
KINDS = ("train", "validation")
# In the order in which a run goes through them.
PHASES = ("pretrain", "joint")

_IDENTITY = ("kind", "phase", "step", "seed", "l2", "loss_weight")
_SECONDS_BETWEEN_FLUSHES = 10.0


class Writer:
  """Appends metric rows, scalars and images to a run folder.

  Order of calls: `truncate` at every start, before anything is written; then
  the rows of a step, and `sync`, before that step's checkpoint; `close` last.

  Args:
    workdir: the run folder.
    tensorboard: also write TensorBoard files.
    active: False makes every method do nothing, for all processes but one.
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
    self._file: BinaryIO | None = None
    self._events: _Events | None = None
    if active and tensorboard:
      self._events = _Events(pathlib.Path(workdir) / "tensorboard")

  def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
    """Appends rows: kind, phase, step, seed, l2, loss_weight and metric values.

    Raises:
      ValueError: a row lacks one of these, or has an unknown kind or phase.
    """
    if not self._active or not rows:
      return
    ordered = [_ordered(row) for row in rows]
    if self._file is None:
      self._path.parent.mkdir(parents=True, exist_ok=True)
      # Unbuffered: a kill of this process loses no row that was written.
      self._file = self._path.open("ab", buffering=0)
    rest = "".join(map(rows_lib.dump, ordered)).encode()
    while rest:  # The system may take a part, before it says that it is full.
      rest = rest[self._file.write(rest) :]
    if self._events is not None:
      for row in ordered:
        for name, value in row.items():
          # A chart has no place for a number that is not finite.
          if name not in _IDENTITY and math.isfinite(value):
            tag = f"{row['kind']}/{name}"
            self._events.scalar(_run_name(row), tag, row["step"], value)

  def image(self, phase: str, tag: str, rgb: np.ndarray, step: int) -> None:
    """Shows a picture, uint8 [H, W, 3], in TensorBoard."""
    if self._events is not None:
      self._events.image(phase, tag, step, rgb)

  def throughput(self, phase: str, step: int, images_per_second: float) -> None:
    """Plots the speed in TensorBoard; metrics.jsonl has nothing that varies."""
    if self._events is not None:
      self._events.scalar(phase, "images_per_second", step, images_per_second)

  def truncate(self, phase: str, step: int) -> None:
    """Drops what lies after a step, so that the run can go on from there.

    Rows of `phase` up to and including `step` and rows of earlier phases stay;
    step -1 of the first phase drops all. A last line that a kill tore is
    dropped. TensorBoard is told to forget the same steps.

    Raises:
      UserError: a row that has to stay is damaged.
    """
    if not self._active:
      return
    last = (PHASES.index(phase), step)
    if self._file is not None:
      self._file.close()
      self._file = None
    if self._path.exists():
      old = self._path.read_bytes()
      new = _rows_until(last, old, path=self._path)
      if new != old:
        files.write_atomically(self._path, new)
    if self._events is not None:
      self._events.purge(last)

  def sync(self) -> None:
    """Returns when all that was written is on disk."""
    if self._file is not None:
      os.fsync(self._file.fileno())
      files.sync_folder(self._path.parent)
    if self._events is not None:
      self._events.sync()

  def close(self) -> None:
    """Syncs and closes; a later `write` opens the files again."""
    self.sync()
    if self._file is not None:
      self._file.close()
      self._file = None
    if self._events is not None:
      self._events.close()


class _Events:
  """TensorBoard event files, one folder a run, written in this thread.

  tensorboardX's SummaryWriter hands events to another thread through a queue,
  which no call empties; this writes its records directly, so that `sync` can
  keep its word.
  """

  def __init__(self, folder: pathlib.Path) -> None:
    self._folder = folder
    self._writers: dict[str, tensorboardX.RecordWriter] = {}
    self._synced_at = -math.inf

  def scalar(self, run: str, tag: str, step: int, value: float) -> None:
    from tensorboardX import summary

    self._add(run, step, summary=summary.scalar(tag, value))

  def image(self, run: str, tag: str, step: int, rgb: np.ndarray) -> None:
    from tensorboardX import summary

    self._add(run, step, summary=summary.image(tag, rgb, dataformats="HWC"))

  def purge(self, last: tuple[int, int]) -> None:
    """Makes TensorBoard forget the steps after (phase's index, step)."""
    runs = {
      str(path.parent.relative_to(self._folder))
      for path in self._folder.rglob("events.out.tfevents.*")
    }
    self.close()
    for run in sorted(runs):
      phase = run.split(os.sep)[0]
      if phase not in PHASES or PHASES.index(phase) < last[0]:
        continue
      first = last[1] + 1 if PHASES.index(phase) == last[0] else 0
      self._add(run, max(first, 0), session_log={"status": "START"})

  def sync(self) -> None:
    for writer in self._writers.values():
      writer.flush()  # To the disk: it calls fsync.
    self._synced_at = time.monotonic()

  def close(self) -> None:
    for writer in self._writers.values():
      writer.close()
    self._writers.clear()

  def _add(self, run: str, step: int, **content: object) -> None:
    self._writer(run).write(_event(step=step, **content))
    # Someone may be watching, between two checkpoints as well.
    if time.monotonic() - self._synced_at > _SECONDS_BETWEEN_FLUSHES:
      self.sync()

  def _writer(self, run: str) -> "tensorboardX.RecordWriter":
    if run not in self._writers:
      import tensorboardX

      folder = self._folder / run
      folder.mkdir(parents=True, exist_ok=True)
      writer = tensorboardX.RecordWriter(str(_new_events_file(folder)))
      writer.write(_event(file_version="brain.Event:2"))
      self._writers[run] = writer
    return self._writers[run]


def _event(**content: object) -> bytes:
  from tensorboardX.proto import event_pb2

  # Protocol buffers make their classes at import: a type checker sees none.
  event = event_pb2.Event(  # pyright: ignore[reportAttributeAccessIssue]
    wall_time=time.time(), **content
  )
  return event.SerializeToString()


def _new_events_file(folder: pathlib.Path) -> pathlib.Path:
  """A path that TensorBoard reads after those already there."""
  # It reads a run's files in the order of their names, that is of their times.
  stamp = int(time.time())
  for path in folder.glob("events.out.tfevents.*"):
    taken = re.match(r"events\.out\.tfevents\.(\d+)\.", path.name)
    if taken:
      stamp = max(stamp, int(taken[1]) + 1)
  return folder / f"events.out.tfevents.{stamp:010d}.{socket.gethostname()}"


def _ordered(row: Mapping[str, Any]) -> dict[str, Any]:
  """A row in Python's own types: the identity first, then metrics by name."""
  missing = [name for name in _IDENTITY if name not in row]
  if missing:
    raise ValueError(f"a metric row lacks {', '.join(missing)}: {dict(row)}")
  if row["kind"] not in KINDS or row["phase"] not in PHASES:
    raise ValueError(f"unknown kind or phase of a metric row: {dict(row)}")
  loss_weight = row["loss_weight"]
  ordered: dict[str, Any] = {
    "kind": row["kind"],
    "phase": row["phase"],
    "step": int(row["step"]),
    "seed": int(row["seed"]),
    "l2": float(row["l2"]),
    "loss_weight": None if loss_weight is None else float(loss_weight),
  }
  for name in sorted(set(row) - set(_IDENTITY)):
    ordered[name] = float(row[name])
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
      # Rows that a checkpoint counts on were synced before it, so that no
      # kill can have torn a line that stands before one of them.
      if damaged is not None:
        raise errors.UserError(
          f"{path}:{damaged}: damaged row, and not the last one.\n"
          "Delete that line and run the same command again."
        )
      kept.append(line + b"\n")
  return b"".join(kept)


def _position(line: bytes) -> tuple[int, int] | None:
  """(Phase's index, step) of a line; None where it is damaged."""
  try:
    row = json.loads(line)
    return PHASES.index(row["phase"]), int(row["step"])
  except (ValueError, KeyError, TypeError):
    return None
