"""Exit codes of a run, and the errors that end it with a message and a code."""

import signal

# `--help` prints these, docs/runs.md has them as a table, and `launch.attempts`
# says what a sweep does after each.
DONE = 0
TO_FIX = 2
DIVERGED = 3
IN_USE = 4
PEER_GONE = 5
# The shell's codes of the signals.
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM

MEANINGS: dict[int, str] = {
  DONE: "done, or nothing was left to do",
  TO_FIX: "something to fix: a field, a flag, a file; one or two lines say "
  "what",
  DIVERGED: "members diverged; the message names each with its step",
  IN_USE: "another run is using the folder, or a program the port of "
  "--coordinator; the message says which",
  PEER_GONE: "another process of the run is gone, has failed or never came; "
  "the message says which",
  INTERRUPTED: "stopped by Ctrl-C after saving; the same command goes on from "
  "there. A second Ctrl-C stops at once: it goes on from the last checkpoint",
  TERMINATED: "stopped by SIGTERM after saving; the same command goes on from "
  "there",
}
OTHERS = "Any other code comes with a traceback and is a bug."


# Of a message: what was typed, or is in a file, may have any length.
LONGEST_LINE, _MOST_LINES = 1000, 100
# Of what another error says, as part of a message.
_LONGEST_REASON = 300


class UserError(Exception):
  """A problem that the user can fix, in one or two lines.

  A message may quote anything: it is cut, and shows what cannot be printed as
  escapes.
  """

  exit_code = TO_FIX

  def __init__(self, message: str) -> None:
    first, *rest = message.split("\n")
    if len(rest) >= _MOST_LINES:
      # The last line is the way out.
      more = f"... {len(rest) - _MOST_LINES + 2:,} more lines"
      rest = [*rest[: _MOST_LINES - 3], more, rest[-1]]
    super().__init__(
      "\n".join(shortened(line, LONGEST_LINE) for line in (first, *rest))
    )


def shortened(text: str, most: int) -> str:
  """A text in one line of a length, without its middle if it is longer.

  Characters that cannot be printed are escapes, such as "\\x1b".
  """
  if not text.isprintable():
    ends = text if len(text) <= most else text[:most] + text[-most:]
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in ends)
  if len(text) <= most:
    return text
  end = most // 4
  return f"{text[: most - end - 5]} ... {text[-end:]}"


def in_words(error: BaseException) -> str:
  """An error's type and message in a short line.

  Its own code makes the message, which may fail or be of any kind.
  """
  try:
    text = " ".join(str(error).split())
  except BaseException:
    text = ""
  name = type(error).__name__
  return f"{name}: {shortened(text, _LONGEST_REASON)}" if text else name


def reason(error: BaseException, *, most: int = 200) -> str:
  """What an error of a library says, in one line; else the error's type."""
  return " ".join(str(error).split())[:most] or type(error).__name__


class DisagreementError(UserError):
  """The processes of a run are not alike; raised in every one of them."""


class NoRoomError(UserError):
  """A run needs more memory than there is; raised in every process."""


class FolderInUseError(UserError):
  """Another live process works in the folder; the message says which."""

  exit_code = IN_USE


class PortInUseError(UserError):
  """A program listens at the port where the processes of a run are to meet."""

  exit_code = IN_USE


class SaveFailedError(UserError):
  """A checkpoint cannot be written; its writer threads may still be waiting."""


class DivergedError(Exception):
  """Members diverged: the message names each, with its step."""

  exit_code = DIVERGED


class Stopped(Exception):
  """A signal asked the run to stop; nothing is lost.

  The exit code is INTERRUPTED for Ctrl-C (SIGINT), TERMINATED for SIGTERM. The
  same command continues from the saved step, or evaluates again.
  """

  def __init__(self, signal_number: int, message: str) -> None:
    super().__init__(message)
    self.exit_code = 128 + signal.Signals(signal_number).value
