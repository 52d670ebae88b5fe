"""What is measured, and how good it is to be: the rows of the table."""

import dataclasses
import fnmatch
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Network(NamedTuple):
  """A network of the comparison: its title and the config's words for it."""

  title: str
  trunk: str
  wiring: str


NETWORKS = {
  "fsrcnn": Network("FSRCNN", "fsrcnn", "none"),
  "wdsr": Network("WDSR", "wdsr", "none"),
  "sr2_fsrcnn": Network("SR2_FSRCNN", "fsrcnn", "parallel"),
  "sr2_wdsr": Network("SR2_WDSR", "wdsr", "parallel"),
  "sequential_fsrcnn": Network("sequential FSRCNN", "fsrcnn", "sequential"),
}
SCALES = (2, 4)


@dataclasses.dataclass(frozen=True)
class Row:
  """One row of the table.

  Attributes:
    name: what --only takes.
    what: what is measured, for the reader.
    kind: who measures it, a key of `run.MEASURE`.
    unit: of our number and the other one: "img/s", "s", "%", "GB" or "x".
    is_ratio: the goal is a ratio, more is better; otherwise it is our number,
      and less is better.
    at_least: what has to be reached.
    aim: what is aimed at.
    is_quick: --quick measures it.
    other: what stands in the place of PyTorch, if anything else.
    network: key of `NETWORKS`, of a training step.
    scale: of a training step.
  """

  name: str
  what: str
  kind: str
  unit: str
  is_ratio: bool
  at_least: float
  aim: float
  is_quick: bool = False
  other: str = ""
  network: str = ""
  scale: int = 0


# Both trunks, and one network with the classifier. Compiling them takes half of
# the two minutes.
_QUICK_STEPS = ("fsrcnn_x4", "wdsr_x4", "sr2_fsrcnn_x4")


def _training_rows() -> Iterable[Row]:
  for network, (title, _, _) in NETWORKS.items():
    for scale in SCALES:
      name = f"{network}_x{scale}"
      yield Row(
        name=name,
        what=f"training step, {title} x{scale}",
        kind="training",
        unit="img/s",
        is_ratio=True,
        at_least=0.6,
        aim=1.0,
        is_quick=name in _QUICK_STEPS,
        network=network,
        scale=scale,
      )


_OTHER_ROWS = (
  Row(
    "geometric_mean", "training step, geometric mean of the ratios",
    kind="geometric_mean", unit="x", is_ratio=True, at_least=1.0, aim=1.3,
    is_quick=True,
  ),
  Row(
    "inputs", "augmentation + degradation, largest part of a training step",
    kind="inputs", unit="%", is_ratio=False, at_least=10.0, aim=5.0,
    is_quick=True,
  ),
  Row(
    "evaluation", "full evaluation, 8 noise levels x 10,000 images",
    kind="evaluation", unit="s", is_ratio=True, at_least=5.0, aim=20.0,
    is_quick=True,
  ),
  Row(
    "population", "population of 6 against six solo runs",
    kind="population", unit="s", is_ratio=True, at_least=1.2, aim=2.0,
    other="solo runs",
  ),
  Row(
    "quickstart_cold", "quickstart to finished figures, nothing compiled yet",
    kind="quickstart_cold", unit="s", is_ratio=False, at_least=120.0, aim=60.0,
  ),
  Row(
    "quickstart_warm", "quickstart to finished figures, warm compilation cache",
    kind="quickstart_warm", unit="s", is_ratio=False, at_least=120.0, aim=60.0,
  ),
  Row(
    "first_step", "start to first training step, warm compilation cache",
    kind="first_step", unit="s", is_ratio=False, at_least=8.0, aim=4.0,
    is_quick=True,
  ),
  Row(
    "memory", "peak memory, training on 200,000 SVHN-sized images",
    kind="memory", unit="GB", is_ratio=False, at_least=2.5, aim=1.5,
    is_quick=True,
  ),
)  # fmt: skip

ROWS = {row.name: row for row in (*_training_rows(), *_OTHER_ROWS)}
TRAINING = tuple(row.name for row in ROWS.values() if row.kind == "training")

# Rows that are computed from others, which are measured before them: from
# these, or as many of them as are measured.
DERIVED = {
  "geometric_mean": TRAINING,
  "inputs": TRAINING,
  "quickstart_warm": ("quickstart_cold",),
}


def select(patterns: Sequence[str], *, quick: bool) -> list[str]:
  """Names of the rows to measure, in the table's order.

  Args:
    patterns: names, or patterns like "sr2_*"; none stands for all rows. Rows
      that are computed from others bring those with them.
    quick: leave out what takes long, unless it is named.

  Raises:
    ValueError: a pattern fits no row; the message names it.
  """
  if not patterns:
    return [row.name for row in ROWS.values() if row.is_quick or not quick]
  chosen: set[str] = set()
  for pattern in patterns:
    found = fnmatch.filter(ROWS, pattern)
    if not found:
      raise ValueError(f'no row is called "{pattern}"')
    chosen |= set(found)
  for name in chosen & set(DERIVED):
    sources = DERIVED[name]
    if chosen.isdisjoint(sources):
      fast = {source for source in sources if ROWS[source].is_quick}
      chosen |= fast if quick and fast else set(sources)
  return [name for name in ROWS if name in chosen]
