"""Times the forms of the networks' convolutions on this processor.

  python -m benchmarks.convolutions [--only "sr2_*_x4"] [--colors] [--batch 64]
  python -m benchmarks.convolutions --compare FILE [FILE ...]

The first prints a table and writes it to a file in benchmarks/results. The
second prints such files beside each other. Times are milliseconds of the CPU,
of all threads, the least of several calls in turn. "*" marks the form of the
rules in `models.conv_choice`, and "wrong" a row where another form is faster by
more than a tenth, by this time and by the clock. At the end, for each network:
the time of all its convolutions in a step, and with the best forms.
"""

import argparse
import fnmatch
import json
import pathlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks import goals, machine
from sr2_jax import cpu_tuning, files

_GRAY, _COLORS = (28, 28, 1), (32, 32, 3)  # MNIST and SVHN.


def rows_of(
  networks: Iterable[str], *, image_shape: tuple[int, int, int], batch: int
) -> dict[Any, dict[str, int]]:
  """How often each convolution occurs in a training step, by network.

  Args:
    networks: names of training rows in `goals.ROWS`.
    image_shape: (H, W, C) of the high-resolution images.
    batch: images of a step.
  """
  from benchmarks import ours
  from sr2_jax.training import convolutions

  found: dict[Any, dict[str, int]] = {}
  for name in networks:
    row = goals.ROWS[name]
    cases = convolutions.cases_of(
      ours.config_of(row.network, row.scale),
      image_shape=image_shape,
      num_classes=10,
      batch_size=batch,
    )
    for case, count in cases.items():
      found.setdefault(case, {})[name] = count
  return found


def measure(case: Any, occurs: Mapping[str, int], *, runs: int) -> dict:
  """A row of a record: the times of a case by each form that may be fast."""
  from sr2_jax.models import conv_timing

  times, better = conv_timing.time_forms(case, rounds=runs)
  return {
    "case": str(case),
    "chosen": next(iter(times)),
    "better": better,
    "seconds": {name: list(both) for name, both in times.items()},
    "networks": dict(occurs),
  }


def lines_of(row: Mapping[str, Any]) -> str:
  """A row as text."""
  times = sorted(row["seconds"].items(), key=lambda item: item[1][1])
  cells = "  ".join(
    f"{name}{'*' if name == row['chosen'] else ''} {1e3 * cpu:.2f}"
    for name, (_, cpu) in times
  )
  wrong = f"  wrong: {row['better']}" if row["better"] else ""
  return f"  {cells}{wrong}"


def totals(record: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
  """Milliseconds of a step's convolutions: by the rules, and by the best."""
  found: dict[str, tuple[float, float]] = {}
  for row in record["rows"]:
    chosen = row["seconds"][row["chosen"]][1]
    best = row["seconds"][row["better"] or row["chosen"]][1]
    for name, count in row["networks"].items():
      rules, least = found.get(name, (0.0, 0.0))
      found[name] = (
        rules + 1e3 * count * chosen,
        least + 1e3 * count * best,
      )
  return found


def text_of(records: Sequence[Mapping[str, Any]]) -> str:
  """Records beside each other: each row once, with a line for each of them."""
  names = [
    f"{chr(ord('A') + i)}: {describe(record)}"
    for i, record in enumerate(records)
  ]
  by_case: dict[str, list[str]] = {}
  for name, record in zip("ABCDEFGH", records, strict=False):
    for row in record["rows"]:
      by_case.setdefault(row["case"], []).append(f"{name} {lines_of(row)}")
  parts = [*names, ""]
  for case, lines in by_case.items():
    parts += [case, *lines]
  parts += ["", "convolutions of a training step, ms: rules, best forms"]
  for name, record in zip("ABCDEFGH", records, strict=False):
    parts += [
      f"{name}   {network:<22} {rules:8.1f} {best:8.1f}  "
      f"{100 * (rules / best - 1):4.1f} %"
      for network, (rules, best) in totals(record).items()
    ]
  return "\n".join(parts)


def describe(record: Mapping[str, Any]) -> str:
  """The processor, date and versions of a record."""
  facts = record["machine"]
  return (
    f"{facts['cores']} cores of {facts['processor']}, {facts['date'][:10]}, "
    f"JAX {facts['packages']['jax']}, {record['batch']} images of "
    f"{'x'.join(map(str, record['image_shape']))}, revision "
    f"{facts['git_revision'][:7]}"
  )


def read(path: str) -> dict[str, Any]:
  """A record that `main` wrote.

  Raises:
    ValueError: if it is another file.
    OSError: if it cannot be read.
  """
  try:
    record = json.loads(pathlib.Path(path).read_text())
  except ValueError:
    record = None
  if not isinstance(record, dict) or not (
    {"machine", "batch", "image_shape", "rows"} <= record.keys()
  ):
    raise ValueError(f"{path} has no times of convolutions")
  return record


def main(argv: Sequence[str]) -> int:
  """Measures or compares; returns the exit code."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.convolutions")
  parser.add_argument(
    "--only", nargs="+", default=["*"], help="networks, such as sr2_*_x4"
  )
  parser.add_argument("--colors", action="store_true", help="32 px in RGB")
  parser.add_argument("--batch", type=int, default=64, help="images of a step")
  parser.add_argument("--runs", type=int, default=15, help="calls of a form")
  parser.add_argument("--out", help="file of the record")
  parser.add_argument("--compare", nargs="+", metavar="FILE")
  options = parser.parse_args(argv)
  if options.compare:
    try:
      print(text_of([read(path) for path in options.compare]))
    except (OSError, ValueError) as error:
      print(error, file=sys.stderr)
      return 2
    return 0
  networks = [
    name
    for name in goals.TRAINING
    if any(fnmatch.fnmatch(name, pattern) for pattern in options.only)
  ]
  if not networks:
    print(f"no network is called {' or '.join(options.only)}", file=sys.stderr)
    return 2
  cpu_tuning.prepare()  # As sr2_jax.main does.
  image_shape = _COLORS if options.colors else _GRAY
  record: dict[str, Any] = {
    "machine": machine.describe(),
    "batch": options.batch,
    "image_shape": list(image_shape),
    "rows": [],
  }
  found = rows_of(networks, image_shape=image_shape, batch=options.batch)
  name = machine.file_name(record["machine"], quick=False)
  path = options.out or machine.ROOT / f"benchmarks/results/convolutions-{name}"
  for case, occurs in found.items():
    row = measure(case, occurs, runs=options.runs)
    record["rows"].append(row)
    print(f"{case}\n{lines_of(row)}", file=sys.stderr, flush=True)
    # Each row at once, so that a cut loses one.
    files.write_atomically(path, f"{json.dumps(record, indent=1)}\n".encode())
  print(text_of([record]))
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
