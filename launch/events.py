"""events.jsonl: what happened to the runs of a sweep, a line an event.

How far a run has come is in its own folder. This only adds what that cannot
say: where it was started, and how each attempt ended.
"""

import contextlib
import datetime
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from launch import attempts, notify
from sr2_jax import files
from sr2_jax.records import json_lines

NAME = "events.jsonl"


class Log:
  """The events of a sweep, to add to.

  Args:
    workdir: folder of all run folders.
    tell: gets a message when a run has ended for good.
  """

  def __init__(
    self, workdir: pathlib.Path, tell: notify.Tell = notify.nobody
  ) -> None:
    self._path, self._tell = workdir / NAME, tell

  def add(self, run: str, event: str, **details: Any) -> None:
    """Adds a line; on a full disk it is lost, and no run with it.

    Args:
      run: name of the run.
      event: "started", "ended", or a state that is final.
      details: more fields.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    fields = {"time": now, "run": run, "event": event, **details}
    line = json_lines.dump(fields).encode()
    with (
      contextlib.suppress(OSError),
      files.open_regular(self._path, "a+b") as file,
    ):
      # What a full disk or a kill has left of the line before ends here.
      if file.tell() and not _ends_a_line(file):
        line = b"\n" + line
      file.write(line)
    if event in attempts.SETTLED:
      self._tell(f"{run} {event}")


def _ends_a_line(file: Any) -> bool:
  file.seek(-1, 2)
  return file.read(1) == b"\n"


def last_slice(events: Sequence[Mapping[str, Any]]) -> tuple[str, int]:
  """Name and chips of what the last start had; ("", 0) of this machine."""
  for event in reversed(events):
    if event["event"] == "started":
      chips = event.get("chips")
      return str(event.get("slice", "")), chips if type(chips) is int else 0
  return "", 0


def read(workdir: pathlib.Path) -> list[dict[str, Any]]:
  """The events so far, oldest first, without lines that are damaged."""
  try:
    lines = files.read(workdir / NAME).splitlines()
  except OSError:
    return []
  events = []
  for line in lines:
    with contextlib.suppress(ValueError):
      event = json_lines.parse(line)
      if all(isinstance(event.get(name), str) for name in ("run", "event")):
        events.append(event)
  return events
