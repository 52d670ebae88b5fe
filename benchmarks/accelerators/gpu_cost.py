"""What a program compiled for a GPU starts: kernels, copies, calls of cuDNN.

There are no times: without a GPU the compiler estimates none that it shows.
"""

import collections
from typing import Any

from benchmarks.accelerators import hlo, schedule

# Results of other instructions under another name, or work of the host.
_NO_KERNEL = frozenset(("copy-done", "async-done", "domain", "all-reduce-done"))


def summary(text: str) -> dict[str, Any]:
  """What a compiled program starts in a call and, within it, in a step.

  Args:
    text: the program's HLO.

  Returns:
    The two sections "call" and "step", the latter empty for a program without
    a loop over steps. See `_section`.
  """
  plan = schedule.of(hlo.parse(text))
  return {
    "call": _section(plan, plan.call),
    "step": _section(plan, plan.step),
  }


def _section(
  plan: schedule.Schedule, runs: list[schedule.Run]
) -> dict[str, Any]:
  """Counts of some instructions, as JSON has them.

  kernels: everything that the device is given to run.
  by_kind, by_region: the same, summed up.
  cudnn, grouped: convolutions that cuDNN is asked for, and how many of them
    are in groups.
  cublas: matrix products of cuBLAS.
  copies, transposes: number and bytes of copies, and of fusions whose last
    operation is a transpose.
  bytes: of all results.
  """
  runs = [run for run in runs if run.instruction.kind not in _NO_KERNEL]
  if not runs:
    return {}
  by_kind: collections.Counter[str] = collections.Counter()
  by_region: collections.Counter[str] = collections.Counter()
  calls: collections.Counter[str] = collections.Counter()
  for run in runs:
    by_kind[run.instruction.kind] += run.times
    by_region[run.region] += run.times
    if run.instruction.kind == "custom-call":
      calls[_library(run.instruction)] += run.times
  return {
    "kernels": sum(run.times for run in runs),
    "by_kind": dict(by_kind.most_common()),
    "by_region": dict(by_region.most_common()),
    "cudnn": calls["cudnn"],
    "grouped": sum(run.times for run in runs if _groups(run.instruction) > 1),
    "cublas": calls["cublas"],
    "copies": _counted(runs, ("copy", "copy-start")),
    "transposes": _transposes(plan, runs),
    "bytes": sum(run.times * run.instruction.bytes for run in runs),
    "host_transfers": schedule.host_transfers(plan.module, runs),
  }


def _library(instruction: hlo.Instruction) -> str:
  target = instruction.attribute("custom_call_target")
  for name in ("cudnn", "cublas"):
    if name in target:
      return name
  return target


def _groups(instruction: hlo.Instruction) -> int:
  return int(instruction.attribute("feature_group_count") or 1)


def _counted(runs: list[schedule.Run], kinds: tuple[str, ...]) -> list[int]:
  """Number and bytes of the instructions of some kinds."""
  chosen = [run for run in runs if run.instruction.kind in kinds]
  return [
    sum(run.times for run in chosen),
    sum(run.times * run.instruction.bytes for run in chosen),
  ]


def _transposes(plan: schedule.Schedule, runs: list[schedule.Run]) -> list[int]:
  """Number and bytes of what ends in a transpose."""
  chosen = []
  for run in runs:
    inner = [
      list(plan.module.computations[name].values())[-1]
      for name in run.instruction.called
    ]
    if any(x.kind == "transpose" for x in (run.instruction, *inner)):
      chosen.append(run)
  return [
    sum(run.times for run in chosen),
    sum(run.times * run.instruction.bytes for run in chosen),
  ]
