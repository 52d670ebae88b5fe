"""Memory that the C library keeps instead of giving it back; no JAX.

XLA allocates the workspace of a step, tens to hundreds of megabytes on a CPU,
anew for every step. glibc maps such blocks from the kernel and unmaps them
again, so that each step touches every page for the first time: with SR2_FSRCNN
at x2 44,000 page faults, a tenth of its time.
"""

import ctypes
import sys

# mallopt's parameters, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


def keep_freed_memory() -> bool:
  """Lets this process reuse freed memory, for as long as it lives.

  Has to come before other threads allocate, that is before JAX is loaded.

  Returns:
    Whether the C library is one that can be told so (glibc).
  """
  if not sys.platform.startswith("linux"):
    return False
  mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
  if mallopt is None:  # musl has none.
    return False
  return all(
    [
      # Other threads' arenas cannot grow to the size of a workspace.
      mallopt(_ARENA_MAX, 1),
      mallopt(_MMAP_THRESHOLD, 2**30),
      mallopt(_TRIM_THRESHOLD, 2**31 - 1),
    ]
  )
