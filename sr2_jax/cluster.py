"""JAX in several processes: how it learns of them, and what they agree on."""

import jax
import numpy as np
from jax._src import clusters
from jax.experimental import multihost_utils

from sr2_jax import errors
from sr2_jax.peers import group, relay

# The way out where no cluster says which process this is.
WITHOUT = (
  "Give --coordinator=HOST:PORT, --num_processes and --process_id instead."
)
# Seconds in which JAX's own heartbeats find nothing wrong.
_NEVER = 10**6


def find(timeout: int) -> tuple[str, int, int]:
  """Address of process 0, number of processes, and which of them this is.

  Args:
    timeout: seconds that the cluster may take to answer.

  Raises:
    UserError: if no cluster says all three.
  """
  try:
    found = clusters.ClusterEnv.auto_detect_unset_distributed_params(
      None, None, None, None, None, timeout
    )
  except Exception as error:  # Each cluster fails in its own way.
    raise errors.UserError(
      "--coordinator=auto: the cluster cannot be read "
      f"({errors.in_words(error)}).\n{WITHOUT}"
    ) from error
  address, count, index, _ = found
  if address is None or count is None or index is None:
    raise errors.UserError(
      "--coordinator=auto: there is no cluster here (TPU slice, Slurm or Open "
      f"MPI).\n{WITHOUT}"
    )
  return address, count, index


def initialize(processes: group.Group) -> None:
  """Tells JAX of the processes of this run, before its first use."""
  host, port = processes.jax_address
  bind_address = f"[::]:{port}"
  if processes.index:
    host, port = "127.0.0.1", relay.start((host, port))
  host = f"[{host}]" if ":" in host else host
  jax.distributed.initialize(
    f"{host}:{port}",
    processes.count,
    processes.index,
    coordinator_bind_address=bind_address,
    initialization_timeout=int(processes.place.peer_timeout),
    # A lost process is named by `peers`, long before JAX aborts this one.
    heartbeat_timeout_seconds=_NEVER,
  )
  # JAX has installed its own handler.
  processes.listen_to_signals()


def highest(number: int) -> int:
  """The highest of the numbers that the processes of this run pass."""
  if jax.process_count() == 1:
    return number
  return int(multihost_utils.process_allgather(np.int32(number)).max())
