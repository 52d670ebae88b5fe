"""Streams that write what they can, as a program's standard streams."""

import errno
import io
import os
import subprocess
import sys

import pytest

from sr2_jax import errors, streams

EVERYTHING = "0.9 ± 0.1 σ² \udcff"


class Failing(io.StringIO):
  """A stream whose every call fails."""

  def __init__(self, error):
    super().__init__()
    self.error = error

  def write(self, text):
    raise self.error

  def flush(self):
    raise self.error


@pytest.mark.parametrize(
  ("encoding", "expected"),
  [
    ("ascii", r"0.9 \xb1 0.1 \u03c3\xb2 \udcff"),
    ("latin-1", r"0.9 ± 0.1 \u03c3² \udcff"),
    ("utf-8", r"0.9 ± 0.1 σ² \udcff"),
  ],
)
def test_what_an_encoding_lacks_is_an_escape(encoding, expected):
  file = io.BytesIO()
  stream = streams.Lasting(io.TextIOWrapper(file, encoding))
  print(EVERYTHING, file=stream, flush=True)
  stream.writelines(["a", "b"])
  stream.flush()
  assert file.getvalue().decode(encoding) == f"{expected}\nab"
  assert stream.problem == ""


@pytest.mark.parametrize(
  ("error", "problem"),
  [
    (OSError(errno.EPIPE, "Broken pipe"), ""),
    (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
    (OSError(errno.EIO, "Input/output error"), "Input/output error"),
    (BlockingIOError(errno.EAGAIN, "try again"), "try again"),
    (ValueError("I/O operation on closed file."), "closed file"),
  ],
)
def test_no_error_passes(error, problem):
  stream = streams.Lasting(Failing(error))
  print("lost", file=stream, flush=True)
  stream.writelines(["lost"])
  stream.finish()
  assert problem in stream.problem
  assert bool(stream.problem) == bool(problem)


def test_a_closed_stream():
  closed = io.StringIO()
  closed.close()
  print("lost", file=streams.Lasting(closed), flush=True)


def test_everything_else_is_the_stream_s():
  class Terminal(io.StringIO):
    def isatty(self):
      return True

  stream = streams.Lasting(Terminal())
  assert stream.isatty()
  with pytest.raises(io.UnsupportedOperation):
    stream.fileno()


def test_a_block_has_lasting_streams(monkeypatch):
  out = io.StringIO()
  monkeypatch.setattr(sys, "stdout", out)
  monkeypatch.setattr(sys, "stderr", None)  # As pythonw, or 2>&-.
  with streams.lasting() as (lasting, _):
    assert sys.stdout is lasting
    print("out")
    print("err", file=sys.stderr)
  assert sys.stdout is out
  assert sys.stderr is None
  assert out.getvalue() == "out\n"


def test_output_that_has_to_be_complete(monkeypatch):
  streams.check_written()
  full = streams.Lasting(Failing(OSError(errno.ENOSPC, "No space left")))
  monkeypatch.setattr(sys, "stdout", full)
  print("a script")
  with pytest.raises(errors.UserError, match="standard output: No space left"):
    streams.check_written()


PROGRAM = """
import contextlib, os, sys
from sr2_jax import streams
with streams.lasting():
  for _ in range(3):
    print("\\u00b1" * 100_000, flush=True)
    print("\\u00b1" * 100_000, file=sys.stderr, flush=True)
  with contextlib.suppress(OSError):
    os.write(1, b"a library")
    os.write(2, b"a library")
  file = open(sys.argv[1], "w")
  file.write(str(file.fileno()))
"""


def _run(tmp_path, redirection):
  """Exit code, and the descriptor that a file of the program got."""
  path = tmp_path / "file"
  command = f'exec "$@" {redirection}'
  done = subprocess.run(
    ["bash", "-c", command, "x", sys.executable, "-c", PROGRAM, str(path)],
    check=False,
    stdin=subprocess.DEVNULL,
    capture_output=True,
    env={**os.environ, "PYTHONIOENCODING": "ascii"},
    timeout=60,
  )
  return done.returncode, int(path.read_text())


@pytest.mark.parametrize(
  "redirection",
  [
    "2>&- ",
    ">&-",
    "<&- >&- 2>&-",
    "> >(head -c 1 > /dev/null) 2> >(head -c 1 > /dev/null)",
    pytest.param(
      ">/dev/full",
      marks=pytest.mark.skipif(
        not os.path.exists("/dev/full"), reason="there is no /dev/full"
      ),
    ),
  ],
)
def test_a_process_without_readers(tmp_path, redirection):
  code, descriptor = _run(tmp_path, redirection)
  # 120: Python could not flush; 141: SIGPIPE.
  assert code == 0
  # A file with number 2 would get what a library prints.
  assert descriptor > 2
