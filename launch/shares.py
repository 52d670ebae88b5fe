"""Shares of this machine's cores, one for each run of several at once.

Networks this small do not use two cores well, let alone sixteen. Runs that
have cores of their own are done sooner than one after another.
"""

import contextlib
import importlib.util
import itertools
import os
import pkgutil
from collections.abc import Sequence

from sr2_jax import errors

# What sets the number of XLA's threads where cores cannot be assigned.
_THREADS = "NPROC"


def of_cores(at_once: int) -> list[tuple[int, ...]]:
  """Neighbouring cores for each run; their numbers differ by one at most.

  Raises:
    UserError: if there are fewer cores than runs, or the runs would all take
      the same accelerator.
  """
  cores = _cores()
  if at_once > len(cores):
    has = "1 core" if len(cores) == 1 else f"{len(cores)} cores"
    raise errors.UserError(
      f"--at_once={at_once}: each run needs a core, and this machine has {has}."
    )
  if at_once > 1 and (plugin := _accelerator()):
    raise errors.UserError(
      f"--at_once={at_once} shares out cores. Here is {plugin}, and each run "
      "would take all of its devices.\nSet JAX_PLATFORMS=cpu, or use "
      "--engine=ray, which gives each run devices of its own."
    )
  bounds = [len(cores) * i // at_once for i in range(at_once + 1)]
  return [tuple(cores[first:end]) for first, end in itertools.pairwise(bounds)]


def in_words(cores: Sequence[int]) -> str:
  """As in "core 3", "cores 0-3" or "cores 0,2"."""
  if len(cores) == 1:
    return f"core {cores[0]}"
  first, last = cores[0], cores[-1]
  is_row = last - first + 1 == len(cores)
  return f"cores {f'{first}-{last}' if is_row else ','.join(map(str, cores))}"


def variables(cores: Sequence[int]) -> dict[str, str]:
  """What a process needs in its environment to use so many cores."""
  is_assigned = hasattr(os, "sched_setaffinity")
  return {} if is_assigned or not cores else {_THREADS: str(len(cores))}


def assign(pid: int, cores: Sequence[int]) -> None:
  """Keeps a process that has just started, and its threads, on these cores.

  macOS cannot. There `variables` limits the number of threads.
  """
  if cores and hasattr(os, "sched_setaffinity"):
    # One that has ended has an exit code, which says why.
    with contextlib.suppress(ProcessLookupError):
      os.sched_setaffinity(pid, cores)


def _cores() -> list[int]:
  if hasattr(os, "sched_getaffinity"):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))


def _accelerator() -> str:
  """A package by which JAX would use an accelerator; "" without one."""
  if os.environ.get("JAX_PLATFORMS", "").strip().lower() == "cpu":
    return ""
  if importlib.util.find_spec("libtpu"):
    return "libtpu"
  plugins = importlib.util.find_spec("jax_plugins")
  folders = plugins.submodule_search_locations if plugins else None
  return next((m.name for m in pkgutil.iter_modules(folders or [])), "")
