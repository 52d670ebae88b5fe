"""Memory that this process has taken, keeps and can still get; no JAX."""

import ctypes
import errno
import pathlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sr2_jax import errors

try:
  import resource
except ImportError:  # Windows, where `environment.check_system` ends a program.
  resource = None

_PROC = pathlib.Path("proc")
_CGROUPS = pathlib.Path("sys/fs/cgroup")
# A limit of a process, what /proc/self/status has of it, and its name.
_OF_PROCESS = (
  ("RLIMIT_AS", "VmSize", "ulimit -v"),
  ("RLIMIT_DATA", "VmData", "ulimit -d"),
)
# Files of a cgroup: its limit, what it has taken, and the cached files in that.
_VERSION_1 = (
  "memory.limit_in_bytes", "memory.usage_in_bytes",
  ("total_inactive_file", "total_active_file"),
)  # fmt: skip
_VERSION_2 = (
  "memory.max", "memory.current", ("inactive_file", "active_file"),
)  # fmt: skip
# mallopt's parameters, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Errors of JAX, which is not imported here.
_OF_JAX = ("JaxRuntimeError", "XlaRuntimeError")


class Room(NamedTuple):
  """Memory that is free.

  Attributes:
    nbytes: how much.
    limit: what sets it, in words; "" if it is the machine.
  """

  nbytes: int
  limit: str = ""


def of_host(root: pathlib.Path = pathlib.Path("/")) -> Room | None:
  """What this process can still get of the host's memory.

  It is the least of what the system has, swap included, what the cgroups leave
  and what `ulimit` leaves. Cached files make way, so they count as free. None
  if the system does not tell.

  Args:
    root: of the file system that tells.
  """
  rooms = [*_of_system(root), *_of_cgroups(root), *_of_process(root)]
  return min(rooms, default=None)


def of_device(device: Any) -> Room | None:
  """What is free on one of JAX's devices; None if its memory is the host's."""
  known = device.memory_stats() or {}
  if "bytes_limit" not in known:
    return None
  return Room(max(0, known["bytes_limit"] - known.get("bytes_in_use", 0)))


def keep_freed() -> bool:
  """Lets the main thread reuse freed memory instead of giving it back.

  XLA allocates a workspace for every step, tens to hundreds of megabytes on a
  CPU. glibc maps such blocks from the kernel and unmaps them again, so each
  step touches every page for the first time. For SR2_FSRCNN at x2 that is
  44,000 page faults a step, a tenth of its time.

  Only the main thread's arena can grow to the size of a workspace, hence
  `cpu_tuning.run_in_calling_thread`. One arena for all threads would work too,
  but the threads would wait for each other there, and longer as compilations
  fragment it: compiling takes a third longer, and a step afterwards up to a
  fifth.

  Returns:
    Whether the C library has these settings (glibc does).
  """
  mallopt = _of_glibc("mallopt")
  return mallopt is not None and all(
    [mallopt(_MMAP_THRESHOLD, 2**30), mallopt(_TRIM_THRESHOLD, 2**31 - 1)]
  )


def give_back_freed() -> None:
  """Gives the system what all threads have freed, until they take it again.

  Kept memory grows while threads come and go, and with each compilation. Called
  once a checkpoint, this keeps a long run flat. It takes some twenty
  milliseconds.
  """
  malloc_trim = _of_glibc("malloc_trim")
  if malloc_trim is not None:
    malloc_trim(0)


def _of_glibc(name: str) -> Any:
  """A function of the C library; None where that has another one."""
  if not sys.platform.startswith("linux"):
    return None
  return getattr(ctypes.CDLL(None), name, None)  # musl has none.


def peak_bytes() -> int:
  """Largest resident set of this process so far."""
  # `ru_maxrss` may include memory of the parent process.
  peak = _of_this("VmHWM")
  if peak is not None:
    return peak
  assert resource is not None
  found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return found if sys.platform == "darwin" else found * 1024


def resident_bytes() -> int | None:
  """Resident set of this process now; None if the system does not tell."""
  return _of_this("VmRSS")


def _of_this(name: str) -> int | None:
  return _numbers(pathlib.Path("/") / _PROC / "self/status").get(name)


