"""The layout of a run, and how many devices it takes; no JAX.

`parallel.layout` "auto" goes by this rule:

1. `members`, on as many devices as shorten a step, and on no more: three
   members take three of eight devices, nine take five, with two members each.
2. `data`, if a step with its batch split is known to be shorter, on one host.
   `SPLIT_STEP` is what is known. On one device both layouts are one program,
   which is called `data`.
3. Several processes take all their devices, because each has to take part.
   They split no batch.

Where members do not fill the devices evenly, idle members fill the rest: copies
of the last member, whose results nobody sees. So each population fits on any
number of devices.

config.json records the choice. A run that goes on keeps it where the devices
allow it, and chooses again where they do not; then its last bits may differ, as
on any other devices.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from sr2_jax import errors
from sr2_jax.config import derived

# Time of a step whose batch is split over several devices of a host, relative
# to the whole batch on one device, by platform, batch size and devices. Where
# nothing is known, nothing is split.
# TPU: cycles by the compiler's estimate for a v5e, joint step of SR2_FSRCNN x4,
# without the latency of its 33 all-reduces (docs/scaling.md). SR2_WDSR x2 has
# 2.484 / 3.483 there, without that of 67: whether it pays is not known.
SPLIT_STEP: dict[tuple[str, int, int], float] = {("tpu", 64, 8): 1.390 / 0.987}


@dataclasses.dataclass(frozen=True)
class Choice:
  """A layout, and the devices that it takes.

  Attributes:
    layout: "data" or "members".
    num_devices: that take part.
    members: size of the population in each phase.
    available: devices of all hosts.
    hosts: number of processes.
  """

  layout: str
  num_devices: int
  members: tuple[int, ...]
  available: int
  hosts: int

  @property
  def members_on_each(self) -> tuple[int, ...]:
    """Members on each device in each phase, idle ones included."""
    if self.layout == "data":
      return self.members
    return tuple(-(-size // self.num_devices) for size in self.members)

  @property
  def idle_members(self) -> tuple[int, ...]:
    """Idle members in each phase."""
    if self.layout == "data":
      return (0,) * len(self.members)
    return tuple(-size % self.num_devices for size in self.members)

  @property
  def idle(self) -> int:
    """Devices that train no member of their own in any phase."""
    if self.layout == "data":
      return self.available - self.num_devices
    busy = (
      -(-size // on_each)
      for size, on_each in zip(self.members, self.members_on_each, strict=True)
    )
    return self.available - max(busy)

  @property
  def line(self) -> str:
    """In words: "layout members: 3 members on 3 of 8 devices, 5 idle"."""
    sizes = tuple(dict.fromkeys(self.members))
    busy = self.available - self.idle
    text = f"layout {self.layout}: " if self.num_devices > 1 else ""
    text += " and ".join(map(str, sizes))
    text += " member" if sizes == (1,) else " members"
    text += f" on {busy} of {self.available} devices"
    if self.hosts > 1:
      text += f" in {self.hosts} processes"
    if self.num_devices > 1 and self.layout == "data":
      text += ", each batch split"
    elif self.num_devices > 1 and max(self.members_on_each) > 1:
      text += f", at most {max(self.members_on_each)} on each"
    return text + (f", {self.idle} idle" if self.idle else "")

  def resolve(
    self, config: ml_collections.FrozenConfigDict
  ) -> ml_collections.FrozenConfigDict:
    """The config with this choice in `parallel`."""
    resolved = ml_collections.ConfigDict(config.to_dict())
    resolved.parallel.layout = self.layout
    resolved.parallel.num_devices = self.num_devices
    return ml_collections.FrozenConfigDict(resolved)


def of_config(
  config: ml_collections.ConfigDict | ml_collections.FrozenConfigDict,
  *,
  devices: int,
  hosts: int = 1,
  platform: str,
  recorded: Mapping[str, Any] | None = None,
) -> Choice:
  """The choice for a run.

  Args:
    config: validated.
    devices: of all hosts.
    hosts: number of processes.
    platform: kind of the devices: "cpu", "gpu" or "tpu".
    recorded: `parallel` in config.json of a run that goes on. It keeps what it
      can of this, where the config leaves a field open.

  Raises:
    UserError: if fields of `parallel` ask for what cannot be.
  """
  asked = (config.parallel.layout, config.parallel.num_devices)
  members = [
    derived.population_size(config, phase) for phase in derived.phases(config)
  ]

  def choice(layout: str, num_devices: int) -> Choice:
    return choose(
      members,
      batch_size=config.batch_size,
      devices=devices,
      hosts=hosts,
      platform=platform,
      layout=layout,
      num_devices=num_devices,
    )

  kept = _filled_in(asked, recorded)
  if kept != asked:
    try:
      return choice(*kept)
    except errors.UserError:
      pass  # The devices are others now.
  return choice(*asked)


def _filled_in(
  asked: tuple[str, int], recorded: Mapping[str, Any] | None
) -> tuple[str, int]:
  """What a config asks for, with open fields as they were recorded."""
  if not isinstance(recorded, Mapping):
    return asked
  layout, num_devices = recorded.get("layout"), recorded.get("num_devices")
  if not isinstance(num_devices, int) or num_devices < 0:
    return asked
  if layout in ("data", "members") and asked[0] in ("auto", layout):
    return layout, asked[1] or num_devices
  return asked


def choose(
  members: Sequence[int],
  *,
  batch_size: int,
  devices: int,
  hosts: int = 1,
  platform: str,
  layout: str = "auto",
  num_devices: int = 0,
) -> Choice:
  """The layout and devices by the rule above.

  Args:
    members: size of the population in each phase.
    batch_size: images of a training step.
    devices: of all hosts.
    hosts: number of processes.
    platform: kind of the devices: "cpu", "gpu" or "tpu".
    layout: "data", "members", or "auto" for the rule's.
    num_devices: that take part; 0 for the rule's.

  Raises:
    UserError: if `layout` and `num_devices` ask for what cannot be.
  """
  _check_number(num_devices, devices, hosts)
  if hosts > 1:
    num_devices = devices
  if layout == "auto":
    split = 0
    if not num_devices:
      split = _paying_split(members, batch_size, devices, platform)
    num_devices = num_devices or split or _fewest(members, devices)
    layout = "data" if split or num_devices == 1 else "members"
  elif layout == "data":
    num_devices = num_devices or _largest_divisor(batch_size, devices)
    _check_batch(batch_size, num_devices)
  num_devices = num_devices or _fewest(members, devices)
  return Choice(layout, num_devices, tuple(members), devices, hosts)


def _check_number(num_devices: int, devices: int, hosts: int) -> None:
  if num_devices > devices:
    raise errors.UserError(
      f"config.parallel.num_devices is {num_devices}, but there "
      f"{'is' if devices == 1 else 'are'} {devices} here."
    )
  if hosts > 1 and num_devices not in (0, devices):
    raise errors.UserError(
      f"config.parallel.num_devices is {num_devices}, but with {hosts} "
      f"processes it has to be 0, for all {devices} devices."
    )


def _check_batch(batch_size: int, num_devices: int) -> None:
  if batch_size % num_devices:
    raise errors.UserError(
      f"config.batch_size is {batch_size}, which {num_devices} devices cannot "
      'share evenly (config.parallel.layout="data");\n'
      "--config.parallel.layout=auto takes any."
    )


def _fewest(members: Sequence[int], devices: int) -> int:
  """Devices that train as few members each as all of them would."""
  return max(-(-size // -(-size // devices)) for size in members)


def _largest_divisor(number: int, limit: int) -> int:
  return max(n for n in range(1, limit + 1) if number % n == 0)


def _paying_split(
  members: Sequence[int], batch_size: int, devices: int, platform: str
) -> int:
  """Devices on which `data` is known to be fastest; 0 if on none.

  In `members` a step takes as long as the members of one device, one after
  another; in `data` as long as all of them, each with its part of the batch.
  """
  paying = {
    count: relative
    for (kind, images, count), relative in SPLIT_STEP.items()
    if (kind, images) == (platform, batch_size)
    and count <= devices
    and all(size * relative < -(-size // devices) for size in members)
  }
  return min(paying, key=paying.__getitem__, default=0)
