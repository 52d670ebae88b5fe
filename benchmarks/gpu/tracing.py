"""A training step in a trace: its kernels, and the gaps between them."""

import collections
import gzip
import json
import pathlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks.gpu import plan, training

_STEPS = 3
_MOST_KERNELS = 12
# Events that hold others, so that they would count twice: threads of Python,
# and C++ of XLA.
_PYTHON, _HOLDS_OTHERS = "python", "::"


def measure(case: plan.Case, sizes: plan.Sizes, device: Any) -> dict[str, Any]:
  """Traces some steps in one call of a case; see `summarise`."""
  it = training.create(case, sizes, device)
  train_steps = it.train_steps()
  calls = it.calls()
  _, (of_members, (*data, _)) = next(calls)
  calls.close()
  count = min(_STEPS, it.steps_per_call)
  running = it.put(it.phase.create_state())
  arguments = of_members, (*data, np.int32(count))
  for _ in range(2):  # The first one compiles.
    running, _ = jax.block_until_ready(train_steps(running, *arguments))
  with tempfile.TemporaryDirectory(prefix="sr2_jax_trace_") as folder:
    with jax.profiler.trace(folder, create_perfetto_trace=True):
      jax.block_until_ready(train_steps(running, *arguments))
    (path,) = pathlib.Path(folder).rglob("perfetto_trace.json.gz")
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
  return summarise(events, num_steps=count)


def summarise(
  events: Sequence[Mapping[str, Any]], *, num_steps: int
) -> dict[str, Any]:
  """What a device did, by a trace in Chrome's format.

  Without a device in the trace, as on a CPU, the threads of the host count.

  Args:
    events: of the trace; times in microseconds.
    num_steps: steps in it.

  Returns:
    "kernels" of a step; "span_us", "busy_us" and "gaps_us" of a step, where a
    gap is a time in which nothing runs; "longest_gap_us"; and "top": name,
    count and time of a step of the kernels that take longest.
  """
  kernels = _kernels(events)
  if not kernels:
    raise ValueError("the trace has no kernel")
  begin = min(x["ts"] for x in kernels)
  end, busy, longest = begin, 0.0, 0.0
  for kernel in sorted(kernels, key=lambda x: x["ts"]):
    start, stop = kernel["ts"], kernel["ts"] + kernel.get("dur", 0)
    longest = max(longest, start - end)
    busy += max(0.0, stop - max(start, end))
    end = max(end, stop)
  times: collections.Counter[str] = collections.Counter()
  counts: collections.Counter[str] = collections.Counter()
  for kernel in kernels:
    times[kernel["name"]] += kernel.get("dur", 0)
    counts[kernel["name"]] += 1
  return {
    "kernels": len(kernels) / num_steps,
    "span_us": (end - begin) / num_steps,
    "busy_us": busy / num_steps,
    "gaps_us": (end - begin - busy) / num_steps,
    "longest_gap_us": longest,
    "top": [
      [name[:100], counts[name] / num_steps, time / num_steps]
      for name, time in times.most_common(_MOST_KERNELS)
    ],
  }


def _kernels(
  events: Iterable[Mapping[str, Any]],
) -> list[Mapping[str, Any]]:
  """Events of the device's streams, or of the host's threads."""
  processes, threads, found = {}, {}, []
  for event in events:
    match event.get("ph"), event.get("name"):
      case "M", "process_name":
        processes[event["pid"]] = event["args"]["name"]
      case "M", "thread_name":
        threads[event["pid"], event["tid"]] = event["args"]["name"]
      case "X", _:
        found.append(event)
  on_device = {pid for pid, name in processes.items() if "/device:" in name}
  # A device's other threads show the same kernels once more, in groups.
  streams = {
    thread
    for thread, name in threads.items()
    if thread[0] in on_device and name.startswith("Stream")
  }
  if streams:
    return [x for x in found if (x["pid"], x["tid"]) in streams]
  return [
    x
    for x in found
    if _HOLDS_OTHERS not in x["name"]
    and _PYTHON not in threads.get((x["pid"], x["tid"]), "")
  ]
