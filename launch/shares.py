"""Shares of this machine's cores, one for each run of several at once.

Networks this small make poor use of two cores, let alone sixteen. Several runs
finish sooner side by side, each on its own cores, than one after another.
"""

import contextlib
import importlib.util
import os
import pathlib
import pkgutil
from collections.abc import Sequence

from sr2_jax import errors, files
from sr2_jax.records import provenance

# What sets the number of XLA's threads where cores cannot be assigned.
_THREADS = "NPROC"
_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/{}"


def of_cores(at_once: int) -> list[tuple[int, ...]]:
  """Cores for each run, as many for one as for another.

  A run's last bits depend on how many it has, and should not on its place.
  Threads of one physical core are in one share where that is possible.

  Raises:
    UserError: if there are fewer cores than runs, or the runs would all take
      the same accelerator.
  """
  cores = sorted(provenance.cores(), key=_place)
  if at_once > len(cores):
    raise errors.UserError(
      f"--at_once={at_once}: each run needs a core, and this machine has "
      f"{provenance.cores_in_words(len(cores))}."
    )
  if at_once > 1 and (plugin := _plugin()):
    raise errors.UserError(
      f"--at_once={at_once} shares out cores. JAX has {plugin} here, and each "
      "run would take all devices that it finds.\nSet JAX_PLATFORMS=cpu, or "
      "use --engine=ray, which gives each run its own devices."
    )
  size = len(cores) // at_once
  return [tuple(cores[i * size :][:size]) for i in range(at_once)]


def in_words(cores: Sequence[int]) -> str:
  """As in "core 3", "cores 0-3" or "cores 0,2"."""
  numbers = sorted(cores)
  if len(numbers) == 1:
    return f"core {numbers[0]}"
  if numbers[-1] - numbers[0] + 1 == len(numbers):
    return f"cores {numbers[0]}-{numbers[-1]}"
  return f"cores {','.join(map(str, numbers))}"


def keep_to(cores: Sequence[int]) -> None:
  """Keeps this thread, and processes that it starts, to these cores.

  macOS cannot. There `variables` limits the threads of a process.

  Raises:
    OSError: if none of the cores is there any more.
  """
  if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, cores)


def variables(of_runs: Sequence[Sequence[int]]) -> dict[str, str]:
  """What the runs need in their environment, given the shares of all."""
  is_kept = hasattr(os, "sched_setaffinity") or len(of_runs) == 1
  return {} if is_kept else {_THREADS: str(len(of_runs[0]))}


def _place(core: int) -> tuple[int, int, int]:
  """Orders cores by processor and by physical core, where Linux says so."""
  found = [0, 0]
  for i, name in enumerate(("physical_package_id", "core_id")):
    with contextlib.suppress(OSError, ValueError):
      found[i] = int(files.read(pathlib.Path(_TOPOLOGY.format(core, name))))
  package, physical = found
  return package, physical, core


def _plugin() -> str:
  """A package by which JAX would use an accelerator; "" without one."""
  if os.environ.get("JAX_PLATFORMS", "").strip().lower() == "cpu":
    return ""
  if importlib.util.find_spec("libtpu"):
    return "libtpu"
  plugins = importlib.util.find_spec("jax_plugins")
  folders = plugins.submodule_search_locations if plugins else None
  return next((m.name for m in pkgutil.iter_modules(folders or [])), "")
