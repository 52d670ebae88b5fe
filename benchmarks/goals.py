"""Rows of the table: what is measured, and its goal."""

import dataclasses
import fnmatch
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Network(NamedTuple):
  """A network of the comparison: title, and trunk and wiring of its config."""

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
    name: the name for --only.
    what: title of the row.
    kind: key of `run.MEASURE`, the function that measures it.
    unit: unit of both numbers: "img/s", "s", "%", "GB" or "x".
    goal: None if there is none.
    is_ratio: whether the goal is for the ratio and not for our number.
    more: whether more is better, as it always is for a ratio.
    is_quick: whether --quick measures it.
    other: what we are compared with, if not PyTorch.
    network: key of `NETWORKS`, for a training step.
    scale: scale of the network, for a training step.
  """

  name: str
  what: str
  kind: str
  unit: str
  goal: float | None
  is_ratio: bool = False
  more: bool = False
  is_quick: bool = False
  other: str = ""
  network: str = ""
  scale: int = 0


# Both trunks, and one network with a classifier. Compiling these takes half of
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
        goal=1.0,
        is_ratio=True,
        is_quick=name in _QUICK_STEPS,
        network=network,
        scale=scale,
      )


_OTHER_ROWS = (
  Row(
    "geometric_mean", "training step, geometric mean of the ratios",
    kind="geometric_mean", unit="x", goal=1.2, is_ratio=True, is_quick=True,
  ),
  Row(
    "inputs", "augmentation + degradation, largest part of a training step",
    kind="inputs", unit="%", goal=5.0, is_quick=True,
  ),
  Row(
    "evaluation", "full evaluation, 8 noise levels x 10,000 images",
    kind="evaluation", unit="s", goal=None, is_quick=True,
  ),
  Row(
    "evaluation_rate", "its FLOP/s over those of a 2,048 matrix product",
    kind="evaluation_rate", unit="%", goal=60.0, more=True, is_quick=True,
  ),
  Row(
    "population", "population of 6 against six solo runs",
    kind="population", unit="s", goal=1.8, is_ratio=True, other="solo runs",
  ),
  Row(
    "quickstart_cold", "quickstart to finished figures, nothing compiled yet",
    kind="quickstart_cold", unit="s", goal=60.0,
  ),
  Row(
    "quickstart_warm", "quickstart to finished figures, warm compilation cache",
    kind="quickstart_warm", unit="s", goal=40.0,
  ),
  Row(
    "first_step", "start to first training step, warm compilation cache",
    kind="first_step", unit="s", goal=4.0, is_quick=True,
  ),
  Row(
    "memory", "peak memory, training on 200,000 SVHN-sized images",
    kind="memory", unit="GB", goal=1.5, is_quick=True,
  ),
)  # fmt: skip

ROWS = {row.name: row for row in (*_training_rows(), *_OTHER_ROWS)}
TRAINING = tuple(row.name for row in ROWS.values() if row.kind == "training")

# Rows that are computed from other rows, or from those of them that have been
# measured. The others come first in the table.
DERIVED = {
  "geometric_mean": TRAINING,
  "inputs": TRAINING,
  "evaluation_rate": ("evaluation",),
  "quickstart_warm": ("quickstart_cold",),
}


def select(patterns: Sequence[str], *, quick: bool) -> list[str]:
  """Names of the rows to measure, in the table's order.

  A row that is computed from others adds those others.

  Args:
    patterns: names, or patterns such as "sr2_*"; empty: all rows.
    quick: leave out slow rows, unless a pattern names them.

  Raises:
    ValueError: if a pattern matches no row; the message names the pattern.
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
