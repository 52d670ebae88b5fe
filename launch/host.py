"""A process of a run on this host: its start, its end and its signals."""

import codecs
import contextlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Self

from sr2_jax import errors, files
from sr2_jax.records import folder as folder_lib

COMMAND = (sys.executable, "-m", "sr2_jax.main")
# Becomes the command that follows, and ends with its parent: where a launcher
# is killed, nothing else would end what it has started. PR_SET_PDEATHSIG is 1,
# SIGKILL is 9. The parent may be gone before the call. Ray blocks SIGINT in all
# that it starts, and a process inherits that: Ctrl-C would never reach it.
_TIED = (
  "import ctypes, os, signal, sys; ctypes.CDLL(None).prctl(1, 9); "
  "signal.pthread_sigmask(signal.SIG_SETMASK, []); "
  "os.getppid() == int(sys.argv[1]) or sys.exit(137); "
  "os.execv(sys.argv[2], sys.argv[2:])"
)
# In the folder of a sweep, for data and compiled programs.
CACHE = ".cache"
# What each host would have to itself.
_CACHES = ("SR2_JAX_CACHE_DIR", "TFDS_DATA_DIR")
# Characters of a log, and lines, that say why a run has ended.
_LONGEST_END = 4096
_LAST_LINES = 3
# Files of a run folder that change while it goes on.
_MOVING = ("metrics.jsonl", "timing.jsonl", "results.jsonl")


def caches(workdir: pathlib.Path | None) -> dict[str, str]:
  """Variables by which all hosts of a sweep have the same folders.

  Those of this process, so that data is prepared and a program compiled once.
  Without any the cache is in `workdir`; where the hosts share nothing, each has
  its own.
  """
  typed = {name: os.environ.get(name) for name in _CACHES}
  shared = (
    {"SR2_JAX_CACHE_DIR": str(workdir.absolute() / CACHE)} if workdir else {}
  )
  return {**shared, **{name: value for name, value in typed.items() if value}}


def _opened(log: pathlib.Path, mode: str) -> IO[bytes]:
  """A log, opened; raises UserError if it is no file or cannot be opened."""
  try:
    return files.open_regular(log, mode)
  except OSError as error:
    raise errors.UserError(
      f"{log}: cannot be opened ({files.in_words(error)}).\n"
      "Move it away and run the same command again."
    ) from error


class Process:
  """A started process in a session of its own.

  A terminal sends Ctrl-C to its whole session. A run would get it twice, from
  there and from the sweep, and stop without saving.

  Args:
    command: program and arguments.
    log: file that gets its output, at the end.
    cwd: its folder.
    env: its variables; those of this process unless given.
    is_tied: whether it is killed when this process ends (on Linux).
  """

  def __init__(
    self,
    command: Sequence[str],
    log: pathlib.Path,
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    is_tied: bool = False,
  ) -> None:
    if is_tied:
      command = (sys.executable, "-c", _TIED, str(os.getpid()), *command)
    with _opened(log, "ab") as file:
      self._process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=file,
        cwd=cwd,
        env={**(os.environ if env is None else env), "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
      )
    self.pid = self._process.pid

  def poll(self) -> int | None:
    """Its exit code, as a shell gives it; None while it runs."""
    code = self._process.poll()
    return 128 - code if code is not None and code < 0 else code

  def send(self, number: int) -> None:
    """Sends a signal, unless it has ended."""
    self._process.send_signal(number)

  def kill(self) -> None:
    """Ends it at once, and waits until it is gone."""
    self._process.kill()
    self._process.wait()


class Tail:
  """What a log gains from now on, to be shown as it grows.

  Attributes:
    output: the end of what has been read.
  """

  def __init__(self, log: pathlib.Path) -> None:
    self.output = ""
    _opened(log, "ab").close()
    self._file = _opened(log, "rb")
    self._file.seek(0, os.SEEK_END)
    self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *_: object) -> None:
    self._file.close()

  def read(self) -> str:
    """What has been added since the last call."""
    text = self._decoder.decode(self._file.read())
    self.output = (self.output + text)[-_LONGEST_END:]
    return text


def last_lines(output: str) -> str:
  """The lines of an output that say why it ends."""
  lines = [line for line in output.splitlines() if line.strip()]
  return "\n".join(lines[-_LAST_LINES:])


def signs_of_life(
  folder: folder_lib.RunFolder, logs: Sequence[pathlib.Path]
) -> tuple[tuple[str, int, int], ...]:
  """What changes as a run goes on: its logs, rows and checkpoints."""
  paths = [*(folder.path / name for name in _MOVING), *logs]
  # A disk of the network may be away for a while.
  with contextlib.suppress(OSError):
    paths += folder.path.glob("checkpoints/*/*")
  signs = []
  for path in paths:
    with contextlib.suppress(OSError):
      stat = path.stat()
      signs.append((str(path), stat.st_size, stat.st_mtime_ns))
  return tuple(signs)
