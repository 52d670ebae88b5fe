"""Weights of a run's members as files, with both kinds of statistics."""

import jax

from sr2_jax.records import weights
from sr2_jax.training import network


def write(folder, variables, origins):
  """Writes the last weights of each member to the weights/ of a run folder.

  Re-estimated statistics are the running ones and 1, so that they are told
  apart: training goes on with the running ones.

  Args:
    folder: the run folder.
    variables: of all members, [M, ...].
    origins: of each.
  """
  for place, origin in enumerate(origins):
    member = jax.tree.map(lambda x, place=place: x[place], variables)
    arrays = network.flatten(member)
    running = {
      name.replace("batch_stats", weights.RUNNING, 1): array
      for name, array in arrays.items()
      if name.startswith("batch_stats")
    }
    others = {
      name.replace(weights.RUNNING, "batch_stats"): array + 1
      for name, array in running.items()
    }
    weights.write(
      weights.network_folder(folder, origin.phase, origin.method)
      / f"seed_{origin.member.seed}"
      / "last.safetensors",
      {**arrays, **others, **running},
      origin,
    )
