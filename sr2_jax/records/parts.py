"""The parts of a run folder, looked at before a run works in it; no JAX.

A run that has trained for days should not end because one of its files is a
folder, or cannot be written. And it changes nothing outside its folder, so none
of its parts may be a link that leads there.
"""

import os
import pathlib
import re
import stat
from typing import NoReturn

from sr2_jax import errors, files, paths

# What is appended to, instead of being replaced as a whole.
_APPENDED = (".lock", "metrics.jsonl", "timing.jsonl")
_FILES = (*_APPENDED, "config.json", "results.jsonl", "DONE")
_FOLDERS = (
  "checkpoints", "examples", "images", "per_image", "profile", "tensorboard",
  "weights",
)  # fmt: skip
_FOLDERS_BELOW = re.compile(
  r"""(checkpoints|profile|tensorboard)/(pretrain|joint)
  |checkpoints/(pretrain|joint)/(last|best|final|damaged)
  |checkpoints/(pretrain|joint)/(last|best|final)/\d{8}
  |weights/(pretrain|joint)_[^/]+(/seed_[^/]+)?""",
  re.VERBOSE,
)
_FILES_BELOW = re.compile(r".*\.(jsonl?|npz|png|safetensors|sha256|tmp)")
_MOVE = "Move it away and run the same command again."


def check(folder: pathlib.Path) -> None:
  """Looks at all parts of a run folder that there are.

  Raises:
    UserError: names the first one that a run could not work with.
  """
  _check_access(folder, os.R_OK | os.W_OK | os.X_OK)
  # Whatever else a user has put there is left alone.
  for name in (*_FILES, *(f"{name}.tmp" for name in _FILES), *_FOLDERS):
    if os.path.lexists(folder / name):
      _check(folder, folder / name)


def _check(folder: pathlib.Path, path: pathlib.Path) -> None:
  """Looks at a part of a run folder, and at all parts of that."""
  if path.is_symlink():
    target, home = map(os.path.realpath, (path, folder))
    if os.path.commonpath((target, home)) != home:
      _refuse(
        path,
        f"is a link that leads out of the run folder, to {paths.shown(target)}",
        "Put what is there in its place: a run changes nothing elsewhere.",
      )
  try:
    mode = path.stat().st_mode
  except OSError as error:
    _refuse(path, f"is not there ({files.in_words(error)})", _MOVE)
  name, kind = path.relative_to(folder).as_posix(), files.not_a_file(mode)
  if stat.S_ISDIR(mode):
    if name in _FILES or _FILES_BELOW.fullmatch(name):
      _refuse(path, "is a folder, not a file", _MOVE)
    _check_access(path, os.R_OK | os.W_OK | os.X_OK)
    # What a link inside the folder leads to is looked at under its own name.
    for part in sorted(path.iterdir()) if not path.is_symlink() else ():
      _check(folder, part)
    return
  if name in _FOLDERS or _FOLDERS_BELOW.fullmatch(name):
    _refuse(path, f"is {kind or 'a file'}, not a folder", _MOVE)
  if kind:
    _refuse(path, f"is {kind}, not a file", _MOVE)
  _check_access(path, os.R_OK | (os.W_OK if name in _APPENDED else 0))


def _check_access(path: pathlib.Path, mode: int) -> None:
  for wanted, words in ((os.R_OK | os.X_OK, "read"), (os.W_OK, "written")):
    if mode & wanted and not os.access(path, mode & wanted):
      _refuse(
        path,
        f"cannot be {words} by this user",
        "Change its permissions, or give another --workdir.",
      )


def _refuse(path: pathlib.Path, problem: str, way_out: str) -> NoReturn:
  raise errors.UserError(f"{paths.shown(path)}: {problem}.\n{way_out}")
