"""Standard output and standard error that never end a program.

The reader may leave, a terminal may have no "±", a disk may be full, and a
program may be started without either stream. Then text is lost or written in
other characters, and the work goes on.
"""

import contextlib
import errno
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO, cast

from sr2_jax import errors


class Lasting:
  """A stream that writes what it can and never raises.

  Everything else is that of the stream.

  Args:
    stream: to write to; None: nowhere.

  Attributes:
    problem: why text was lost; "" if none was, or only its reader had left.
  """

  def __init__(self, stream: TextIO | None) -> None:
    self._is_missing = stream is None
    self._stream = stream or _nowhere()
    self.problem = ""

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)

  def write(self, text: str) -> int:
    """Writes text; what the encoding lacks, as escapes such as "\\xb1"."""
    try:
      self._stream.write(text)
    except UnicodeEncodeError:
      encoding = self._stream.encoding or "ascii"
      text = text.encode(encoding, "backslashreplace").decode(encoding)
      self._try(lambda: self._stream.write(text))
    except (OSError, ValueError) as error:
      self._lose(error)
    return len(text)

  def writelines(self, lines: Any) -> None:
    """Writes lines."""
    for line in lines:
      self.write(line)

  def flush(self) -> None:
    """Writes what has been kept back."""
    self._try(self._stream.flush)

  def finish(self) -> None:
    """Flushes; drops what nobody takes, so that Python's own end can not fail.

    Python would exit with 120 where it cannot flush a stream.
    """
    if self._is_missing:
      self._stream.close()
    elif not self._try(self._stream.flush):
      self._redirect()

  def _try(self, act: Callable[[], object]) -> bool:
    try:
      act()
    except (OSError, ValueError) as error:  # ValueError: it was closed.
      self._lose(error)
      return False
    return True

  def _lose(self, error: OSError | ValueError) -> None:
    if getattr(error, "errno", None) == errno.EPIPE:
      self._redirect()
    elif not self.problem:
      self.problem = getattr(error, "strerror", None) or str(error)

  def _redirect(self) -> None:
    """Lets the process's own descriptor lead nowhere, for libraries too."""
    if self._stream not in (sys.__stdout__, sys.__stderr__):
      return
    with contextlib.suppress(OSError, ValueError):
      nowhere = os.open(os.devnull, os.O_WRONLY)
      os.dup2(nowhere, self._stream.fileno())
      os.close(nowhere)


def _nowhere() -> TextIO:
  return pathlib.Path(os.devnull).open("w", encoding="utf-8")


def check_written() -> None:
  """Refuses to go on where standard output has lost what was printed.

  Raises:
    UserError: says why.
  """
  sys.stdout.flush()
  if isinstance(sys.stdout, Lasting) and sys.stdout.problem:
    raise errors.UserError(f"standard output: {sys.stdout.problem}.")


@contextlib.contextmanager
def lasting() -> Iterator[tuple[Lasting, Lasting]]:
  """Makes `sys.stdout` and `sys.stderr` last as long as the block; gives them.

  Missing descriptors are opened, or a file of the program would get their
  numbers, and whatever a library prints.
  """
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      # The lowest free number is this one.
      os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
  before = sys.stdout, sys.stderr
  out, err = Lasting(sys.stdout), Lasting(sys.stderr)
  sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
  try:
    yield out, err
  finally:
    sys.stdout, sys.stderr = before
    out.finish()
    err.finish()
