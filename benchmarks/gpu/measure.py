"""Measures one row of `plan`."""

import dataclasses
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax

from benchmarks import digits, ours, sides
from benchmarks.gpu import correctness, peaks, plan, tracing, training
from sr2_jax import parallel

_ROUNDS = 5
# That a process may take, even if the budget is almost spent.
_LEAST_SECONDS = 30.0


class Missing(Exception):
  """There is no such device; the message says which there are."""


@dataclasses.dataclass(frozen=True)
class Context:
  """What all rows share.

  Attributes:
    device: the one to measure.
    sizes: how large everything is.
    seconds_left: of the budget.
  """

  device: Any
  sizes: plan.Sizes
  seconds_left: float


def find(platform: str) -> Any:
  """The first device of a platform, "gpu" or "cpu".

  Raises:
    Missing: if there is none.
  """
  try:
    return jax.devices(platform)[0]
  except RuntimeError as error:
    raise Missing(
      f"there is no {platform} here: JAX {jax.__version__} sees "
      f"{', '.join(map(str, jax.devices()))}.\n"
      "--device=cpu tries everything in tiny sizes."
    ) from error


def _case(row: plan.Row) -> plan.Case:
  assert row.case is not None
  return row.case


def _evaluation(it: Context) -> dict[str, Any]:
  """Seconds of a full evaluation: 8 noise levels, every metric."""
  images, labels, source = digits.test(it.sizes.num_test_images)
  layout = parallel.Layout("data", (it.device,))
  work = ours.evaluation_of(images, labels, layout)
  samples = []
  for _ in range(2):
    begin = time.perf_counter()
    work(1)
    samples.append(time.perf_counter() - begin)
  return {"images": f"{len(images):,} of {source}", "seconds_s": samples}


def _torch(row: plan.Row, it: Context, *, compiles: bool) -> dict[str, Any]:
  """Seconds of PyTorch's step, in a process that has the device for itself."""
  case = _case(row)
  side = sides.Side(
    "theirs_on_gpu", seconds=max(_LEAST_SECONDS, it.seconds_left)
  )
  try:
    facts = side.prepare(
      "step",
      "training_step",
      network=case.network,
      scale=case.scale,
      batch_size=it.sizes.batch_size,
      device="cuda" if it.device.platform == "gpu" else "cpu",
      compiles=compiles,
    )
    count = max(1, round(it.sizes.seconds / _ROUNDS / side.run("step", 1)))
    samples = [side.run("step", count) / count for _ in range(_ROUNDS)]
  finally:
    side.close()
  return {
    **facts,
    "step_s": samples,
    "images_per_second": it.sizes.batch_size / statistics.median(samples),
  }


MEASURE: dict[str, Callable[[plan.Row, Context], dict[str, Any]]] = {
  "peaks": lambda row, it: peaks.measure(it.sizes, it.device),
  "correct": lambda row, it: correctness.compare(
    _case(row), it.sizes, it.device
  ),
  "resume": lambda row, it: correctness.resume(
    it.sizes, os.environ, seconds=max(_LEAST_SECONDS, it.seconds_left)
  ),
  "step": lambda row, it: training.time_steps(_case(row), it.sizes, it.device),
  "bytes": lambda row, it: training.memory(_case(row), it.sizes, it.device),
  "torch": lambda row, it: _torch(row, it, compiles=False),
  "torch_compile": lambda row, it: _torch(row, it, compiles=True),
  "trace": lambda row, it: tracing.measure(_case(row), it.sizes, it.device),
  "evaluation": lambda row, it: _evaluation(it),
}
