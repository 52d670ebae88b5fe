import functools
import importlib.util
import os
import platform
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from sr2_jax import runtime

YNNPACK = "--xla_cpu_experimental_ynn_fusion_type"

SCRIPT = """
import ctypes, resource, threading
from sr2_jax import runtime

if {keep}:
  assert runtime.keep_freed_memory()
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


def test_xla_convolves_without_ynnpack():
  """In this process, whose conftest asks for it."""
  x, kernel = jnp.ones((2, 14, 14, 32)), jnp.ones((3, 3, 32, 32))
  convolve = functools.partial(
    lax.conv_general_dilated,
    window_strides=(1, 1),
    padding="SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )
  compiled = jax.jit(convolve).lower(x, kernel).compile()
  assert "__ynn_fusion" not in compiled.as_text()


@pytest.mark.parametrize(
  ("given", "expected"),
  [
    ("", f"{YNNPACK}=-individual_convolution"),
    ("--xla_a=1", f"--xla_a=1 {YNNPACK}=-individual_convolution"),
    (f"{YNNPACK}= --xla_a=1", f"{YNNPACK}= --xla_a=1"),
  ],
)
def test_flags_of_the_user_stay(given, expected, monkeypatch):
  monkeypatch.setenv("XLA_FLAGS", given)
  for _ in range(2):
    runtime.convolve_without_ynnpack()
    assert os.environ["XLA_FLAGS"] == expected


def test_libtpu_is_given_no_flag(monkeypatch):
  monkeypatch.setenv("XLA_FLAGS", "--xla_a=1")
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
  runtime.convolve_without_ynnpack()
  assert os.environ["XLA_FLAGS"] == "--xla_a=1"
