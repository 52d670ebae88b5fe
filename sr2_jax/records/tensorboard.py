"""TensorBoard files: a view of a run, with a folder for each line of a chart.

They are written by tensorboardX's EventsWriter, in this thread. Its
SummaryWriter has a thread and a queue instead, which `sync` could not wait for,
and on a full disk the thread dies and the next call blocks forever.
"""

import math
import pathlib
import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
  from tensorboardX import event_file_writer

_FILES = "events.out.tfevents.*"
_SECONDS_BETWEEN_SYNCS = 10.0


class TensorBoard:
  """Writes scalars and images.

  Args:
    folder: TensorBoard's --logdir; created with the first scalar or image.
  """

  def __init__(self, folder: pathlib.Path) -> None:
    self._folder = folder
    self._writers: dict[str, event_file_writer.EventsWriter] = {}
    self._synced_at = -math.inf

  @property
  def runs(self) -> list[str]:
    """Folders that have files, such as "joint/seed_0_l2_0.01_lambda_9"."""
    folders = {file.parent for file in self._folder.rglob(_FILES)}
    return sorted(str(path.relative_to(self._folder)) for path in folders)

  def scalar(self, run: str, tag: str, step: int, value: float) -> None:
    """Adds a point to a chart."""
    from tensorboardX import summary

    self._add(run, step, summary=summary.scalar(tag, value))

  def image(self, run: str, tag: str, step: int, rgb: np.ndarray) -> None:
    """Adds a picture, uint8 [H, W, 3]."""
    from tensorboardX import summary

    self._add(run, step, summary=summary.image(tag, rgb, dataformats="HWC"))

  def purge(self, run: str, first_step: int) -> None:
    """Hides this step and later ones that an earlier start wrote."""
    self._add(run, first_step, session_log={"status": "START"})

  def sync(self) -> None:
    """Returns when all is on disk."""
    for writer in self._writers.values():
      writer.flush()
    self._synced_at = time.monotonic()

  def close(self) -> None:
    """Syncs and closes; a later call opens new files."""
    for writer in self._writers.values():
      writer.close()
    self._writers.clear()

  def _add(self, run: str, step: int, **content: object) -> None:
    # Slow to import where PyTorch is installed: not before there is something.
    from tensorboardX import event_file_writer
    from tensorboardX.proto import event_pb2

    if run not in self._writers:
      folder = self._folder / run
      folder.mkdir(parents=True, exist_ok=True)
      # The name begins with the time in seconds. A second file of the same
      # second would replace the first without a number. TensorBoard reads them
      # in the order of their names.
      number = len(list(folder.glob(_FILES)))
      self._writers[run] = event_file_writer.EventsWriter(
        str(folder / "events"), f".{number:04d}"
      )
    # Protocol buffers make their classes at import: a type checker sees none.
    event = event_pb2.Event(  # pyright: ignore[reportAttributeAccessIssue]
      wall_time=time.time(), step=step, **content
    )
    self._writers[run].write_event(event)
    # Somebody may be watching between two checkpoints as well.
    if time.monotonic() - self._synced_at > _SECONDS_BETWEEN_SYNCS:
      self.sync()
