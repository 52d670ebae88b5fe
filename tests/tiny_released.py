"""Released weights of no real network, in a folder as the package has it."""

import hashlib
import json

import numpy as np

from sr2_jax.records import released, weights
from tests import tiny_predictor


def write(folder, name="mine", *, seeds=(0,), address=None, **options):
  """Adds a network to the list of a folder; returns the network's folder."""
  found, sums = {}, ""
  for seed in seeds:
    path = (
      f"seed_{seed}/model.safetensors"
      if len(seeds) > 1
      else "model.safetensors"
    )
    data = weights.encode(
      {"params/sr": np.float16([seed])}, tiny_predictor.origin(seed, **options)
    )
    file = folder / name / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    found[path] = {"sha256": digest, "bytes": len(data)}
    sums += f"{digest}  {path}\n"
  (folder / name / released.SUMS).write_text(sums)
  listed = folder / released.INDEX
  entries = json.loads(listed.read_text()) if listed.exists() else {}
  entries[name] = {"address": address, "files": found}
  listed.write_text(json.dumps(entries))
  released.index.cache_clear()
  return folder / name
