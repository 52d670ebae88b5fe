"""TensorBoard files: a view of a run, with a folder for each line of a chart.

They are written by tensorboardX's EventsWriter, in this thread. Its
SummaryWriter has a thread and a queue instead, which `sync` could not wait for,
and on a full disk the thread dies and the next call blocks forever.
"""

import functools
import math
import pathlib
import sys
import time
import types
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
  from tensorboardX import event_file_writer

_FILES = "events.out.tfevents.*"
_SECONDS_BETWEEN_SYNCS = 10.0


@functools.cache
def _library() -> Any:
  """tensorboardX, loaded when there is something to write.

  Where PyTorch is installed, tensorboardX would load it as well, for a name in
  an annotation: as many seconds as JAX takes, and hundreds of megabytes.
  """
  hidden: dict[str, Any] = {} if "torch" in sys.modules else {"torch": None}
  sys.modules.update(hidden)  # An import of it raises ImportError now.
  try:
    from tensorboardX import event_file_writer, summary
    from tensorboardX.proto import event_pb2
  finally:
    for name in hidden:
      del sys.modules[name]
  return types.SimpleNamespace(
    summary=summary, event_pb2=event_pb2, writer=event_file_writer.EventsWriter
  )


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
    self._add(run, step, summary=_library().summary.scalar(tag, value))

  def image(self, run: str, tag: str, step: int, rgb: np.ndarray) -> None:
    """Adds a picture, uint8 [H, W, 3]."""
    picture = _library().summary.image(tag, rgb, dataformats="HWC")
    self._add(run, step, summary=picture)

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
    library = _library()
    if run not in self._writers:
      folder = self._folder / run
      folder.mkdir(parents=True, exist_ok=True)
      # The name begins with the time in seconds. A second file of the same
      # second would replace the first without a number. TensorBoard reads them
      # in the order of their names.
      number = len(list(folder.glob(_FILES)))
      self._writers[run] = library.writer(
        str(folder / "events"), f".{number:04d}"
      )
    event = library.event_pb2.Event(wall_time=time.time(), step=step, **content)
    self._writers[run].write_event(event)
    # Somebody may be watching between two checkpoints as well.
    if time.monotonic() - self._synced_at > _SECONDS_BETWEEN_SYNCS:
      self.sync()
