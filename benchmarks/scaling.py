"""Expected step times on accelerators: python -m benchmarks.scaling

Nothing here runs on an accelerator, and nothing is timed. FLOPs, bytes and ops
come from the training step of the paper's networks as XLA compiles it on this
machine, and collectives from its lowering for eight devices. `DEVICES` has the
assumptions on the hardware. Prints the tables of docs/scaling.md.
"""

import argparse
import dataclasses
import importlib
import math
import re
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from benchmarks.accelerators import programs
from sr2_jax import parallel
from sr2_jax.config import derived
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import steps

_SHARDS = 8

# Fractions of the peak that busy kernels reach.
_COMPUTE_FRACTION = 0.5
_MEMORY_FRACTION = 0.7
# HLO ops that need no kernel.
_FREE_OPS = frozenset(
  (
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while",
    "after-all", "optimization-barrier", "iota", "partition-id", "call",
  )
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Device:
  """Assumptions on an accelerator.

  Attributes:
    name: name in the tables.
    count: number of devices.
    peak_flops: FLOP/s of dense float32 matrix products as they run by default:
      TF32 on a GPU, one bfloat16 pass on a TPU.
    memory_bandwidth: bytes/s.
    tile: multiples that output features and contracted values of a product are
      rounded up to; few channels leave units of the device empty.
    op_seconds: seconds from one kernel to the next.
    link_bandwidth: bytes/s of an all-reduce's data in and out of a device.
    collective_seconds: latency of one all-reduce.
  """

  name: str
  count: int
  peak_flops: float
  memory_bandwidth: float
  tile: tuple[int, int]
  op_seconds: float
  link_bandwidth: float = math.inf
  collective_seconds: float = 0.0


def _v5e(rows: int, columns: int) -> Device:
  # 2 us, and 1 us a hop of a ring along each axis of the torus, there and back.
  hops = 2 * (rows - 1 + columns - 1)
  count = rows * columns
  return Device(
    f"v5e-{count}",
    count,
    197e12,
    819e9,
    (128, 128),
    1e-6,
    90e9,
    2e-6 + hops * 1e-6,
  )


DEVICES = (
  Device("1 H100", 1, 495e12, 3.35e12, (64, 16), 3e-6),
  _v5e(2, 4),
  _v5e(16, 16),
)


@dataclasses.dataclass(frozen=True)
class Cost:
  """Cost of a training step of one member in float32.

  Attributes:
    flops: FLOPs of the whole step.
    products: (FLOPs, output features, contracted values) of each convolution
      and matrix product.
    bytes: bytes that fused ops read and write.
    ops: number of kernels.
    collectives: number of all-reduces in layout "data".
    collective_bytes: total payload of the all-reduces.
  """

  flops: float
  products: tuple[tuple[float, int, int], ...]
  bytes: float
  ops: int
  collectives: int
  collective_bytes: int


def cost(name: str) -> Cost:
  """Cost of the joint training step of experiments/<name>.py."""
  config = importlib.import_module(f"experiments.{name}").get_config()
  config = derived.resolve(config)
  traced = _trace(config, num_devices=1)
  lowered = traced.lower()
  spread = _trace(config, num_devices=_SHARDS).lower().as_text()
  # The low level saves compile time; fusion is the same.
  compiled = lowered.compile(
    compiler_options={"xla_backend_optimization_level": 0}
  )
  analysis = compiled.cost_analysis()
  payloads = [
    math.prod(map(int, re.findall(r"(\d+)x", shape))) * 4
    for shape in re.findall(
      r'"stablehlo\.all_reduce".*?\}\) : \(tensor<(.*?)>\)', spread, re.DOTALL
    )
  ]
  return Cost(
    flops=lowered.cost_analysis()["flops"],
    products=tuple(_products(traced.jaxpr.jaxpr)),
    bytes=analysis["bytes accessed"],
    ops=_num_ops(compiled.as_text()),
    collectives=len(payloads),
    collective_bytes=sum(payloads),
  )


def _trace(config: Any, *, num_devices: int) -> Any:
  layout = parallel.layout("data", num_devices)
  # XLA's own convolutions, not the forms for the CPU.
  phase = programs.joint(config, layout, platform="tpu")
  step = phase_lib.train_steps(phase, config, layout, steps_per_call=1)
  return jax.jit(lambda *inputs: step(*inputs)).trace(
    steps.all_alive(phase.abstract_state()),
    (
      phase.population.arrays(),
      np.zeros((1, programs.NUM_TRAIN_IMAGES), np.int32),
    ),
    (
      jax.ShapeDtypeStruct(
        (programs.NUM_TRAIN_IMAGES, *programs.IMAGE_SHAPE), np.uint8
      ),
      jax.ShapeDtypeStruct((programs.NUM_TRAIN_IMAGES,), np.int32),
      np.int32(0),
      np.int32(1),
    ),
  )


def _products(jaxpr: Any) -> Iterator[tuple[float, int, int]]:
  """FLOPs, output features and contracted values of each product in turn."""
  for equation in jaxpr.eqns:
    for value in equation.params.values():
      inner = getattr(value, "jaxpr", value)
      if hasattr(inner, "eqns"):
        yield from _products(inner)
    name = equation.primitive.name
    if name not in ("conv_general_dilated", "dot_general"):
      continue
    (left, right), out = equation.invars, equation.outvars[0].aval
    if name == "dot_general":
      contracted, batched = equation.params["dimension_numbers"]
      inner_size = math.prod(left.aval.shape[i] for i in contracted[0])
      del batched
      features = out.shape[-1]
    else:
      numbers = equation.params["dimension_numbers"].rhs_spec
      features = right.aval.shape[numbers[0]]
      inner_size = right.aval.size // features
    flops = 2.0 * out.size * inner_size
    # The gradient of a stride puts zeros between values; they do not count.
    flops /= math.prod(equation.params.get("lhs_dilation", (1,)))
    yield flops, features, inner_size


def _num_ops(hlo: str) -> int:
  """Number of kernels: ops of computations that are not inside another op."""
  count, counting = 0, False
  for line in hlo.splitlines():
    if line.endswith("{"):
      counting = line.startswith("ENTRY") or "shard_map" in line.split("(")[0]
    elif counting and (found := re.search(r"= .*? ([a-z-]+)\(", line)):
      count += found[1] not in _FREE_OPS
  return count


def padded_flops(cost: Cost, device: Device) -> float:
  """FLOPs of the products, rounded up to whole tiles of the device."""
  features_tile, inner_tile = device.tile

  def filled(size: int, tile: int) -> float:
    return math.ceil(size / tile) * tile / size

  return sum(
    flops * filled(features, features_tile) * filled(inner, inner_tile)
    for flops, features, inner in cost.products
  )


def seconds(
  cost: Cost, device: Device, *, layout: str, members: int, devices: int
) -> float:
  """Expected time of a step of all members, on some of the devices.

  It is the sum of work, launches and collectives. Work is the longer of
  computing and moving bytes. Each op costs one launch, whatever its size.
  """
  compute = padded_flops(cost, device) / (_COMPUTE_FRACTION * device.peak_flops)
  memory = cost.bytes / (_MEMORY_FRACTION * device.memory_bandwidth)
  work = members * max(compute, memory) / devices
  launches = cost.ops * device.op_seconds
  communication = 0.0
  if layout == "data" and devices > 1:
    moved = 2 * (devices - 1) / devices * cost.collective_bytes * members
    communication = (
      cost.collectives * device.collective_seconds
      + moved / device.link_bandwidth
    )
  return work + launches + communication


def _row(*cells: object) -> str:
  return f"| {' | '.join(map(str, cells))} |"


def _table(head: str, rows: list[tuple[object, ...]]) -> str:
  columns = head.split(", ")
  lines = [_row(*columns), _row(*("---" for _ in columns))]
  return "\n".join(lines + [_row(*row) for row in rows]) + "\n"


def _counted(costs: dict[str, Cost]) -> str:
  return _table(
    "network, GFLOP, GB moved, FLOP/byte, ops, all-reduces, their MB",
    [
      (
        name,
        f"{cost.flops / 1e9:.1f}",
        f"{cost.bytes / 1e9:.2f}",
        f"{cost.flops / cost.bytes:.0f}",
        cost.ops,
        cost.collectives,
        f"{cost.collective_bytes / 1e6:.1f}",
      )
      for name, cost in costs.items()
    ],
  )


def _one_device(costs: dict[str, Cost]) -> str:
  """Times of one member and of six on a single device of each kind."""
  rows = []
  for name, cost in costs.items():
    for device in (DEVICES[0], DEVICES[1]):
      compute = padded_flops(cost, device)
      compute /= _COMPUTE_FRACTION * device.peak_flops
      memory = cost.bytes / (_MEMORY_FRACTION * device.memory_bandwidth)
      one, six = (
        seconds(cost, device, layout="members", members=members, devices=1)
        for members in (1, 6)
      )
      rows.append(
        (
          name,
          device.name if device.count == 1 else f"1 of {device.name}",
          f"{1e3 * compute:.2f}",
          f"{1e3 * memory:.2f}",
          f"{1e3 * cost.ops * device.op_seconds:.2f}",
          f"{1e3 * one:.2f}",
          f"{64 / one:,.0f}",
          f"{6 * 64 / six:,.0f}",
        )
      )
  return _table(
    "network, device, compute ms, memory ms, launches ms, step ms, img/s, "
    "img/s of 6 members",
    rows,
  )


def _layouts(costs: dict[str, Cost], *, batch_size: int) -> str:
  """Both layouts on the slices, for several sizes of the population."""
  rows = []
  for name, cost in costs.items():
    for device, populations in (
      (DEVICES[1], (1, 8, 64)),
      (DEVICES[2], (1, 256)),
    ):
      for members in populations:
        single = seconds(
          cost, device, layout="members", members=members, devices=1
        )
        cells, speeds = [], {}
        for layout, most in (("data", batch_size), ("members", members)):
          used = min(device.count, most)
          time = seconds(
            cost, device, layout=layout, members=members, devices=used
          )
          speeds[layout] = time
          efficiency = single / (time * device.count)
          cells += [used, f"{1e3 * time:.2f}", f"{100 * efficiency:.0f} %"]
        winner = min(speeds, key=lambda layout: speeds[layout])
        rows.append((name, device.name, members, *cells, winner))
  return _table(
    "network, slice, members, data: devices, ms, efficiency, "
    "members: devices, ms, efficiency, faster",
    rows,
  )


def main() -> None:
  """Prints the tables."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--networks", nargs="+", default=programs.NETWORKS)
  arguments = parser.parse_args()
  jax.config.update("jax_num_cpu_devices", _SHARDS)
  costs = {name: cost(name) for name in arguments.networks}
  print(f"JAX {jax.__version__}, XLA's convolutions, float32.\n")
  print(_counted(costs))
  print(_one_device(costs))
  print(_layouts(costs, batch_size=64))


if __name__ == "__main__":
  main()
