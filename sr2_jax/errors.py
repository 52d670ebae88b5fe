"""Errors that end a run with a message and an exit code, not a traceback."""

import signal


class UserError(Exception):
  """A problem that the user can fix, in one or two lines; exit code 2."""

  exit_code = 2


class SaveFailedError(UserError):
  """A checkpoint cannot be written; its writer threads may still be waiting."""


class DivergedError(Exception):
  """A loss is not finite; the message names step and seed; exit code 3."""

  exit_code = 3


class Stopped(Exception):
  """A signal asked the run to stop; nothing is lost.

  The exit code is the shell's for that signal: 130 for Ctrl-C (SIGINT), 143
  for SIGTERM. The same command continues from the saved step, or evaluates
  again.
  """

  def __init__(self, signal_number: int, message: str) -> None:
    super().__init__(message)
    self.exit_code = 128 + signal.Signals(signal_number).value
