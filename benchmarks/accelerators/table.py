"""Tables of compiled programs, as Markdown for docs/scaling.md."""

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.accelerators import schedule

Rows = Mapping[str, Mapping[str, Any]]


def markdown(rows: Rows) -> str:
  """All tables: of TPUs, then of GPUs, then what did not compile."""
  compiled = {name: row for name, row in rows.items() if not row["error"]}
  tpu = {name: row for name, row in compiled.items() if "h100" not in name}
  gpu = {name: row for name, row in compiled.items() if "h100" in name}
  parts = [
    _versions(compiled.values()),
    _tpu(tpu),
    _regions(tpu),
    _collectives(tpu),
    _gpu(gpu),
    "\n".join(
      f"* {name}: {row['error']}" for name, row in rows.items() if row["error"]
    ),
  ]
  return "\n\n".join(part for part in parts if part)


def _versions(rows: Iterable[Mapping[str, Any]]) -> str:
  found = sorted(
    {
      f"{row['date']}: "
      + ", ".join(f"{name} {x}" for name, x in row["compiler"].items())
      for row in rows
    }
  )
  return "\n".join(f"* {line}" for line in found)


def _table(head: str, rows: list[tuple[object, ...]]) -> str:
  if not rows:
    return ""
  columns = head.split(", ")
  lines = [columns, ["---"] * len(columns), *rows]
  return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _members(name: str) -> int:
  return int(name.split("/")[4])


def _main(row: Mapping[str, Any]) -> Mapping[str, Any]:
  """The section of a step, or of the call if it has no loop over steps."""
  return row["step"] or row["call"]


def _cycles(section: Mapping[str, Any]) -> int:
  return section["cycles"] + section["floor_cycles"] if section else 0


def _million(number: float) -> str:
  return f"{number / 1e6:.2f}"


def _tpu(rows: Rows) -> str:
  """Cycles and memory."""
  lines = []
  for name, row in rows.items():
    main = _main(row)
    outside = _cycles(row["call"]) if row["step"] else 0
    lines.append(
      (
        name,
        _million(_cycles(main) / _members(name)),
        f"{100 * main['copies'][2] / _cycles(main):.0f} %",
        f"{main['padded_bytes'] / max(1, main['bytes']):.1f}",
        main["ops"],
        _million(outside) if row["step"] else "–",
        f"{row['hbm']['arguments'] / 1e6:.0f}",
        f"{row['hbm']['temporaries'] / 1e6:.0f}",
        f"{row['hbm']['code'] / 1e6:.0f}",
      )
    )
  return _table(
    "program, M cycles a member, copies, padding, ops, M cycles outside, "
    "MB of arguments, of temporaries, of code",
    lines,
  )


def _regions(rows: Rows) -> str:
  """Cycles of each region, in thousands."""
  regions = (*schedule.REGIONS, schedule.OTHER)
  return _table(
    ", ".join(("program", *regions, "without an estimate")),
    [
      (
        name,
        *(f"{_main(row)['by_region'].get(x, 0) / 1e3:,.0f}" for x in regions),
        ", ".join(
          f"{count} {kind} ({floor / 1e3:,.0f})"
          for kind, (count, _, floor) in _main(row)["unestimated"].items()
        )
        or "–",
      )
      for name, row in rows.items()
    ],
  )


def _collectives(rows: Rows) -> str:
  lines = []
  for name, row in rows.items():
    found = _main(row)["collectives"]
    if "/data/" in name:
      text = ", ".join(
        f"{count} {kind}, {size / 1e6:.2f} MB"
        for kind, (count, size) in found.items()
      )
      lines.append((name, text or "none"))
  return _table("program, collectives", lines)


def _gpu(rows: Rows) -> str:
  return _table(
    "program, kernels, of cuDNN, grouped, of cuBLAS, copies, transposes, "
    "MB of results, kernels outside, MB of temporaries",
    [
      (
        name,
        main["kernels"],
        main["cudnn"],
        main["grouped"],
        main["cublas"],
        main["copies"][0],
        main["transposes"][0],
        f"{main['bytes'] / 1e6:.0f}",
        row["call"]["kernels"] if row["step"] else "–",
        f"{row['hbm']['temporaries'] / 1e6:.0f}",
      )
      for name, row in rows.items()
      for main in [_main(row)]
    ],
  )
