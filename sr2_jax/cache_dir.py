"""The folder on this machine for files that can be made again at any time."""

import os
from pathlib import Path


def folder(name: str) -> Path:
  """The cache folder called `name` ("data", "xla"); it may not exist yet.

  It lies in $SR2_JAX_CACHE_DIR, else in $XDG_CACHE_HOME/sr2_jax, else in
  ~/.cache/sr2_jax. An empty variable counts as unset.
  """
  if chosen := os.environ.get("SR2_JAX_CACHE_DIR"):
    base = Path(chosen)
  elif shared := os.environ.get("XDG_CACHE_HOME"):
    base = Path(shared) / "sr2_jax"
  else:
    base = Path("~/.cache/sr2_jax")
  return base.expanduser() / name
