"""What a number was measured with: revision, packages, cores; no JAX."""

import importlib.metadata
import os
import pathlib
import subprocess
from collections.abc import Mapping
from typing import Any

# What a later start may change; config.json records it for each start.
_SURROUNDINGS = ("devices", "python", "packages", "git_revision")
_PACKAGES = (
  "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets",
  "dm-pix", "ml-collections", "numpy",
)  # fmt: skip


def cores() -> list[int]:
  """The cores that this thread may use, by number."""
  if hasattr(os, "sched_getaffinity"):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))


def cpu_cores() -> int:
  """How many there are."""
  return len(cores())


def cores_in_words(number: object) -> str:
  """As in "2 cores" or "1 core"; "?" is a number that is not known."""
  return f"{number} core{'' if number == 1 else 's'}"


def packages() -> dict[str, str]:
  """Versions of the packages that numbers depend on."""
  return {name: importlib.metadata.version(name) for name in _PACKAGES}


def changed(
  old: Mapping[str, Any], new: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
  """What surrounds a run and differs from its last start, before and now.

  Args:
    old: what config.json holds.
    new: what it would hold if the run began now.
  """
  latest = {part: old.get(part) for part in _SURROUNDINGS}
  for start in old.get("later", []):
    latest |= {part: start[part] for part in _SURROUNDINGS if part in start}
  return {
    part: (latest[part], new[part])
    for part in _SURROUNDINGS
    if latest[part] != new[part]
  }


def git_revision() -> str:
  """Commit of this source tree, "+changes" if it has any, or "unknown"."""

  def git(*arguments: str) -> str:
    return subprocess.run(
      ("git", *arguments),
      cwd=pathlib.Path(__file__).parent,
      capture_output=True,
      text=True,
      check=True,
    ).stdout.strip()

  try:
    # An installed package may be inside somebody else's repository.
    git("ls-files", "--error-unmatch", pathlib.Path(__file__).name)
    is_changed = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "HEAD") + ("+changes" if is_changed else "")
  except (OSError, subprocess.CalledProcessError):
    return "unknown"
