"""What a number was measured with: source revision and cores; no JAX."""

import os
import pathlib
import subprocess


def cpu_cores() -> int:
  """Cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


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
