"""A run's folder: who is using it, the record of the run, whether it is done.

Holds config.json, metrics.jsonl, timing.jsonl, results.jsonl, checkpoints/,
per_image/, examples/, images/, tensorboard/, weights/, profile/ if asked for
and, at the end, DONE.
"""

import contextlib
import datetime
import json
import os
import pathlib
import re
import socket
import time
from collections.abc import Iterator
from typing import IO, Any

from sr2_jax import errors, file_locks, files, json_files
from sr2_jax.config import record

CONFIG = "config.json"
_WRITTEN = ("weights/*/*/*.safetensors", "per_image/*.npz", "examples/*.npz")
_LOCK_ATTEMPTS = 10
_LOCK_PAUSE = 0.05  # seconds
_LONGEST_OWNER = 512  # bytes


class RunFolder:
  """Paths and state of one run folder.

  Args:
    path: the folder; created by `claim`.
  """

  def __init__(self, path: str | pathlib.Path) -> None:
    self.path = pathlib.Path(path)
    self.images = self.path / "images"
    self._lock = self.path / ".lock"
    self.config_path = self.path / CONFIG
    self._done = self.path / "DONE"

  def checkpoints(self, phase: str, kind: str = "last") -> pathlib.Path:
    """Folder of a phase's checkpoints; kind "last" or "best"."""
    return self.path / "checkpoints" / phase / kind

  @contextlib.contextmanager
  def claim(self) -> Iterator[None]:
    """Keeps other runs out of the folder; the lock ends with the process.

    Raises:
      FolderInUseError: if another live process has claimed the folder.
      UserError: if it cannot be written.
    """
    try:
      self.path.mkdir(parents=True, exist_ok=True)
      file = files.open_regular(self._lock, "ab")
    except OSError as error:
      raise errors.UserError(
        f"{error.filename or self.path}: cannot be written "
        f"({files.in_words(error)}).\nGive another folder with --workdir."
      ) from error
    with file:
      try:
        _lock(file)
      except BlockingIOError as error:
        raise errors.FolderInUseError(
          f"{self.path}: another run is using this folder{self.owner}.\n"
          "Wait until it has ended, or give another --workdir."
        ) from error
      except OSError as error:
        raise errors.UserError(
          f"{self.path}: its file system has no locks ({error.strerror}).\n"
          "Give a folder on another file system with --workdir."
        ) from error
      # Only for messages. A full disk shows when the run writes.
      with contextlib.suppress(OSError):
        _sign(file)
      yield

  @property
  def is_claimed(self) -> bool:
    """Whether a live process has claimed the folder."""
    try:
      with files.open_regular(self._lock) as file:
        file_locks.take(file, shared=True)
    except BlockingIOError:
      return True
    except OSError:
      pass  # There is no folder yet, or `claim` will report the problem.
    return False

  @property
  def owner(self) -> str:
    """Who claimed the folder last, as " (process 7 on host, since ...)".

    Empty where the lock does not say: one of an older version, or one that has
    been taken at this moment.
    """
    try:
      with files.open_regular(self._lock) as file:
        owner = json_files.parse(file.read(_LONGEST_OWNER))
      process, host = int(str(owner["pid"])), str(owner["host"])
      since = datetime.datetime.fromisoformat(owner["since"]).astimezone()
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError):
      return ""
    return (
      f" (process {process} on {host}, since "
      f"{since.isoformat(' ', timespec='seconds')})"
    )

  def read(self) -> dict[str, Any] | None:
    """The record in config.json, or None before the first start.

    Raises:
      UserError: if it is damaged, or cannot be read.
    """
    try:
      return record.as_written(json_files.read(self.config_path))
    except (FileNotFoundError, NotADirectoryError):
      return None
    except (OSError, ValueError) as error:
      problem = "cannot be read" if isinstance(error, OSError) else "damaged"
      raise errors.UserError(
        f"{self.config_path}: {problem} ({files.in_words(error)}).\n"
        "Restore it from a copy, or give another --workdir."
      ) from error

  def check(
    self,
    config: dict[str, Any],
    ignore: tuple[str, ...] = (),
    *,
    way_out: str = "Give the same config to continue, or another --workdir to "
    "start a new run.",
  ) -> None:
    """Refuses a config that differs from the recorded one.

    Args:
      config: the resolved config as a plain dict.
      ignore: fields and groups of fields that may differ.
      way_out: the second line of the message.

    Raises:
      UserError: with the differences.
    """
    recorded = self.read()
    if recorded is None:
      if self.has_begun:
        raise errors.UserError(
          f"{self.path} holds a run, but no longer its {CONFIG}.\n"
          "Restore that file from a copy, or give another --workdir."
        )
      return
    old = record.recorded(recorded["config"], config)
    differences = [
      str(difference)
      for difference in record.difference(old, config)
      if not difference.is_of(*ignore)
    ]
    if differences:
      raise errors.UserError(
        f"{self.path} was started with another config: "
        f"{'; '.join(differences)}.\n{way_out}"
      )

  def check_data(self, name: str, fingerprint: str) -> None:
    """Refuses images that differ from those of the recorded run.

    Args:
      name: of the data set.
      fingerprint: of its images, a sha256.

    Raises:
      UserError: if they differ, or the record does not say.
    """
    recorded = (self.read() or {}).get("dataset", {}).get("fingerprint", "")
    if not re.fullmatch(r"[0-9a-f]{64}", recorded):
      raise errors.UserError(
        f"{self.config_path}: damaged (its dataset has no fingerprint).\n"
        "Restore it from a copy, or give another --workdir."
      )
    if recorded != fingerprint:
      raise errors.UserError(
        f"{name} has changed since {self.path} was started: its fingerprint "
        "differs.\nRestore the data, or give another --workdir to start a new "
        "run."
      )

  @property
  def has_begun(self) -> bool:
    """Whether there is anything that depends on the config.

    That is a checkpoint, a row, or what an evaluation writes.

    Raises:
      UserError: if nobody may look into the folder.
    """
    rows = (self.path / name for name in ("metrics.jsonl", "results.jsonl"))
    return (
      self.is_done
      or any(map(_num_bytes, rows))
      or bool(self.written())
      # The name of a checkpoint ends with its step; what a killed save leaves
      # has a longer name. Damaged checkpoints count as well.
      or any(
        path.name.rpartition("_")[2].isdigit()
        for path in self.path.glob("checkpoints/*/*/*")
      )
    )

  def written(self) -> list[str]:
    """Paths in the folder of what evaluations have written beside rows."""
    return sorted(
      path.relative_to(self.path).as_posix()
      for pattern in _WRITTEN
      for path in self.path.glob(pattern)
    )

  def record(self, fields: dict[str, Any]) -> None:
    """Writes the record to config.json."""
    text = json.dumps(fields, indent=2) + "\n"
    files.write_atomically(self.config_path, text.encode())

  @property
  def is_done(self) -> bool:
    """Whether the run in this folder has finished."""
    return os.path.isfile(self._done)

  def set_done(self, members: bytes = b"") -> None:
    """Marks the run as finished; `divergence.lines_of_done` are its members."""
    files.write_atomically(self._done, members)


def _num_bytes(path: pathlib.Path) -> int:
  """The size of a file; 0 if there is none."""
  try:
    return path.stat().st_size
  except PermissionError as error:
    raise errors.UserError(
      f"{path.parent}: cannot be read ({error.strerror}).\n"
      "Change its permissions."
    ) from error
  except OSError:
    return 0


def _sign(file: IO[bytes]) -> None:
  """Writes into a lock who has taken it."""
  now = datetime.datetime.now(datetime.UTC)
  owner = {
    "host": socket.gethostname(),
    "pid": os.getpid(),
    "since": now.isoformat(timespec="seconds"),
  }
  # Not by file.write, which would raise again where the file is closed.
  os.ftruncate(file.fileno(), 0)
  os.write(file.fileno(), f"{json.dumps(owner)}\n".encode())


def _lock(file: IO[bytes]) -> None:
  """Locks a folder; `is_claimed` in another process may hold it briefly."""
  for _ in range(_LOCK_ATTEMPTS - 1):
    with contextlib.suppress(BlockingIOError):
      file_locks.take(file)
      return
    time.sleep(_LOCK_PAUSE)
  file_locks.take(file)
