"""The slices of a Ray cluster that a run can have, from its nodes' labels."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from launch import slices

SLICE, WORKER, TOPOLOGY, TYPE = (
  "ray.io/tpu-slice-name",
  "ray.io/tpu-worker-id",
  "ray.io/tpu-topology",
  "ray.io/accelerator-type",
)
_NODE = "ray.io/node-id"


@dataclasses.dataclass(frozen=True)
class Seat:
  """What one run can have.

  Attributes:
    name: of the slice, or part of one.
    nodes: ids of its hosts, by number of the process.
    bundles: the resources of each host.
    selectors: labels that each host has.
  """

  name: str
  nodes: tuple[str, ...]
  bundles: list[dict[str, float]]
  selectors: list[dict[str, str]]

  def has_room(self, left: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether no host lacks what a run needs.

    Args:
      left: resources that nobody has taken, by node. Where a node is not named,
        they are not known.
    """
    return all(
      left[node].get(kind, 0.0) >= amount
      for node, bundle in zip(self.nodes, self.bundles, strict=True)
      if node in left
      for kind, amount in bundle.items()
    )


def find(
  nodes: Sequence[Mapping[str, Any]], slice_: slices.Slice
) -> tuple[list[Seat], list[str]]:
  """The seats on whole slices, and slices that lack hosts, in words.

  Args:
    nodes: of the cluster, as `ray.nodes` gives them.
    slice_: that a run gets.
  """
  alive = [node for node in nodes if node["Alive"]]
  if slice_.is_of_gpus:
    seats = _on_gpus(alive, slice_)
    return seats, [] if seats else [_others(alive, slice_)]
  kind = slices.ray_type(slice_.accelerator)
  by_name: dict[str, dict[int, Mapping[str, Any]]] = {}
  for node in alive:
    labels = node["Labels"]
    if labels.get(TOPOLOGY) == slice_.topology and labels.get(TYPE) == kind:
      name = labels.get(SLICE) or node["NodeID"]
      by_name.setdefault(name, {})[int(labels.get(WORKER) or 0)] = node
  seats, broken = [], []
  for name, hosts in sorted(by_name.items()):
    in_order = [hosts[i] for i in sorted(hosts)]
    chips = [node["Resources"].get("TPU", 0) for node in in_order]
    if chips != [slice_.chips_per_host] * slice_.hosts:
      broken.append(f"{name} has {len(hosts)} of {slice_.hosts} hosts")
      continue
    seats += _on_slice(name, in_order, slice_)
  if not by_name:
    broken.append(_others(alive, slice_))
  return seats, broken


def _others(nodes: Sequence[Mapping[str, Any]], slice_: slices.Slice) -> str:
  """That there is no such slice, and what there is: perhaps a slip."""
  labels = [node["Labels"] for node in nodes if node["Labels"].get(TYPE)]
  kinds = {f"{of[TYPE]} {of.get(TOPOLOGY, '')}".strip() for of in labels}
  there = ", ".join(sorted(kinds)) or "no accelerators"
  return f"none is {slice_.name}; the cluster has {there}"


def _on_slice(
  name: str, hosts: Sequence[Mapping[str, Any]], slice_: slices.Slice
) -> list[Seat]:
  selectors = [
    {k: host["Labels"][k] for k in (SLICE, WORKER) if k in host["Labels"]}
    for host in hosts
  ]
  nodes = tuple(host["NodeID"] for host in hosts)
  if not slice_.cut:
    bundle = {"TPU": float(slice_.chips_per_host), "CPU": 1.0}
    return [Seat(name, nodes, [dict(bundle) for _ in hosts], selectors)]
  # The number counts runs. Which chips one gets is Ray's to say: others may
  # have taken any of them.
  bundle = {"TPU": float(slice_.chips), "CPU": 1.0}
  return [
    Seat(f"{name}/{i}", nodes, [bundle], selectors)
    for i in range(slice_.num_parts)
  ]


def _on_gpus(
  nodes: Sequence[Mapping[str, Any]], slice_: slices.Slice
) -> list[Seat]:
  seats = []
  for node in sorted(nodes, key=lambda node: node["NodeID"]):
    # As in "A100" or "A100-40G"; "GB200" is no B200, and "L40S" no L4.
    kind = str(node["Labels"].get(TYPE, "")).lower()
    if kind != slice_.accelerator and not kind.startswith(
      f"{slice_.accelerator}-"
    ):
      continue
    count = int(node["Resources"].get("GPU", 0)) // slice_.chips
    bundle = {"GPU": float(slice_.chips), "CPU": 1.0}
    selector = {_NODE: node["NodeID"]}
    name = node.get("NodeName") or node["NodeID"][:8]
    seats += [
      Seat(f"{name}-{node['NodeID'][:6]}/{i}", (node["NodeID"],), [bundle],
           [selector])
      for i in range(count)
    ]  # fmt: skip
  return seats
