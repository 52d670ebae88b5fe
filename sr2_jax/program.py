"""How every program of sr2_jax starts and ends.

`entry` is around the `main` of each: output never ends a program, a mistake
becomes one or two lines and an exit code, and so does a signal to stop.
"""

import argparse
import contextlib
import functools
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

from sr2_jax import environment, errors, files, streams
from sr2_jax.peers import stopping

Main = Callable[[Sequence[str] | None], int]


class _Terminated(BaseException):
  """SIGTERM, which ends the work as Ctrl-C does."""


def entry(
  *, stopped: str | None = "stopped by {}.", needs_output: bool = True
) -> Callable[[Main], Callable[..., int]]:
  """Makes a function that takes arguments and returns an exit code a program.

  What it raises for a user becomes a message and an exit code: a UserError or
  Stopped, an OSError that names a file, and Ctrl-C or SIGTERM. Anything else is
  a bug, and is raised.

  Args:
    stopped: the message after a signal, with {} for its name; None: signals
      and files that fail are the program's own business.
    needs_output: whether the program has failed where standard output cannot be
      written, as on a full disk. A reader that leaves is no failure.
  """

  def decorate(main: Main) -> Callable[..., int]:
    @functools.wraps(main)
    def started(arguments: Sequence[str] | None = None) -> int:
      # Without arguments, this is a process's program, not a call in one.
      with (
        streams.lasting() as (out, _),
        _signals(own=stopped is None, at_end=arguments is None),
      ):
        code = _run(main, arguments, stopped)
        out.flush()
        if out.problem:
          _tell(f"standard output is incomplete: {out.problem}.")
        has_failed = out.problem and needs_output and code == errors.DONE
        return errors.TO_FIX if has_failed else code

    return started

  return decorate


class Parser(argparse.ArgumentParser):
  """Reads flags; a message about a mistake does not become as long as it."""

  def parse_known_args(  # pyright: ignore
    self, args: Any = None, namespace: Any = None
  ) -> Any:
    """As in argparse, which would give an empty list for --flag=--."""
    words = sys.argv[1:] if args is None else args
    for word in words:
      if word.startswith("--") and word.endswith("=--"):
        self.error(f"{word}: the value is missing")
    return super().parse_known_args(words, namespace)

  def error(self, message: str) -> NoReturn:
    """Prints the usage and the message, and exits with 2."""
    super().error(errors.shortened(message, errors.LONGEST_LINE))


def _run(
  main: Main, arguments: Sequence[str] | None, stopped: str | None
) -> int:
  try:
    if not asks_for_help(sys.argv if arguments is None else arguments):
      environment.check_system()
    return main(arguments)
  except (errors.UserError, errors.Stopped) as error:
    return _tell(str(error), error.exit_code)
  except OSError as error:
    if stopped is None or error.strerror is None:
      raise
    place = "" if error.filename is None else f"{error.filename}: "
    way_out = files.way_to_room(error.errno)
    more = f"\n{way_out}, and run the same command again." if way_out else ""
    return _tell(f"{place}{error.strerror}.{more}", errors.TO_FIX)
  except KeyboardInterrupt:
    # Before a program that has its own way to stop is there.
    text = (stopped or "stopped by {}.").format("Ctrl-C")
    return _tell(text, errors.INTERRUPTED)
  except _Terminated:
    text = (stopped or "stopped by {}.").format("SIGTERM")
    return _tell(text, errors.TERMINATED)


def _tell(text: str, code: int = errors.DONE) -> int:
  print(text, file=sys.stderr)
  return code


def asks_for_help(arguments: Sequence[str]) -> bool:
  """Whether a command line has -h or --help."""
  return any(re.fullmatch(r"--?h(elp\w*)?", word) for word in arguments)


@contextlib.contextmanager
def _signals(*, own: bool, at_end: bool) -> Iterator[None]:
  """Lets other signals to stop count as SIGTERM, which raises unless `own`.

  With `at_end` the process ends after the block, with an exit code that these
  others cannot change any more: SIGXCPU comes every second.
  """
  if threading.current_thread() is not threading.main_thread():
    yield  # Only the main thread may set handlers.
    return
  handlers = dict.fromkeys(stopping.AS_SIGTERM, _as_sigterm)
  if not own:
    handlers[signal.SIGTERM] = _terminate
  before = {
    number: signal.signal(number, handler)
    for number, handler in handlers.items()
    # nohup lets a program ignore that the terminal is closed.
    if signal.getsignal(number) is not signal.SIG_IGN
  }
  try:
    yield
  finally:
    for number, handler in before.items():
      ignored = at_end and number in stopping.AS_SIGTERM
      signal.signal(number, signal.SIG_IGN if ignored else handler)


def _as_sigterm(signal_number: int, frame: FrameType | None) -> None:
  signal.raise_signal(signal.SIGTERM)


def _terminate(signal_number: int, frame: FrameType | None) -> None:
  raise _Terminated
