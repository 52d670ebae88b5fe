"""The runs of docs/reproduction.md: planned, and done; no JAX."""

import collections
import dataclasses

from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import budgets, trained_runs
from sr2_jax.report.paper import subjects as subjects_lib
from sr2_jax.report.paper import values as paper_values
from sr2_jax.report.reproduction import numbers as numbers_lib

NONE = "not run yet"


@dataclasses.dataclass(frozen=True)
class Part:
  """A part of the programme of runs, found by what its rows are of.

  Attributes:
    name: of the part.
    text: what is trained.
    budget: epochs of its rows.
    seeds: planned.
    subjects: the networks that have rows when it is complete.
  """

  name: str
  text: str
  budget: subjects_lib.Budget
  seeds: int
  subjects: tuple[subjects_lib.Subject, ...]


def _of_fsrcnn(
  *methods: str, scale: int = 4
) -> tuple[subjects_lib.Subject, ...]:
  return tuple(
    paper_values.subject(f"{method}_fsrcnn", scale) for method in methods
  )


_PAIR = ("sr2", "sr_continued")
PROGRAMME = (
  Part(
    "P0b", "MNIST x4, FSRCNN: λ of 0.11, 1, 9 and 90", (30, 10), 3,
    tuple(
      paper_values.subject("sr2_fsrcnn", 4, loss_weight=weight)
      for weight in (0.11, 1.0, 9.0, 90.0)
    ),
  ),
  Part(
    "P1", "MNIST x4, FSRCNN: SR² and its control", (30, 30), 10,
    _of_fsrcnn(*_PAIR),
  ),
  Part(
    "P3", "MNIST x4, FSRCNN: parallel and sequential", (30, 5), 5,
    _of_fsrcnn("sr2", "sequential"),
  ),
  Part(
    "P4", "SVHN x4, WDSR: 1 and 4 shared layers, with controls", (10, 4), 5,
    tuple(
      paper_values.subject(
        f"{method}_wdsr", 4, dataset=paper_values.SVHN, shared_layers=shared
      )
      for shared in (1, 4)
      for method in _PAIR
    ),
  ),
  Part(
    "P5", "MNIST: FSRCNN x2, WDSR x4 and x2, with controls", (30, 10), 1,
    (
      *_of_fsrcnn(*_PAIR, scale=2),
      *(
        paper_values.subject(f"{method}_wdsr", scale)
        for scale in (4, 2)
        for method in _PAIR
      ),
    ),
  ),
  Part(
    "P2", "MNIST x4, FSRCNN: SR² and its control, the authors' epochs",
    (paper_values.AUTHORS_EPOCHS, paper_values.AUTHORS_EPOCHS), 3,
    _of_fsrcnn(*_PAIR),
  ),
)  # fmt: skip


def state(numbers: numbers_lib.Numbers, part: Part) -> str:
  """How much of a part has rows.

  "complete", "2 seeds so far", "3 of 4 networks so far", or NONE.
  """
  # Networks of other scales have seeds of their own.
  seeds = [
    len(budgets.shared(numbers.new, [subject]).get(part.budget, ()))
    for subject in part.subjects
  ]
  found = min(seeds)
  if found >= part.seeds:
    return "complete"
  if found:
    return f"{found} seed{'s' if found > 1 else ''} so far"
  begun = sum(count > 0 for count in seeds)
  return f"{begun} of {len(seeds)} networks so far" if begun else NONE


def programme(numbers: numbers_lib.Numbers) -> list[blocks_lib.Block]:
  """The runs that decide, and how many of their seeds have rows."""
  rows = []
  for part in PROGRAMME:
    rows.append(
      (
        part.name, part.text, budgets.text(part.budget), str(part.seeds),
        state(numbers, part),
      )
    )  # fmt: skip
  return [blocks_lib.Table(("Part", "What", "Epochs", "Seeds", "State"), rows)]


def runs(numbers: numbers_lib.Numbers) -> list[blocks_lib.Block]:
  """Every file of rows: what it measured, and how it came about."""
  rows = [
    *numbers.new.rows,
    *(pair for of_file in numbers.why.values() for pair in of_file.rows),
  ]
  kinds = collections.defaultdict(set)
  for row, file in rows:
    kinds[file.name].add(row.batch_norm)
  header = (
    "Rows", "Statistics", "Trained", "Seeds", "Images", "Revision", "Time",
    "Machine",
  )  # fmt: skip
  new, old = [], []
  for run in sorted(trained_runs.find(rows), key=lambda run: run.source):
    stem = run.source.removesuffix(".jsonl")
    known = numbers.known.get(stem, {})
    statistics = sorted(kinds[run.source] - {None})
    line = (
      f"`{stem}`",
      ", ".join(statistics) or "—",
      trained_runs.trained(run),
      str(len(run.seeds)),
      f"{run.split_images:,}",
      *(known.get(x, "not noted") for x in ("revision", "time", "machine")),
    )
    (new if "reestimated" in statistics else old).append(line)
  blocks: list[blocks_lib.Block] = [
    blocks_lib.Table(header, new)
    if new
    else blocks_lib.Paragraph(numbers_lib.NOT_RUN)
  ]
  minutes = [
    run["minutes"]
    for known in numbers.known.values()
    for run in known.get("runs", {}).values()
  ]
  if minutes:
    blocks.append(
      blocks_lib.Paragraph(
        f"Together these took {sum(minutes) / 60:.1f} hours."
      )
    )
  if old:
    title = f"{len(old)} older files, with running statistics"
    blocks.append(blocks_lib.Details(title, [blocks_lib.Table(header, old)]))
  return blocks
