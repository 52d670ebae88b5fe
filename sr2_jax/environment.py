"""The system and the environment variables, checked before they are needed.

JAX raises an error of its own for a wrong value of a variable, and XLA ends the
process on a flag that it does not know.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import NoReturn

from sr2_jax import errors, file_locks

_XLA_FLAGS = "XLA_FLAGS"
# Reads the flags as every program of JAX does, in a sixth of a second.
_READ_FLAGS = "from jaxlib import xla_client; xla_client.CompileOptions()"
_LARGEST_FILE = 10**6  # bytes
# Characters of a variable in a message.
_LONGEST_VALUE = 100


def check_system() -> None:
  """Refuses a system on which the program would fail later.

  Pictures are drawn into files, whatever backend $MPLBACKEND names: a notebook
  sets one that other programs do not have.

  Raises:
    UserError: says what is missing, and how to provide it.
  """
  if not file_locks.AVAILABLE:
    raise errors.UserError(
      "sr2_jax runs on Linux and macOS. On Windows, run it in WSL (Windows "
      "Subsystem for Linux)."
    )
  if os.path.expanduser("~") == "~":
    raise errors.UserError(
      "There is no home folder: HOME is not set, and the system does not know "
      f"user {os.getuid()}.\nSet HOME to a folder, as in HOME=/tmp."
    )
  try:
    tempfile.gettempdir()
  except FileNotFoundError as error:
    raise errors.UserError(
      "There is no folder for temporary files.\n"
      "Set TMPDIR to a folder that can be written."
    ) from error
  # Reading it means setting it; nothing else runs yet.
  umask = os.umask(0)
  os.umask(umask)
  if umask & 0o700:
    raise errors.UserError(
      f"The umask {umask:03o} takes permissions to new files from their own "
      "user.\nSet another one, as in umask 022."
    )
  os.environ["MPLBACKEND"] = "agg"


def check_xla_flags() -> None:
  """Refuses flags that XLA does not know, or cannot read.

  Raises:
    UserError: says which, as XLA does.
  """
  flags = os.environ.get(_XLA_FLAGS, "").strip()
  if not flags:
    return
  # XLA takes anything else for the name of a file with flags.
  if not flags.startswith("--") and not (
    os.path.isfile(flags) and os.path.getsize(flags) <= _LARGEST_FILE
  ):
    _refuse_xla_flags(f"neither --flags nor a file of flags: {flags}")
  done = subprocess.run(
    [sys.executable, "-c", _READ_FLAGS],
    check=False,
    stdin=subprocess.DEVNULL,
    capture_output=True,
    text=True,
    errors="replace",
  )
  said = re.findall(
    r"^[EF]\d{4} .*flags\w*\.cc:\d+\] (.*)$", done.stderr, re.MULTILINE
  )
  # Any other failure shows where JAX is loaded.
  if done.returncode and said:
    _refuse_xla_flags(said[0])


def _refuse_xla_flags(reason: str) -> NoReturn:
  raise errors.UserError(
    f"{_XLA_FLAGS}: {reason.rstrip('.')}.\nCorrect or unset {_XLA_FLAGS}."
  )


@contextlib.contextmanager
def blamed() -> Iterator[None]:
  """Turns errors in the block, which starts JAX, into a message.

  Raises:
    UserError: names the variables of JAX that are set. Without any, the error
      stays as it is.
  """
  try:
    yield
  except Exception as error:
    names = sorted(x for x in os.environ if x.startswith("JAX_"))
    if isinstance(error, ImportError) or not names:
      raise
    reason = errors.in_words(error)
    named = [name for name in names if name.lower() in reason.lower()]
    raise errors.UserError(
      f"JAX does not start ({reason}).\n"
      f"Correct or unset {', '.join(map(_with_value, named or names))}."
    ) from error


def _with_value(name: str) -> str:
  return f"{name}={errors.shortened(os.environ[name], _LONGEST_VALUE)}"
