import functools
import gc
import importlib.util
import os
import platform

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from sr2_jax import cpu_tuning
from tests import child

YNNPACK = "--xla_cpu_experimental_ynn_fusion_type"

SCRIPT = """
import resource
from sr2_jax import cpu_tuning

if {prepared}:
  cpu_tuning.prepare()
import jax
import jax.numpy as jnp

@jax.jit
def products(x):
  # A workspace of 144 MB: no arena but the main thread's grows beyond 64.
  return (x @ x.T) @ x

x = jnp.ones((6000, 8))
products(x).block_until_ready()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
  products(x).block_until_ready()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(prepared):
  """Page faults of ten runs of a program in a fresh process, after a first."""
  script = SCRIPT.format(prepared=prepared)
  done = child.played(script, JAX_PLATFORMS="cpu", XLA_FLAGS="")
  return int(done.stdout)


@pytest.mark.skipif(
  platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's"
)
def test_programs_reuse_freed_memory():
  """Page faults are few, because the heap only grows a little.

  Without preparation each run touches all of its pages again.
  """
  assert page_faults(prepared=True) < 0.4 * page_faults(prepared=False)


def test_garbage_is_looked_for_rarely():
  before = gc.get_threshold()
  try:
    gc.set_threshold(700, 10, 10)
    assert collections_of_many_objects() > 50
    cpu_tuning.look_for_garbage_rarely()
    assert collections_of_many_objects() < 5
  finally:
    gc.set_threshold(*before)


def collections_of_many_objects():
  first = gc.get_stats()[0]["collections"]
  kept = [[] for _ in range(100_000)]
  assert len(kept) == 100_000
  return gc.get_stats()[0]["collections"] - first


def test_xla_convolves_without_ynnpack():
  """In this process, where conftest sets the flag."""
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
    cpu_tuning.convolve_without_ynnpack()
    assert os.environ["XLA_FLAGS"] == expected


def test_no_flag_is_set_with_libtpu(monkeypatch):
  monkeypatch.setenv("XLA_FLAGS", "--xla_a=1")
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
  cpu_tuning.convolve_without_ynnpack()
  assert os.environ["XLA_FLAGS"] == "--xla_a=1"
