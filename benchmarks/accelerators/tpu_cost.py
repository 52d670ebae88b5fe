"""What a program compiled for a TPU costs, by the compiler's own estimate.

The scheduled HLO has an estimate of cycles at most instructions. Some have
none: gathers, scatters, dynamic slices, custom calls and collectives. These
count with the time that their bytes take to and from main memory, which is the
least that they can cost.
"""

import collections
import dataclasses
from typing import Any

from benchmarks.accelerators import hlo, schedule


@dataclasses.dataclass(frozen=True)
class Chip:
  """What the manufacturer says of a chip.

  Attributes:
    topology: name of a slice, with its shape left open.
    hbm_bytes: size of its main memory.
    bandwidth: of its main memory, bytes/s.
    clock: Hz, so that its matrix units give the peak that is published.
  """

  topology: str
  hbm_bytes: float
  bandwidth: float
  clock: float


# 197 TFLOP/s in four matrix units of 128 x 128; 918 in four of 256 x 256.
CHIPS = {
  "v5e": Chip("v5e:{}", 16e9, 819e9, 1.50e9),
  "v6e": Chip("v6e:{}", 32e9, 1640e9, 1.75e9),
}
SHAPES = {4: "2x2", 8: "2x4", 256: "16x16"}
_UNESTIMATED = frozenset(
  (
    "gather", "scatter", "select-and-scatter", "dynamic-slice",
    "dynamic-update-slice", "custom-call",
  )
)  # fmt: skip
# Custom calls that move nothing.
_NO_WORK = (
  "AllocateBuffer", "AssumeGatherIndicesInBound",
  "GatherScatterIndicesBitpacked", "Sharding", "SPMDFullToShardShape",
  "SPMDShardToFullShape",
)  # fmt: skip


def summary(text: str, chip: Chip) -> dict[str, Any]:
  """What a compiled program costs in a call and, within it, in a step.

  Args:
    text: the program's HLO.
    chip: what it is compiled for.

  Returns:
    The two sections "call" and "step", the latter empty for a program without
    a loop over steps. See `_section`.
  """
  plan = schedule.of(hlo.parse(text))
  return {
    "call": _section(plan, plan.call, plan.loops["call"], chip),
    "step": _section(plan, plan.step, plan.loops["step"], chip),
  }


def _section(
  plan: schedule.Schedule,
  runs: list[schedule.Run],
  loops: list[schedule.Loop],
  chip: Chip,
) -> dict[str, Any]:
  """Cycles and counts of some instructions, as JSON has them.

  cycles: estimated, loops with all their turns.
  floor_cycles: what gathers and others need beyond that.
  by_region, by_kind: both, summed up.
  copies, transposes, async_copies: number, bytes and, where known, cycles.
  bytes, padded_bytes: of all results outside loops, without and with the
    padding of their tiles.
  unestimated: number, bytes and floor by kind.
  collectives: number and bytes by kind.
  loops: name, turns and cycles of a turn of each loop.
  """
  if not runs:
    return {}
  by_region: collections.Counter[str] = collections.Counter()
  by_kind: collections.Counter[str] = collections.Counter()
  unestimated: dict[str, list[int]] = {}
  estimated = floors = 0
  for run in runs:
    cycles = _estimate(run.instruction)
    floor = 0
    for x in _without_estimate(plan.module, run.instruction):
      moved = _moved_bytes(plan.module, x)
      least = _cycles_of(moved, chip)
      entry = unestimated.setdefault(x.kind, [0, 0, 0])
      entry[0] += run.times
      entry[1] += run.times * moved
      entry[2] += run.times * least
      floor += least
    beyond = max(0, floor - cycles)
    estimated += run.times * cycles
    floors += run.times * beyond
    by_region[run.region] += run.times * (cycles + beyond)
    by_kind[run.instruction.kind] += run.times * (cycles + beyond)
  # What a loop updates in each turn is no new result.
  results = [run.instruction for run in runs if run.times == 1]
  return {
    "cycles": estimated,
    "floor_cycles": floors,
    "ops": sum(_estimate(run.instruction) > 0 for run in runs),
    "by_region": _largest_first(by_region),
    "by_kind": _largest_first(by_kind),
    "copies": _counted(runs, ("copy",)),
    "transposes": _counted(runs, ("transpose",)),
    "async_copies": _counted(runs, ("copy-start",))[:2],
    "bytes": sum(x.bytes for x in results),
    "padded_bytes": sum(x.padded_bytes for x in results),
    "unestimated": unestimated,
    "collectives": schedule.collectives(plan.module, runs),
    "host_transfers": schedule.host_transfers(plan.module, runs),
    "loops": [_described(loop) for loop in loops],
  }


def _described(loop: schedule.Loop) -> dict[str, Any]:
  return {
    "op_name": loop.op_name,
    "region": loop.region,
    "turns": loop.turns,
    "cycles": sum(x.times * _estimate(x.instruction) for x in loop.runs),
  }


def _estimate(instruction: hlo.Instruction) -> int:
  return int(instruction.attribute("estimated_cycles") or 0)


def _largest_first(counter: collections.Counter[str]) -> dict[str, int]:
  return {name: count for name, count in counter.most_common() if count}


def _counted(runs: list[schedule.Run], kinds: tuple[str, ...]) -> list[int]:
  """Number, bytes and cycles of the instructions of some kinds."""
  chosen = [run for run in runs if run.instruction.kind in kinds]
  return [
    sum(run.times for run in chosen),
    sum(run.times * run.instruction.bytes for run in chosen),
    sum(run.times * _estimate(run.instruction) for run in chosen),
  ]


def _without_estimate(
  module: hlo.Module, instruction: hlo.Instruction
) -> list[hlo.Instruction]:
  """Instructions in this one, itself included, that have no estimate."""
  return [
    x
    for x in (instruction, *module.inside(instruction))
    if (x.kind in _UNESTIMATED or schedule.collective(x))
    and x.attribute("custom_call_target") not in _NO_WORK
  ]


def _moved_bytes(module: hlo.Module, instruction: hlo.Instruction) -> int:
  """Bytes that an instruction moves to or from main memory at least.

  A slice or gather reads as much as it returns. An update writes only what it
  updates with, its second operand; a scatter's is the third.
  """
  place = {"dynamic-update-slice": 1, "scatter": 2}.get(instruction.kind)
  moved = instruction
  if place is not None and len(instruction.operands) > place:
    moved = module.by_name[instruction.operands[place]]
  source = [module.by_name[name] for name in instruction.operands[:1]]
  return sum(
    moved.padded_bytes
    for end in (*source, instruction)
    if any(array.memory_space == 0 for array in end.arrays)
  )


def _cycles_of(moved: int, chip: Chip) -> int:
  """Cycles that these bytes take between chip and main memory."""
  return round(moved / chip.bandwidth * chip.clock)
