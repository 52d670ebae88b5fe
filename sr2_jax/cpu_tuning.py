"""What makes a process fast on a CPU, settled before JAX starts its backend."""

import ctypes
import importlib.util
import os
import sys

# mallopt's parameters, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3

_YNNPACK = "--xla_cpu_experimental_ynn_fusion_type"


def prepare() -> None:
  """All of the following, for as long as this process lives; loads JAX.

  Has to come before XLA reads its flags, that is before JAX is loaded. Without
  it results are right, but slower to come by.
  """
  keep_freed_memory()
  convolve_without_ynnpack()
  run_in_calling_thread()


def keep_freed_memory() -> bool:
  """Lets the main thread reuse freed memory instead of giving it back.

  XLA allocates the workspace of a step, tens to hundreds of megabytes on a CPU,
  anew for every step. glibc maps such blocks from the kernel and unmaps them
  again, so that each step touches every page for the first time: with
  SR2_FSRCNN at x2 44,000 page faults, a tenth of its time.

  Only the main thread's arena can grow to the size of a workspace, hence
  `run_in_calling_thread`. One arena for all threads would do as well, but they
  wait for each other there, the more the more pieces a compilation has left:
  compiling takes a third longer, and a step afterwards up to a fifth.

  Returns:
    Whether the C library is one that can be told so (glibc).
  """
  if not sys.platform.startswith("linux"):
    return False
  mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
  if mallopt is None:  # musl has none.
    return False
  return all(
    [mallopt(_MMAP_THRESHOLD, 2**30), mallopt(_TRIM_THRESHOLD, 2**31 - 1)]
  )


def run_in_calling_thread() -> None:
  """Has a program on one CPU device run in the thread that calls it.

  It does so once its inputs are there, and its operations spread over all cores
  as before. Programs over several CPU devices run in other threads, where large
  workspaces are mapped anew each time; accelerators run beside the caller.
  """
  import jax

  jax.config.update("jax_cpu_enable_async_dispatch", False)


def convolve_without_ynnpack() -> None:
  """Has XLA's CPU backend convolve with Eigen, which is up to twice as fast.

  A convolution of 64 channels on 28 px takes 15 ms instead of 27, its kernel
  gradient 26 instead of 98. YNNPACK goes on with what it is better at, matrix
  products and sums. `python -m benchmarks.convolutions` times it, and
  `models.conv` chooses between forms that were timed so.

  Flags that the user has set in $XLA_FLAGS stay, this one as well. XLA ends a
  process at a flag that it does not know: every jaxlib that requirements.txt
  allows knows it, and libtpu, which reads the same variable with an XLA of its
  own, is not asked.
  """
  if importlib.util.find_spec("libtpu"):
    return
  flags = os.environ.get("XLA_FLAGS", "").split()
  if not any(flag.partition("=")[0] == _YNNPACK for flag in flags):
    flags.append(f"{_YNNPACK}=-individual_convolution")
    os.environ["XLA_FLAGS"] = " ".join(flags)
