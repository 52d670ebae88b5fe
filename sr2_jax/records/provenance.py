"""What a number was measured with: revision, packages and cores; no JAX."""

import importlib.metadata
import os
import pathlib
import subprocess

_PACKAGES = (
  "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets",
  "dm-pix", "ml-collections", "numpy",
)  # fmt: skip


def cpu_cores() -> int:
  """Cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def packages() -> dict[str, str]:
  """Versions of the packages that numbers depend on."""
  return {name: importlib.metadata.version(name) for name in _PACKAGES}


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
