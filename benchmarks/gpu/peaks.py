"""What a device reaches at its best: matrix products and copies."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.gpu import plan

_REPEATED = 10


def measure(sizes: plan.Sizes, device: Any) -> dict[str, float]:
  """FLOP/s of a large matrix product in each precision, and bytes/s of a copy.

  A copy reads and writes each byte, which counts twice.
  """
  side = sizes.matmul
  found = {}
  for name, dtype, precision in (
    ("float32_flop_per_s", jnp.float32, "highest"),
    ("tf32_flop_per_s", jnp.float32, "default"),
    ("bfloat16_flop_per_s", jnp.bfloat16, "default"),
  ):
    a = jax.device_put(jnp.ones((side, side), dtype), device)
    product = jax.jit(
      lambda a, b, precision=precision: jnp.matmul(a, b, precision=precision)
    )
    found[name] = 2 * side**3 / _fastest(product, a, a)
  x = jax.device_put(jnp.zeros(sizes.copied_bytes // 4, jnp.float32), device)
  # Not `jnp.copy`, which the compiler may leave out.
  seconds = _fastest(jax.jit(lambda x: x + 1), x)
  found["bytes_per_s"] = 2 * sizes.copied_bytes / seconds
  return found


def _fastest(
  function: Callable[..., jax.Array], *arguments: jax.Array
) -> float:
  """Seconds of the fastest of several calls, without compilation."""
  jax.block_until_ready(function(*arguments))
  seconds = []
  for _ in range(_REPEATED):
    begin = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    seconds.append(time.perf_counter() - begin)
  return min(seconds)
