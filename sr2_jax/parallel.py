"""Devices and processes: the only module of sr2_jax that uses pmap.

A program for one device takes a state and other arrays with a member axis, then
what all members share, then the index of its shard. Two layouts spread it:

* "data": every device holds all members and works on its shard of the batch;
  the program averages over `axis_name`.
* "members": the population is split over the devices, each sees whole batches,
  and a program communicates nothing. Idle members fill the last devices: copies
  of the last member that are never fetched.

Training state stays on the devices in the layout's form between steps.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import multihost_utils

from sr2_jax import memory

_AXIS = "devices"


def is_main_process() -> bool:
  """Whether this process writes rows, pictures and messages."""
  return jax.process_index() == 0


def num_processes() -> int:
  """Number of processes in this run."""
  return jax.process_count()


def barrier(name: str) -> None:
  """Waits until every process has called this."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


class Gathered(Protocol):
  """What batches are gathered from: an array, or what is indexed as one."""

  @property
  def shape(self) -> tuple[int, ...]:
    """[N, ...]."""
    ...

  def __getitem__(self, rows: np.ndarray, /) -> np.ndarray:
    """What int [..., B] or [..., B, ...] choose, [..., B, ...]."""
    ...


@dataclasses.dataclass(frozen=True)
class Layout:
  """How a population's program is spread over devices.

  Attributes:
    name: "data" or "members".
    devices: the devices in use, of all processes.
    num_members: size of the population; None: any that the devices divide.
  """

  name: str
  devices: tuple[Any, ...]
  num_members: int | None = None

  def of(self, num_members: int) -> "Layout":
    """This layout for a population of any size."""
    return dataclasses.replace(self, num_members=num_members)

  @property
  def splits_data(self) -> bool:
    """Whether the devices share each batch."""
    return self.name == "data"

  @property
  def num_shards(self) -> int:
    """Parts that a batch is cut into."""
    return len(self.devices) if self.splits_data else 1

  @property
  def platform(self) -> str:
    """Kind of the devices: "cpu", "gpu" or "tpu"."""
    return self.devices[0].platform

  @property
  def axis_name(self) -> str | None:
    """Axis that a program averages over; None if there is one shard."""
    return _AXIS if self.num_shards > 1 else None

  @property
  def _sharding(self) -> dict[bool, jax.sharding.NamedSharding]:
    """Where arrays live, by whether they are split over the devices."""
    mesh = jax.sharding.Mesh(np.asarray(self.devices), (_AXIS,))
    spec = jax.sharding.PartitionSpec
    return {
      split: jax.sharding.NamedSharding(mesh, spec(_AXIS) if split else spec())
      for split in (True, False)
    }

  def members_on_each(self, num_members: int) -> int:
    """Members of such a population on each device, idle ones included."""
    if self.splits_data:
      return num_members
    return -(-num_members // len(self.devices))

  def whole_shards(self, batch_size: int) -> int:
    """The next size of a batch that the shards can share evenly."""
    return batch_size + -batch_size % self.num_shards

  def _by_devices(self, array: np.ndarray) -> np.ndarray:
    """An array [M, ...] as [devices, members on each, ...]."""
    missing = -len(array) % len(self.devices)
    if missing:
      if self.num_members is None:
        raise ValueError(f"{missing} idle members in a layout of no population")
      array = np.concatenate([array, *[array[-1:]] * missing])
    return array.reshape(len(self.devices), -1, *array.shape[1:])

  def _put(self, tree: Any, *, split: bool) -> Any:
    sharding = self._sharding[split]

    def put(leaf: Any) -> jax.Array:
      leaf = np.asarray(leaf)
      if split:
        leaf = self._by_devices(leaf)
      # Every process holds the whole array and places its own part.
      return jax.make_array_from_callback(
        leaf.shape, sharding, lambda index: leaf[index]
      )

    return jax.tree.map(put, tree)

  def put_members(self, tree: Any) -> Any:
    """Arrays [M, ...] in the form that mapped programs take and return."""
    return self._put(tree, split=not self.splits_data)

  def put_shared(self, tree: Any) -> Any:
    """Arrays without a member axis, copied to every device."""
    return self._put(tree, split=False)

  def put_batches(
    self, arrays: Sequence[Gathered], rows: np.ndarray
  ) -> tuple[jax.Array, ...]:
    """The batches `array[rows]` of each array, split over the devices.

    Each process gathers and sends only what its own devices work on.

    Args:
      arrays: [N, ...], in host memory.
      rows: int [M, K, B], for each member K batches of B indices, each of
        which may be several numbers, [M, K, B, ...].

    Returns:
      Arguments for a mapped program, after `shared`. The program itself gets
      them after `shard`, as [M, K, B / num_shards, ...] on each device.
    """
    members, num_batches, size, *of_index = rows.shape
    count = len(self.devices)
    if self.splits_data:
      rows = rows.reshape(members, num_batches, count, size // count, *of_index)
      rows = np.moveaxis(rows, 2, 0)
    else:
      rows = self._by_devices(rows)

    def put(array: Gathered) -> jax.Array:
      def gather(index: Any) -> np.ndarray:
        return array[rows[index[0]]]

      shape = rows.shape[:4] + array.shape[1:]
      return jax.make_array_from_callback(shape, self._sharding[True], gather)

    return tuple(put(array) for array in arrays)

  def fetch_members(self, tree: Any) -> Any:
    """NumPy copies [M, ...] of what a mapped program returned.

    Copies, because a view of a CPU buffer would change in the next step, which
    reuses the state's memory.
    """
    return self.fetch_each([tree])

  def fetch_each(self, trees: Sequence[Any]) -> Any:
    """As `fetch_members`, of what a function of `map_each` returned."""

    def join(*leaves: jax.Array) -> np.ndarray:
      parts = [self._on_host(leaf) for leaf in leaves]
      array = np.concatenate(parts, axis=self._members_axis)
      if self.splits_data:
        return array
      return array.reshape(-1, *array.shape[2:])[: self.num_members]

    return jax.tree.map(join, *trees)

  @property
  def _members_axis(self) -> int:
    """Which axis of an array in this layout's form has the members."""
    return 0 if self.splits_data else 1

  def _on_host(self, leaf: jax.Array) -> np.ndarray:
    if self.splits_data:
      leaf = leaf.addressable_data(0)
    elif jax.process_count() > 1:
      leaf = multihost_utils.process_allgather(leaf, tiled=True)
    return np.asarray(leaf)

  def _mapped(self, program: Callable[..., Any], *, donate: bool) -> Any:
    members_axis = None if self.splits_data else 0
    return jax.pmap(
      lambda state, of_members, shared, of_shard: program(
        state, of_members, shared, *of_shard
      ),
      axis_name=_AXIS,
      in_axes=(members_axis, members_axis, None, 0),
      out_axes=members_axis,
      devices=self.devices,
      donate_argnums=(0,) if donate else (),
    )

  def lower(
    self,
    program: Callable[..., Any],
    state: Any,
    of_members: Any,
    shared: Any,
    *,
    donate: bool = False,
  ) -> jax.stages.Lowered:
    """The program of `map`, lowered for devices that need not be there.

    Args:
      program: see `map`.
      state: its argument, [M, ...]; arrays, or their shapes and types.
      of_members: as `state`.
      shared: as `state`, but without a member axis.
      donate: see `map`.
    """
    count = len(self.devices)

    def form(leaf: Any) -> jax.ShapeDtypeStruct:
      leaf = jax.eval_shape(jnp.asarray, leaf)
      if self.splits_data:
        return leaf
      size = self.members_on_each(leaf.shape[0])
      return jax.ShapeDtypeStruct((count, size, *leaf.shape[1:]), leaf.dtype)

    return self._mapped(program, donate=donate).lower(
      *jax.tree.map(form, (state, of_members)),
      shared,
      (jax.ShapeDtypeStruct((count,), np.int32),),
    )

  def map(
    self,
    program: Callable[..., Any],
    *,
    donate: bool = False,
    check: Callable[[int], None] | None = None,
  ) -> Callable[..., Any]:
    """Spreads `program(state, of_members, shared, shard)` over the devices.

    Args:
      program: pure; `state`, `of_members` and all it returns have a leading
        member axis, `shard` is an int32 scalar below `num_shards`.
      donate: let the program reuse the memory of `state`.
      check: of its memory, see `memory.watched`.

    Returns:
      A compiled function of (state, of_members, shared) in this layout's form.
      It passes further arguments, from `put_batches`, on after `shard`.
    """
    mapped = self._mapped(program, donate=donate)
    if check is not None:
      mapped = memory.watched(mapped, check)
    shards = np.arange(len(self.devices), dtype=np.int32) * self.splits_data
    shards = jax.make_array_from_callback(
      shards.shape, self._sharding[True], lambda index: shards[index]
    )
    return lambda state, of_members, shared, *of_shards: mapped(
      state, of_members, shared, (shards, *of_shards)
    )

  def each(self, state: Any, of_members: Any) -> list[tuple[Any, Any]]:
    """Both for one member on each device after another; copies of several."""
    both = (state, of_members)
    places = range(jax.tree.leaves(both)[0].shape[self._members_axis])
    if len(places) == 1:
      return [both]
    return [self._pick(both, (), np.int32(place)) for place in places]

  @functools.cached_property
  def _pick(self) -> Callable[..., Any]:
    return self.map(lambda state, of_members, place, shard: _own(state, place))

  def map_each(
    self,
    program: Callable[..., Any],
    *,
    check: Callable[[int], None] | None = None,
  ) -> Callable[..., list[Any]]:
    """As `map`, but a call runs the program once for each member of a device.

    The program is that of a population of one, so that neither its compilation
    nor its memory grows with the members.

    Args:
      program: see `map`.
      check: see `map`.

    Returns:
      A function of what `each` returned, `shared` and further arguments, as the
      function of `map` takes them. `fetch_each` takes what it returns.
    """

    def of_member(*arguments: Any) -> Any:
      state, of_members, (shared, place), shard, *rest = arguments
      return program(state, of_members, shared, shard, *_own(rest, place))

    mapped = self.map(of_member, check=check)
    return lambda each, shared, *of_shards: [
      mapped(*member, (shared, np.int32(place)), *of_shards)
      for place, member in enumerate(each)
    ]


def _own(tree: Any, place: jax.Array) -> Any:
  """What one member has of arrays with a member axis."""
  return jax.tree.map(lambda x: lax.dynamic_slice_in_dim(x, place, 1), tree)


def layout(name: str, num_devices: int) -> Layout:
  """The layout of this name over the first `num_devices` devices; 0: all.

  Raises:
    ValueError: if there are fewer devices.
  """
  devices = jax.devices()
  if num_devices > len(devices):
    raise ValueError(
      f"{num_devices} devices requested, but only {len(devices)} are available"
    )
  return Layout(name, tuple(devices[: num_devices or len(devices)]))
