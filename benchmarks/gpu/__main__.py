"""Measures training on a GPU that is there for minutes.

python -m benchmarks.gpu --minutes=4

The most important rows come first, and each is written to the file at once. So
a cut loses one row. The same command with the same --out goes on with the rows
that are missing. PyTorch's rows need torch; all others need what a run needs.
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import machine
from benchmarks.gpu import plan, record

_RESULTS = machine.ROOT / "benchmarks" / "results"


def main(argv: Sequence[str]) -> int:
  """Measures what fits into the time, prints the table; the exit code.

  It is 0 if every row that was tried has a result, 1 if one failed or differs,
  and 2 if there is something to fix in the command.
  """
  arguments = _parser().parse_args(argv)
  budget = plan.Budget(arguments.minutes)
  sizes = plan.SIZES[arguments.device]
  try:
    chosen = plan.select(plan.rows(sizes), arguments.only)
    device = _open(arguments.device)
    kept = _kept(arguments.out, sizes, device)
  except (OSError, ValueError, LookupError) as error:
    print(error.args[0] if error.args else error, file=sys.stderr)
    return 2
  path = arguments.out or _RESULTS / _file_name(kept.machine)
  try:
    _measure_all(chosen, kept, path, budget=budget, device=device)
  finally:
    print(record.markdown(kept))
    print(f"\nAll values are in {path}.", file=sys.stderr)
  tried = [kept.rows[row.name] for row in chosen if row.name in kept.rows]
  good = all(not x["error"] and x["values"].get("ok", True) for x in tried)
  return 0 if good else 1


def _open(platform: str) -> Any:
  """The device to measure; starts JAX.

  Raises:
    LookupError: if there is none.
  """
  # PyTorch and the runs that are resumed need room on the device as well.
  os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
  if platform == "cpu":
    os.environ["JAX_PLATFORMS"] = "cpu"
  from benchmarks.gpu import measure
  from sr2_jax import compilation, cpu_tuning

  cpu_tuning.prepare()
  try:
    device = measure.find(platform)
  except measure.Missing as error:
    raise LookupError(str(error)) from error
  compilation.use_cache()
  return device


def _kept(
  out: pathlib.Path | None, sizes: plan.Sizes, device: Any
) -> record.Record:
  """What an earlier call has measured, or nothing yet.

  Raises:
    ValueError: if the file is of another device or other sizes.
    OSError: if it cannot be read.
  """
  described = {
    **machine.describe(),
    "device": device.device_kind,
    "driver": _driver(),
  }
  new = record.Record(described, {**sizes._asdict()})
  if out is None or not out.exists():
    return new
  old = record.read(out)
  if (
    plan.Sizes(**old.sizes) != plan.Sizes(*map(_as_json, sizes))
    or old.machine.get("device") != device.device_kind
  ):
    raise ValueError(f"{out} is of another device; give another --out.")
  rows = {name: x for name, x in old.rows.items() if not x["error"]}
  return dataclasses.replace(new, rows=rows)


def _as_json(value: Any) -> Any:
  return list(value) if isinstance(value, tuple) else value


def _driver() -> str:
  """Version of the GPU's driver; "" if unknown."""
  with contextlib.suppress(OSError, subprocess.SubprocessError):
    done = subprocess.run(
      ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
      capture_output=True,
      text=True,
      timeout=20,
      check=True,
    )
    return done.stdout.strip().partition("\n")[0]
  return ""


def _file_name(described: dict[str, Any]) -> str:
  date = described["date"][:16].replace("T", "-").replace(":", "")
  kind = "-".join(described["device"].lower().split())
  return f"{date}-gpu-{kind}.json"


def _measure_all(
  chosen: Sequence[plan.Row],
  kept: record.Record,
  path: pathlib.Path,
  *,
  budget: plan.Budget,
  device: Any,
) -> None:
  from benchmarks.gpu import measure

  sizes = plan.SIZES["cpu" if device.platform == "cpu" else "gpu"]
  for row in chosen:
    if row.name in kept.rows:
      continue
    if not budget.fits(row):
      kept.left_out.append(row.name)
      continue
    context = measure.Context(device, sizes, budget.seconds_left)
    begin = time.monotonic()
    values, problem = {}, ""
    try:
      values = measure.MEASURE[row.kind](row, context)
    except Exception as error:  # The others continue.
      problem = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    seconds = time.monotonic() - begin
    budget.add(row, seconds)
    kept.rows[row.name] = {
      "case": dataclasses.asdict(row.case) if row.case else {},
      "values": values,
      "error": problem,
      "seconds": round(seconds, 1),
    }
    kept.write(path)
    # A log that is cut has the results so far.
    print(" | ".join(record.cells(row, kept)), file=sys.stderr, flush=True)
  kept.write(path)


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m benchmarks.gpu",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    "--minutes", type=float, default=4.0, help="how long it may take"
  )
  parser.add_argument(
    "--device",
    choices=tuple(plan.SIZES),
    default="gpu",
    help="cpu tries all of it in tiny sizes; its numbers mean nothing",
  )
  parser.add_argument(
    "--only",
    nargs="+",
    default=[],
    metavar="ROW",
    help='only these rows or kinds of rows; patterns such as "step*" work',
  )
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    metavar="FILE",
    help="result file; default: benchmarks/results/<date>-gpu-<device>.json",
  )
  return parser


if __name__ == "__main__":
  # The exception ends PyTorch's process, and the table is printed.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
  sys.exit(main(sys.argv[1:]))
