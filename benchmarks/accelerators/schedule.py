"""The instructions that a program runs, and how often, and their regions."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.accelerators import hlo

# Regions, and patterns for JAX's names of their operations; the first match
# counts.
# `jax.named_scope` in sr2_jax/training gives some of the names.
REGIONS = {
  "batch": r"\bbatch\b",
  "augmentation": r"\baugmentation\b",
  "degradation": r"\bdegradation\b",
  "L2 and Adam": r"\boptimizer\b",
  "finiteness": r"\bfiniteness\b",
  "backward": r"transpose\(",
  "forward": r"\bjvp\(|\bSR2\b",
}
OTHER = "other"

COLLECTIVES = (
  "all-reduce", "all-gather", "all-to-all", "reduce-scatter",
  "collective-permute",
)  # fmt: skip
# What needs no work on the device.
_FREE = frozenset(
  (
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while",
    "conditional", "call", "after-all", "optimization-barrier",
    "partition-id", "replica-id", "opt-barrier",
  )
)  # fmt: skip
_HOST = frozenset(
  ("infeed", "outfeed", "send", "recv", "send-done", "recv-done")
)


class Run(NamedTuple):
  """An instruction of the schedule.

  Attributes:
    instruction: itself; what a fusion holds is part of it.
    times: how often it runs in one step, or in one call.
    region: key of `REGIONS`, or `OTHER`.
  """

  instruction: hlo.Instruction
  times: int
  region: str


class Loop(NamedTuple):
  """A loop within a step, or within a call but for its steps.

  Attributes:
    op_name: JAX's name of the operation that became a loop.
    region: see `Run`.
    turns: how often its body runs.
    runs: its body once.
  """

  op_name: str
  region: str
  turns: int
  runs: list[Run]


class Schedule(NamedTuple):
  """What runs once a call, and what runs once a step.

  Attributes:
    module: the program.
    call: outside the loop over steps.
    step: one turn of the loop over steps; empty if there is none.
    loops: loops among these, by "call" and "step".
  """

  module: hlo.Module
  call: list[Run]
  step: list[Run]
  loops: dict[str, list[Loop]]


def of(module: hlo.Module) -> Schedule:
  """Schedule of a program.

  The loop over steps is the one whose number of turns is an argument.
  """
  schedule = Schedule(module, [], [], {"call": [], "step": []})
  for run in _walk(module, module.entry, 1, schedule.loops["call"]):
    loop = run.instruction
    if loop.kind == "while" and module.turns(loop) is None:
      for name in loop.called:
        walk = _walk(module, name, 1, schedule.loops["step"])
        schedule.step.extend(x for x in walk if x.instruction.kind != "while")
    elif loop.kind != "while":
      schedule.call.append(run)
  return schedule


def _walk(
  module: hlo.Module, name: str, times: int, loops: list[Loop]
) -> Iterator[Run]:
  """Instructions of a computation, and of what it calls."""
  instructions = module.computations[name]
  for instruction in instructions.values():
    region = region_of(instruction, instructions)
    turns = None
    if instruction.kind == "while":
      turns = module.turns(instruction)
      if turns is None:
        yield Run(instruction, times, region)
        continue
    if instruction.kind in ("while", "conditional", "call"):
      inner = [
        # What a loop runs belongs to what it was made from.
        run._replace(region=region if run.region == OTHER else run.region)
        for called in instruction.called
        for run in _walk(module, called, times * (turns or 1), loops)
      ]
      if turns is not None:
        once = [x._replace(times=x.times // max(turns, 1)) for x in inner]
        loops.append(Loop(instruction.op_name, region, turns, once))
      yield from inner
    elif instruction.kind not in _FREE:
      yield Run(instruction, times, region)


def region_of(
  instruction: hlo.Instruction, instructions: dict[str, hlo.Instruction]
) -> str:
  """Region of an instruction: by its name, or by that of what it works on.

  The compiler's own instructions, such as most copies, have no name.
  """
  found: hlo.Instruction | None = instruction
  for _ in range(10):
    if found is None or found.op_name:
      break
    found = instructions.get(found.operands[0]) if found.operands else None
  if found is None:
    return OTHER
  for region, pattern in REGIONS.items():
    if re.search(pattern, found.op_name):
      return region
  return OTHER


def collective(instruction: hlo.Instruction) -> str | None:
  """Which of `COLLECTIVES` starts here; None if none does."""
  kind = instruction.kind.removesuffix("-start")
  return kind if kind in COLLECTIVES else None


def collectives(module: hlo.Module, runs: list[Run]) -> dict[str, list[int]]:
  """Number and bytes of each kind of collective, of one device."""
  found: dict[str, list[int]] = {}
  for run in runs:
    for x in (run.instruction, *module.inside(run.instruction)):
      if kind := collective(x):
        # The result of a start is a pair of operand and result.
        half = 2 if x.kind.endswith("-start") and len(x.arrays) > 1 else 1
        entry = found.setdefault(kind, [0, 0])
        entry[0] += run.times
        entry[1] += run.times * x.bytes // half
  return found


def host_transfers(module: hlo.Module, runs: list[Run]) -> int:
  """Number of transfers between device and host."""
  return sum(
    x.kind in _HOST or "MoveToHost" in x.rest or "MoveToDevice" in x.rest
    for run in runs
    for x in (run.instruction, *module.inside(run.instruction))
  )
