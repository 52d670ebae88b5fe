"""Whether memory has room for what a run needs, and which fields to reduce."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sr2_jax import agreement, memory

# Places, as they end a message. The memory of a CPU device is the host's.
HOST, DEVICE = "", " on each device"

# A program needs some times as much, compiled, as is counted by shapes.
_MORE_COMPILED = 4

# Fields of a config that something grows with, and how large they are.
Factors = Mapping[str, int]


class Share(NamedTuple):
  """A part of what a run needs.

  Attributes:
    what: in words.
    factors: what it grows with.
    nbytes: by place.
  """

  what: str
  factors: Factors
  nbytes: Mapping[str, int]


def share(
  devices: Sequence[Any],
  what: str,
  factors: Factors,
  *,
  on_device: int = 0,
  on_host: int = 0,
) -> Share:
  """A share of so many bytes on each of these devices, and beside them."""
  if _are_host(devices):
    return Share(what, factors, {HOST: on_host + len(devices) * on_device})
  return Share(what, factors, {HOST: on_host, DEVICE: on_device})


class Moment(NamedTuple):
  """What a part of a run needs at once.

  Attributes:
    name: such as "training joint".
    program: what its program takes.
    beside: what there is beside that.
  """

  name: str
  program: Share
  beside: tuple[Share, ...] = ()

  def needed(self, place: str) -> int:
    """Bytes there."""
    return sum(x.nbytes[place] for x in (self.program, *self.beside))

  def largest(self, place: str) -> Share:
    """The share that needs most there."""
    shares = (self.program, *self.beside)
    return max(shares, key=lambda share: share.nbytes[place])


@dataclasses.dataclass(frozen=True)
class Footprint:
  """The memory that a run needs.

  Attributes:
    moments: of the run, in order; at least one.
    devices: of this process.
  """

  moments: tuple[Moment, ...]
  devices: tuple[Any, ...]

  @property
  def places(self) -> tuple[str, ...]:
    """Where memory is needed."""
    return tuple(self.moments[0].program.nbytes)

  def peak(self, place: str) -> Moment:
    """The moment that needs most there."""
    return max(self.moments, key=lambda moment: moment.needed(place))

  def check(self) -> None:
    """Ends all processes of a run if one of them has too little memory.

    Call it before any of the memory is taken.

    Raises:
      NoRoomError: says how much is needed, and what to reduce.
    """
    agreement.on_memory([*filter(None, map(self._refusal, self.places))])

  def _refusal(self, place: str) -> str:
    """Two lines if this place has too little, else ""."""
    moment, free = self.peak(place), _free(place, self.devices)
    needed, largest = moment.needed(place), moment.largest(place)
    if free is None or needed <= free.nbytes:
      return ""
    limit = f" ({free.limit})" if free.limit else ""
    of_share = memory.in_words(largest.nbytes[place])
    return (
      f"{moment.name} needs at least {memory.in_words(needed)} more "
      f"memory{place}, and {memory.in_words(free.nbytes)} are free{limit}: "
      f"{of_share} for {largest.what}.\nReduce {_fields(largest)}."
    )

  def may_be_short(self) -> bool:
    """Whether a compiler, which needs more, may exceed what is free."""
    frees = {place: _free(place, self.devices) for place in self.places}
    return any(
      free is not None
      and _MORE_COMPILED * self.peak(place).needed(place) > free.nbytes
      for place, free in frees.items()
    )

  def explain(self, error: BaseException) -> str:
    """Two lines about an error that says that memory was not enough."""
    place = self.places[-1]
    fields = _fields(self.peak(place).largest(place))
    return (
      f"Out of memory: {memory.reason(error)}.\n"
      "With more memory the same command goes on from the last checkpoint; or "
      f"reduce {fields} in a new run."
    )

  @property
  def line(self) -> str:
    """In words, for a person who plans a run."""
    peaks = [
      f"{memory.in_words(self.peak(place).needed(place))}{place}"
      for place in self.places
    ]
    place = self.places[-1]
    moment = self.peak(place)
    largest = moment.largest(place)
    return (
      f"memory: at least {' and '.join(peaks)}; {moment.name} needs most, "
      f"{memory.in_words(largest.nbytes[place])} of it for {largest.what}"
    )


def program_check(
  devices: Sequence[Any], name: str, what: str, factors: Factors
) -> Callable[[int], None]:
  """A check of a compiled program, by its bytes on a device.

  Args:
    devices: of this process.
    name: of the moment.
    what: the program, in words.
    factors: what its memory grows with.
  """

  def check(nbytes: int) -> None:
    program = share(devices, what, factors, on_device=nbytes)
    Footprint((Moment(name, program),), tuple(devices)).check()

  return check


def _are_host(devices: Sequence[Any]) -> bool:
  return devices[0].platform == "cpu"


def _free(place: str, devices: Sequence[Any]) -> memory.Room | None:
  if place == HOST:
    return memory.of_host()
  rooms = [memory.of_device(device) for device in devices]
  return min((room for room in rooms if room is not None), default=None)


def _fields(share: Share) -> str:
  """The fields to reduce: at most two, those that are largest."""
  by_size = sorted(share.factors.items(), key=lambda x: x[1], reverse=True)
  found = [_named(field, size) for field, size in by_size if size > 1][:2]
  return " or ".join(found or ["config.batch_size"])


def _named(field: str, size: int) -> str:
  if field == "augmentation.crop":  # It may be 0, for whole images.
    return "the images, by config.augmentation.crop"
  return f"config.{field} ({size:,})"
