"""What a report says of members that diverged; no JAX."""

import pathlib
from collections.abc import Iterable

from sr2_jax.records import divergence


def note(folders: Iterable[pathlib.Path]) -> str:
  """The lines below the tables of some run folders; "" if nothing diverged."""
  lines = [
    f"  {folder.name}: {end}"
    for folder in folders
    for end in divergence.of_run(folder)
  ]
  if not lines:
    return ""
  heading = "Not in tables and curves, because these members diverged:"
  return "\n".join([heading, *lines])
