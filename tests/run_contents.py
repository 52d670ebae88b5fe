"""What a run has come to, to compare it with another, bit by bit."""

import hashlib

_NOT_COMPARED = (".lock", "timing.jsonl", "config.json", "checkpoints/")


def contents(folder):
  """Of what a run keeps: files and arrays of checkpoints, as hashes by name.

  Without what says when it was. Orbax gives its files other names each time.
  """
  found = {}
  for path in sorted(folder.rglob("*")):
    name = str(path.relative_to(folder))
    if path.is_file() and not name.startswith(_NOT_COMPARED):
      found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
  for path in sorted(folder.glob("checkpoints/*/*/*/state")):
    found[str(path.relative_to(folder))] = _arrays(path)
  assert {"DONE", "metrics.jsonl", "results.jsonl"} <= found.keys()
  assert any(name.startswith("weights/") for name in found)
  return found


def _arrays(path):
  # Slow to import.
  import jax
  import numpy as np
  import orbax.checkpoint as ocp

  leaves, _ = jax.tree_util.tree_flatten_with_path(
    ocp.StandardCheckpointer().restore(path)
  )
  return {
    jax.tree_util.keystr(key): hashlib.sha256(np.asarray(leaf)).hexdigest()
    for key, leaf in leaves
  }