def watched(program: Any, check: Callable[[int], None]) -> Callable[..., Any]:
  """One of JAX's programs, with a check of its memory before its first call.

  What compiling it has freed is given back to the system.

  Args:
    program: from `jax.jit` or `jax.pmap`.
    check: gets the bytes that the program takes on a device beside its
      arguments, by the compiler; may raise. It is not called where the compiler
      does not tell.
  """
  is_checked = False

  def call(*arguments: Any) -> Any:
    nonlocal is_checked
    if not is_checked:
      # Calls take what is compiled here: nothing is compiled twice.
      found = program.lower(*arguments).compile().memory_analysis()
      # The compiler has freed some 0.2 GB, which would be kept beside the data.
      give_back_freed()
      if found is not None:
        beside = found.temp_size_in_bytes + found.output_size_in_bytes
        check(beside - found.alias_size_in_bytes)
      is_checked = True
    return program(*arguments)

  return call


def is_short(error: BaseException) -> bool:
  """Whether an error says that there was not enough memory."""
  if isinstance(error, MemoryError):
    return True
  if isinstance(error, OSError) and error.errno == errno.ENOMEM:
    return True
  kinds = {kind.__name__ for kind in type(error).__mro__}
  return "RESOURCE_EXHAUSTED" in str(error) and not kinds.isdisjoint(_OF_JAX)


def reason(error: BaseException) -> str:
  """What an error says, in one line of bounded length, without a full stop."""
  return errors.reason(error).rstrip(".") or type(error).__name__


def message(error: BaseException) -> str:
  """Two lines about such an error where nothing more is known."""
  return (
    f"Out of memory: {reason(error)}.\n"
    "Give this process more memory, or fewer or smaller images."
  )


def in_words(nbytes: int) -> str:
  """An amount of memory in messages, in GB of 1e9 bytes."""
  digits = 0 if nbytes >= 1e11 else 1 if nbytes >= 5e7 else 3
  return f"{nbytes / 1e9:,.{digits}f} GB"


def _of_system(root: pathlib.Path) -> Iterator[Room]:
  known = _numbers(root / _PROC / "meminfo")
  if "MemAvailable" in known:
    yield Room(known["MemAvailable"] + known.get("SwapFree", 0))


def _of_process(root: pathlib.Path) -> Iterator[Room]:
  taken = _numbers(root / _PROC / "self/status")
  if resource is None:
    return
  for which, name, words in _OF_PROCESS:
    limit, _ = resource.getrlimit(getattr(resource, which))
    if limit != resource.RLIM_INFINITY and name in taken:
      yield Room(max(0, limit - taken[name]), words)


def _of_cgroups(root: pathlib.Path) -> Iterator[Room]:
  for folder, (limit, taken, cached) in _cgroups(root):
    try:
      most = int((folder / limit).read_text())
      rest = most - int((folder / taken).read_text())
    except (OSError, ValueError):
      continue  # Not here, or "max".
    files = _numbers(folder / "memory.stat")
    rest += sum(files.get(name, 0) for name in cached)
    yield Room(min(most, max(0, rest)), "the limit of its cgroup")


def _cgroups(root: pathlib.Path) -> Iterator[tuple[pathlib.Path, Any]]:
  """Folders of this process's cgroup and those above it, and their files.

  A container may see its own as the topmost one only.
  """
  for line in _text(root / _PROC / "self/cgroup").splitlines():
    _, controllers, path = line.split(":", 2)
    if not controllers:
      top, files = root / _CGROUPS, _VERSION_2
    elif "memory" in controllers.split(","):
      top, files = root / _CGROUPS / "memory", _VERSION_1
    else:
      continue
    own = top / path.lstrip("/")
    for folder in (own, *own.parents):
      yield folder, files
      if folder == top:
        break


def _text(path: pathlib.Path) -> str:
  try:
    return path.read_text()
  except OSError:
    return ""


def _numbers(path: pathlib.Path) -> dict[str, int]:
  """Numbers by name, in bytes, from lines as "VmHWM: 12 kB" or "cache 12"."""
  found = re.findall(r"^(\w+):?[ \t]+(\d+)( kB)?$", _text(path), re.MULTILINE)
  return {name: int(number) * (1024 if kb else 1) for name, number, kb in found}
