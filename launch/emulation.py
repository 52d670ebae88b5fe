"""A Ray cluster that is not there: raylets of this machine, as its hosts.

Each host is a real raylet, and its chips are virtual CPU devices. It shows
neither libtpu nor CUDA, nor the network of the chips, nor speed.
"""

import contextlib
import os
import re
import signal
import threading
from collections.abc import Iterator
from typing import Any

from launch import address as address_lib
from launch import seats, slices
from sr2_jax import errors

# Each word, what its sizes are, and an example.
_FORMS = {
  "emulate:": ("SLICESxHOSTSxCHIPS", "2x2x2"),
  "emulate-gpu:": ("NODESxGPUS", "2x4"),
}
# Ray takes 127.0.0.1 for the machine's own address, and then never finds it.
_ADDRESS = "127.0.0.2"
_BYTES = 80 * 2**20
_MOST = 64


def is_emulated(address: str) -> bool:
  """Whether an address asks for an emulated cluster."""
  return address.startswith(tuple(_FORMS))


def parse(
  address: str, *, gpus: int = 0, cut: str = ""
) -> tuple[int, slices.Slice]:
  """The number of slices or nodes of an address, and what a run gets of them.

  Args:
    address: "emulate:SLICESxHOSTSxCHIPS" or "emulate-gpu:NODESxGPUS".
    gpus: of a node that a run gets; 0 is all.
    cut: the part of a host that a run gets.

  Raises:
    UserError: if it has another form, or does not go with the rest.
  """
  sizes, numbers = _sizes(address)
  if sizes == "NODESxGPUS":
    if cut:
      raise errors.UserError("--cut goes with TPUs, not with emulate-gpu.")
    if gpus > numbers[1]:
      raise errors.UserError(
        f"--gpus={gpus}: each node of {address} has {numbers[1]}."
      )
    return numbers[0], slices.emulated_gpus(gpus or numbers[1])
  if gpus:
    raise errors.UserError("--gpus goes with emulate-gpu:NODESxGPUS.")
  count, hosts, chips = numbers
  return count, slices.emulated(hosts, chips, cut)


def _sizes(address: str) -> tuple[str, list[int]]:
  """What the numbers of an address are, and the numbers."""
  word = f"{address.partition(':')[0]}:"
  sizes, example = _FORMS[word]
  pattern = "x".join([r"(\d{1,2})"] * (sizes.count("x") + 1))
  found = re.fullmatch(pattern, address.removeprefix(word))
  numbers = [int(size) for size in found.groups()] if found else [0]
  if not all(1 <= number <= _MOST for number in numbers):
    raise errors.UserError(
      f"--address has to be {word}{sizes}, as in {word}{example}, each from 1 "
      f'to {_MOST}, not "{address}".'
    )
  return sizes, numbers


def variables(slice_: slices.Slice) -> dict[str, str]:
  """What makes JAX take virtual CPU devices for chips."""
  return {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": str(slice_.chips // slice_.hosts),
  }


class Cluster:
  """A running emulated cluster.

  Args:
    slice_: that each run gets.
    num_slices: slices, or nodes with GPUs.
    gpus: of a node; 0 is what a run gets.

  Attributes:
    address: of its head.
    nodes: raylets of each slice or node.
  """

  def __init__(
    self, slice_: slices.Slice, num_slices: int, *, gpus: int = 0
  ) -> None:
    # Nobody else reaches it.
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Workers of Ray, and with them the runs, would be nice to everybody else.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    # Each raylet would take this machine's memory for its own, and all of them
    # would kill a run where one is too many.
    os.environ["RAY_memory_monitor_refresh_ms"] = "0"  # noqa: SIM112
    from ray import cluster_utils  # pyright: ignore[reportMissingImports]

    self._slice, self._gpus = slice_, gpus or slice_.chips_per_host
    head = {
      "num_cpus": 0,
      "node_ip_address": _ADDRESS,
      "include_dashboard": False,
      "object_store_memory": _BYTES,
    }
    with _sigterm_stays():
      self.cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args=head
      )
    self.address = self.cluster.address
    self.nodes: dict[str, list[Any]] = {}
    kind = "node" if slice_.is_of_gpus else "slice"
    for number in range(num_slices):
      self.add(f"{kind}-{number}")

  def add(self, name: str, *, only: int | None = None) -> None:
    """Adds a slice, or only one of its hosts; or a node with GPUs."""
    hosts = range(self._slice.hosts) if only is None else [only]
    for index in hosts:
      kind = (
        self._as_node()
        if self._slice.is_of_gpus
        else self._as_host(index, name)
      )
      with _sigterm_stays():
        node = self.cluster.add_node(
          num_cpus=2 + self._gpus,
          **kind,
          node_ip_address=_ADDRESS,
          object_store_memory=_BYTES,
        )
      self.nodes.setdefault(name, []).append(node)

  def _as_host(self, index: int, name: str) -> dict[str, Any]:
    """What makes a raylet a host of a slice."""
    labels = {
      seats.SLICE: name,
      seats.WORKER: str(index),
      seats.TOPOLOGY: self._slice.topology,
      seats.TYPE: slices.ray_type(self._slice.accelerator),
    }
    resources = {"TPU": self._slice.chips_per_host}
    return {"resources": resources, "labels": labels}

  def _as_node(self) -> dict[str, Any]:
    """What makes a raylet a node with GPUs."""
    labels = {seats.TYPE: self._slice.accelerator}
    return {"num_gpus": self._gpus, "labels": labels}

  def close(self) -> None:
    """Ends every raylet."""
    self.cluster.shutdown()


@contextlib.contextmanager
def _sigterm_stays() -> Iterator[None]:
  """Puts back the handler of SIGTERM, which Ray takes with each raylet."""
  before = signal.getsignal(signal.SIGTERM)
  try:
    yield
  finally:
    if threading.current_thread() is threading.main_thread():
      signal.signal(signal.SIGTERM, before)


def start(address: str, slice_: slices.Slice) -> Cluster:
  """Starts the cluster of an address, whose runs get such slices.

  Raises:
    UserError: if it does not start, as on a busy machine.
  """
  count, whole = parse(address)
  try:
    return Cluster(slice_, count, gpus=whole.chips_per_host)
  except Exception as error:  # Ray has no class for a raylet that is too slow.
    raise address_lib.nobody(address, error) from error
