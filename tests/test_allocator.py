import platform
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, resource, threading
from sr2_jax import allocator

if {keep}:
  assert allocator.keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def touch():
  for _ in range(5):
    block = libc.malloc(200_000_000)
    ctypes.memset(block, 1, 200_000_000)
    libc.free(block)

before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
thread = threading.Thread(target=touch)
thread.start()
thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(keep):
  """Of five allocations of 200 MB in a thread of a fresh process."""
  done = subprocess.run(
    [sys.executable, "-c", SCRIPT.format(keep=keep)],
    check=True, capture_output=True, text=True,
  )  # fmt: skip
  return int(done.stdout)


@pytest.mark.skipif(
  platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's"
)
def test_freed_memory_is_used_again():
  """A fifth of the page faults: those of the first of five allocations."""
  assert page_faults(keep=True) < 0.4 * page_faults(keep=False)
