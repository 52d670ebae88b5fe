"""Results as a JSON file, and as a table for docs/speed.md."""

import dataclasses
import json
import os
import pathlib
import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks.gpu import plan
from sr2_jax import files

HEADER = ("what", "result", "of its peak", "over PyTorch's", "took")
# What PyTorch's rows are called.
_PEERS = ("torch", "torch_compile")


@dataclasses.dataclass
class Record:
  """Results of one or several calls on one device.

  Attributes:
    machine: what `machine.describe` says, and the device.
    sizes: how large everything was.
    rows: by name: "case", "values", "error" ("" if there is none) and
      "seconds".
    left_out: names of rows that did not fit into the time.
  """

  machine: dict[str, Any]
  sizes: dict[str, Any]
  rows: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
  left_out: list[str] = dataclasses.field(default_factory=list)

  def write(self, path: str | os.PathLike[str]) -> None:
    """Writes the JSON file, atomically."""
    text = json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)
    files.write_atomically(path, text.encode() + b"\n")

  def value(self, row: plan.Row, name: str) -> Any:
    """A value of a row; None if it has none."""
    return self.rows.get(row.name, {}).get("values", {}).get(name)


def read(path: pathlib.Path) -> Record:
  """The record in a file.

  Raises:
    ValueError: if it is another kind of file.
    OSError: if it cannot be read.
  """
  try:
    return Record(**json.loads(path.read_text()))
  except (TypeError, ValueError) as error:
    raise ValueError(f"{path} has no results of a GPU: {error}") from error


def markdown(record: Record) -> str:
  """Machine, table, the kernels of a step, and what was left out."""
  found = plan.rows(plan.Sizes(**record.sizes))
  shown = [row for row in found if row.name in record.rows]
  lines = [HEADER, ("---",) * len(HEADER), *(cells(x, record) for x in shown)]
  parts = [
    _heading(record.machine),
    "\n".join(f"| {' | '.join(line)} |" for line in lines),
    *(_trace(record.value(x, "top")) for x in shown if x.kind == "trace"),
  ]
  if record.left_out:
    parts.append(f"Left out, for lack of time: {'; '.join(record.left_out)}.")
  return "\n\n".join(part for part in parts if part)


def _heading(machine: Mapping[str, Any]) -> str:
  packages = machine["packages"].items()
  return (
    f"{machine['date']}, {machine['device']}, {machine['cores']} cores, "
    f"Python {machine['python']}, "
    f"{', '.join(f'{name} {version}' for name, version in packages)}; "
    f"revision {machine['git_revision']}."
  )


def cells(row: plan.Row, record: Record) -> tuple[str, ...]:
  """The cells of a row, in the order of `HEADER`."""
  outcome = record.rows[row.name]
  took = f"{outcome['seconds']:.0f} s"
  if outcome["error"]:
    return row.name, f"failed: {outcome['error']}", "", "", took
  result = _RESULTS[row.kind](outcome["values"])
  return row.name, result, _of_peak(row, record), _ratio(row, record), took


def _of_peak(row: plan.Row, record: Record) -> str:
  """FLOP/s of a step over a large product's, or bytes/s over a copy's."""
  kind = "bfloat16" if row.case and row.case.dtype == "bfloat16" else "tf32"
  amount, name = {
    "step": ("step_flop", f"{kind}_flop_per_s"),
    "bytes": ("step_bytes", "bytes_per_s"),
  }.get(row.kind, ("", ""))
  done = record.value(row, amount)
  peak = record.value(plan.Row("peaks", 0), name)
  samples = record.value(dataclasses.replace(row, kind="step"), "step_s")
  if not done or not peak or not samples:
    return ""
  return f"{100 * done / statistics.median(samples) / peak:.1f} %"


def _ratio(row: plan.Row, record: Record) -> str:
  """Images a second over PyTorch's, of one network after another."""
  ours = record.value(row, "images_per_second")
  if row.kind != "step" or row.case is None or not ours:
    return ""
  alone = plan.Case(row.case.network, row.case.scale)
  theirs = [
    record.value(plan.Row(kind, 0, alone), "images_per_second")
    for kind in _PEERS
  ]
  fastest = max((x for x in theirs if x), default=None)
  return f"{ours / fastest:.2f}" if fastest else ""


def _peaks(values: Mapping[str, Any]) -> str:
  tera = {
    name.removesuffix("_flop_per_s"): values[name] / 1e12
    for name in values
    if name.endswith("_flop_per_s")
  }
  flops = ", ".join(f"{name} {value:.1f}" for name, value in tera.items())
  return f"{flops} TFLOP/s; {values['bytes_per_s'] / 1e9:,.0f} GB/s"


def _correct(values: Mapping[str, Any]) -> str:
  parts = [
    f"{precision}: loss {it['loss']:.1e}, gradients {it['gradients']:.1e}, "
    f"updates {it['updates']:.1e}"
    for precision, it in values.items()
    if precision != "ok"
  ]
  return f"{'ok' if values['ok'] else 'TOO FAR'}; {'; '.join(parts)}"


def _resume(values: Mapping[str, Any]) -> str:
  if values["ok"]:
    return f"the same bits in {len(values['compared'])} files"
  return f"OTHER BITS in {', '.join(values['differing'])}"


def _speed(values: Mapping[str, Any]) -> str:
  memory = values.get("peak_gb")
  way = values.get("way")
  step = 1000 * statistics.median(values["step_s"])
  return (
    f"{values['images_per_second']:,.0f} img/s, {step:.2f} ms a step"
    + (f", {memory:.2f} GB so far" if memory is not None else "")
    + (f" ({way})" if way else "")
  )


def _memory(values: Mapping[str, Any]) -> str:
  return (
    f"{values['step_bytes'] / 1e6:,.0f} MB read and written in a step, "
    f"{values['temporaries_gb']:.2f} GB of temporaries"
  )


def _evaluation(values: Mapping[str, Any]) -> str:
  return f"{min(values['seconds_s']):.2f} s for {values['images']}"


def _summary(values: Mapping[str, Any]) -> str:
  return (
    f"{values['kernels']:.0f} kernels, {values['span_us']:.0f} µs a step, of "
    f"which nothing ran for {values['gaps_us']:.0f} µs"
  )


_RESULTS = {
  "peaks": _peaks,
  "correct": _correct,
  "resume": _resume,
  "step": _speed,
  "torch": _speed,
  "torch_compile": _speed,
  "bytes": _memory,
  "evaluation": _evaluation,
  "trace": _summary,
}


def _trace(top: Any) -> str:
  """The kernels that take longest, as a list."""
  return "\n".join(
    f"* {time:.1f} µs a step in {count:.1f} x `{name}`"
    for name, count, time in top or ()
  )
