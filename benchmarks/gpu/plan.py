"""What is measured on a GPU, the most important first, and for how long.

No JAX, so that `--help` answers at once.
"""

import dataclasses
import fnmatch
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from benchmarks import goals


class Sizes(NamedTuple):
  """How large everything is: for a GPU, or to try all of it on a CPU.

  Attributes:
    batch_size: images of a step and member.
    num_images: training images on the device.
    num_test_images: images of an evaluation.
    steps_per_call: most steps of a call, first those of a run on a GPU.
    members: sizes of populations, first the one that all forms are timed with.
    matmul: side of the matrices for the peak of arithmetic.
    copied_bytes: size of the array for the peak of the memory.
    seconds: length of a measurement.
    resumed_steps: steps of the run that is killed.
  """

  batch_size: int
  num_images: int
  num_test_images: int
  steps_per_call: tuple[int, ...]
  members: tuple[int, ...]
  matmul: int
  copied_bytes: int
  seconds: float
  resumed_steps: int


SIZES = {
  "gpu": Sizes(
    batch_size=64,
    num_images=48_000,
    num_test_images=10_000,
    steps_per_call=(50, 10, 1),
    members=(6, 3, 18, 1),
    matmul=8192,
    copied_bytes=2**30,
    seconds=2.0,
    resumed_steps=2000,
  ),
  "cpu": Sizes(
    batch_size=4,
    num_images=64,
    num_test_images=100,
    steps_per_call=(3, 2, 1),
    members=(2, 1),
    matmul=128,
    copied_bytes=2**20,
    seconds=0.1,
    resumed_steps=64,
  ),
}


@dataclasses.dataclass(frozen=True)
class Case:
  """A network in training.

  Attributes:
    network: key of `goals.NETWORKS`.
    scale: super-resolution factor.
    members: size of the population.
    steps_per_call: most steps of a call; 0: those of a run on a GPU.
    dtype: of the layers' arithmetic.
    convolution: key of `conv.CONVOLUTIONS`; "": the platform's own.
  """

  network: str = "sr2_fsrcnn"
  scale: int = 4
  members: int = 1
  steps_per_call: int = 0
  dtype: str = "float32"
  convolution: str = ""

  @property
  def name(self) -> str:
    """Such as "sr2_fsrcnn_x4, 6 members, unrolled"."""
    calls = f"{self.steps_per_call} steps a call" if self.steps_per_call else ""
    parts = (
      f"{self.network}_x{self.scale}",
      f"{self.members} members" if self.members > 1 else "",
      self.dtype if self.dtype != "float32" else "",
      self.convolution,
      calls,
    )
    return ", ".join(part for part in parts if part)


@dataclasses.dataclass(frozen=True)
class Row:
  """One measurement.

  Attributes:
    kind: key of `measure.MEASURE`.
    seconds: what it may take on a GPU, before one of its kind has been done.
    case: the network, if there is one.
  """

  kind: str
  seconds: float
  case: Case | None = None

  @property
  def name(self) -> str:
    """Such as "step: sr2_fsrcnn_x4"."""
    return f"{self.kind}: {self.case.name}" if self.case else self.kind


def rows(sizes: Sizes) -> list[Row]:
  """All rows; what a cut leaves out is at the end."""
  many, *others = sizes.members
  main, wide = Case(), Case("sr2_wdsr", 2)
  population = dataclasses.replace(main, members=many)
  return [
    Row("peaks", 15),
    Row("correct", 40, main),
    Row("correct", 40, wide),
    Row("resume", 60),
    *_of_network(main),
    Row("step", 15, population),
    *_of_network(wide),
    *(
      Row("step", 20, dataclasses.replace(population, convolution=form))
      for form in ("unrolled", "patches", "mapped")
    ),
    Row("trace", 15, main),
    *(
      Row("step", 15, dataclasses.replace(main, members=count))
      for count in others
      if count > 1
    ),
    *(
      Row("step", 15, dataclasses.replace(main, steps_per_call=count))
      for count in sizes.steps_per_call[1:]
    ),
    Row("step", 15, dataclasses.replace(main, dtype="bfloat16")),
    Row("evaluation", 25, main),
    *(Row("bytes", 20, case) for case in (main, wide)),
    *_other_networks((main, wide)),
    *(Row("torch_compile", 60, case) for case in (main, wide)),
  ]


def _of_network(case: Case) -> Iterator[Row]:
  yield Row("step", 15, case)
  yield Row("torch", 15, case)


def _other_networks(done: Sequence[Case]) -> Iterator[Row]:
  """The other networks of docs/speed.md."""
  for network in reversed(goals.NETWORKS):
    for scale in reversed(goals.SCALES):
      case = Case(network, scale)
      if case not in done:
        yield Row("correct", 40, case)
        yield from _of_network(case)


def select(found: Sequence[Row], patterns: Sequence[str]) -> list[Row]:
  """The rows whose name or kind matches a pattern; all if there is none.

  Raises:
    ValueError: if a pattern matches no row; the message names it.
  """
  for pattern in patterns:
    if not any(_matches(row, pattern) for row in found):
      raise ValueError(f'no row is called "{pattern}"')
  return [
    row
    for row in found
    if not patterns or any(_matches(row, pattern) for pattern in patterns)
  ]


def _matches(row: Row, pattern: str) -> bool:
  return any(fnmatch.fnmatch(x, pattern) for x in (row.name, row.kind))


class Budget:
  """Which rows still fit into the time.

  Args:
    minutes: from now on.
    clock: seconds that pass.
  """

  def __init__(
    self, minutes: float, clock: Callable[[], float] = time.monotonic
  ) -> None:
    self._clock = clock
    self._end = clock() + 60 * minutes
    self._taken: dict[str, list[float]] = {}

  @property
  def seconds_left(self) -> float:
    """Seconds until the end; negative after it."""
    return self._end - self._clock()

  def fits(self, row: Row) -> bool:
    """Whether a row is likely to end in time.

    The guess is what rows of its kind took here, or else its own.
    """
    taken = self._taken.get(row.kind)
    guess = statistics.median(taken) if taken else row.seconds
    return guess <= self.seconds_left

  def add(self, row: Row, seconds: float) -> None:
    """Tells how long a row took."""
    self._taken.setdefault(row.kind, []).append(seconds)
