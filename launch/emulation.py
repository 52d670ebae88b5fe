"""A Ray cluster that is not there: raylets of this machine, as TPU hosts.

Each host is a real raylet, and its chips are virtual CPU devices. It shows
neither libtpu, nor the network of the chips, nor speed.
"""

import os
import re
from typing import Any

from launch import seats, slices
from sr2_jax import errors

_WORD = "emulate:"
# Ray takes 127.0.0.1 for the machine's own address, and then never finds it.
_ADDRESS = "127.0.0.2"
_BYTES = 80 * 2**20
_MOST = 64


def is_emulated(address: str) -> bool:
  """Whether an address asks for an emulated cluster."""
  return address.startswith(_WORD)


def parse(address: str) -> tuple[int, slices.Slice]:
  """The number of slices, and the slice, of "emulate:SLICESxHOSTSxCHIPS".

  Raises:
    UserError: if it has another form.
  """
  sizes = re.fullmatch(r"(\d{1,2})x(\d{1,2})x(\d{1,2})", address[len(_WORD) :])
  numbers = [int(size) for size in sizes.groups()] if sizes else [0]
  if not all(1 <= number <= _MOST for number in numbers):
    raise errors.UserError(
      "--address has to be emulate:SLICESxHOSTSxCHIPS, as in emulate:2x2x2, "
      f'not "{address}".'
    )
  count, hosts, chips = numbers
  return count, slices.emulated(hosts, chips)


def variables(slice_: slices.Slice) -> dict[str, str]:
  """What makes JAX take virtual CPU devices for chips."""
  return {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": str(slice_.chips_per_host),
  }


class Cluster:
  """A running emulated cluster.

  Attributes:
    address: of its head.
  """

  def __init__(self, slice_: slices.Slice, num_slices: int) -> None:
    # Nobody else reaches it.
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Workers of Ray, and with them the runs, would be nice to everybody else.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    from ray import cluster_utils  # pyright: ignore[reportMissingImports]

    self._slice = slice_
    head = {
      "num_cpus": 0,
      "node_ip_address": _ADDRESS,
      "include_dashboard": False,
      "object_store_memory": _BYTES,
    }
    self.cluster = cluster_utils.Cluster(
      initialize_head=True, head_node_args=head
    )
    self.address = self.cluster.address
    self.nodes: dict[str, list[Any]] = {}
    for number in range(num_slices):
      self.add(f"slice-{number}")

  def add(self, name: str, *, only: int | None = None) -> None:
    """Adds a slice, or only one of its hosts."""
    hosts = range(self._slice.hosts) if only is None else [only]
    for index in hosts:
      node = self.cluster.add_node(
        num_cpus=2,
        resources={"TPU": self._slice.chips_per_host},
        labels={
          seats.SLICE: name,
          seats.WORKER: str(index),
          seats.TOPOLOGY: self._slice.topology,
          seats.TYPE: slices.ray_type(self._slice.accelerator),
        },
        node_ip_address=_ADDRESS,
        object_store_memory=_BYTES,
      )
      self.nodes.setdefault(name, []).append(node)

  def close(self) -> None:
    """Ends every raylet."""
    self.cluster.shutdown()
