"""Tells somebody elsewhere how a sweep goes, without ever delaying it."""

import contextlib
import datetime
import json
import pathlib
import queue
import sys
import threading
from collections.abc import Callable, Iterator

# Takes a message.
Tell = Callable[[str], None]

_SECONDS_TO_ANSWER = 10.0
_SECONDS_AT_THE_END = 15.0
_MOST_WAITING = 1000


def nobody(text: str) -> None:
  """Tells nobody."""
  del text


class Notifier:
  """Sends messages to a URL or adds them to a file, in a thread of its own.

  A chat's webhook takes what is posted: {"text": MESSAGE} as JSON. Messages
  that cannot be sent are lost; the first of them is noted on stderr.

  Args:
    target: an http or https URL, or a path.
    title: what each message starts with.
  """

  def __init__(self, target: str, *, title: str) -> None:
    self._target, self._title = target, title
    self._waiting: queue.Queue[str | None] = queue.Queue(_MOST_WAITING)
    # Not yet started: the sweep may still fork.
    self._thread: threading.Thread | None = None

  def __call__(self, text: str) -> None:
    """Sends a message, later; returns at once."""
    if self._thread is None:
      self._thread = threading.Thread(target=self._work, daemon=True)
      self._thread.start()
    self._put(f"{self._title}: {text}")

  def close(self) -> None:
    """Waits a few seconds for messages that are still to be sent."""
    if self._thread is not None:
      self._put(None)
      self._thread.join(_SECONDS_AT_THE_END)

  def _put(self, text: str | None) -> None:
    # Full, if the target is down; a note has said so.
    with contextlib.suppress(queue.Full):
      self._waiting.put_nowait(text)

  def _work(self) -> None:
    has_said = False
    while (text := self._waiting.get()) is not None:
      try:
        self._send(text)
      except (OSError, ValueError) as error:
        if not has_said:
          with contextlib.suppress(OSError, ValueError):  # A closed terminal.
            sys.stderr.write(f"--notify={self._target}: {error}; going on.\n")
        has_said = True

  def _send(self, text: str) -> None:
    if not is_url(self._target):
      now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
      with pathlib.Path(self._target).open("a") as file:
        file.write(f"{now} {text}\n")
      return
    # Few notify a URL, and importing it takes all commands 30 ms.
    import urllib.request

    request = urllib.request.Request(
      self._target,
      data=json.dumps({"text": text}).encode(),
      headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=_SECONDS_TO_ANSWER).close()


@contextlib.contextmanager
def telling(target: str, *, title: str) -> Iterator[Tell]:
  """What takes messages for a target, all of which are sent at the end.

  Args:
    target: as of a `Notifier`; "" for nobody.
    title: the same.
  """
  if not target:
    yield nobody
    return
  notifier = Notifier(target, title=title)
  try:
    yield notifier
  finally:
    notifier.close()


def is_url(target: str) -> bool:
  """Whether messages are posted there, and not written to a file."""
  return target.startswith(("http://", "https://"))
