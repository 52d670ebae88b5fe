"""Slices among nodes, as `ray.nodes` lists them."""

from launch import seats, slices

V5E = slices.find("v5e", "2x4", chips_per_host=4)  # two hosts of four chips


def node(name, worker, *, chips=4, topology="2x4", alive=True, kind=None):
  return {
    "NodeID": f"{name}-{worker}",
    "Alive": alive,
    "Resources": {"TPU": chips, "CPU": 8.0},
    "Labels": {
      seats.SLICE: name,
      seats.WORKER: str(worker),
      seats.TOPOLOGY: topology,
      seats.TYPE: kind or "TPU-V5LITEPOD",
    },
  }


def test_processes_are_numbered_as_workers_are():
  nodes = [node("b", 1), node("a", 1), node("a", 0), node("b", 0)]
  found, broken = seats.find(nodes, V5E)
  assert [seat.name for seat in found] == ["a", "b"]
  assert found[0].nodes == ("a-0", "a-1")
  assert [s[seats.WORKER] for s in found[0].selectors] == ["0", "1"]
  assert found[0].bundles == [{"TPU": 4.0, "CPU": 1.0}] * 2
  assert broken == []


def test_room_for_a_run():
  seat = seats.Seat("a", ("n0", "n1"), [{"TPU": 4.0, "CPU": 1.0}] * 2, [{}] * 2)
  all_of_it = {"TPU": 4.0, "CPU": 8.0}
  assert seat.has_room({})
  assert seat.has_room({"n0": all_of_it, "n1": all_of_it, "n2": {}})
  assert not seat.has_room({"n0": all_of_it, "n1": {"CPU": 8.0}})
  assert not seat.has_room({"n0": {"TPU": 4.0, "CPU": 0.0}})


def test_slices_that_are_not_whole_and_others_are_never_used():
  nodes = [
    node("lost", 0),
    node("lost", 1, alive=False),
    node("flat", 0, topology="4x4"),
    node("flat", 1, topology="4x4"),
    node("v6e", 0, kind="TPU-V6E"),
    node("v6e", 1, kind="TPU-V6E"),
    node("chips", 0, chips=8),
    {"NodeID": "head", "Alive": True, "Resources": {"CPU": 1}, "Labels": {}},
  ]
  found, broken = seats.find(nodes, V5E)
  assert found == []
  assert broken == ["chips has 1 of 2 hosts", "lost has 1 of 2 hosts"]


def test_a_cluster_without_such_slices_is_told():
  head = {"NodeID": "head", "Alive": True, "Resources": {}, "Labels": {}}
  assert seats.find([head], V5E) == (
    [], ["none is v5e-2x4; the cluster has no accelerators"],
  )  # fmt: skip
  nodes = [head, node("a", 0, topology="4x4"), node("b", 0, kind="TPU-V6E")]
  assert seats.find(nodes, V5E)[1] == [
    "none is v5e-2x4; the cluster has TPU-V5LITEPOD 4x4, TPU-V6E 2x4"
  ]


def test_parts_of_a_host():
  slice_ = slices.find("v5e", "2x4", cut="2x2")
  found, _ = seats.find([node("a", 0, chips=8)], slice_)
  assert [seat.name for seat in found] == ["a/0", "a/1"]
  assert found[1].bundles == [{"TPU": 4.0, "CPU": 1.0}]


def test_gpus_of_nodes():
  def gpu_node(name, count, kind="H100"):
    return {
      "NodeID": name,
      "NodeName": "host",
      "Alive": True,
      "Resources": {"GPU": count},
      "Labels": {seats.TYPE: kind},
    }

  nodes = [gpu_node("n2", 8), gpu_node("n1", 8), gpu_node("n3", 8, "A100")]
  whole, _ = seats.find(nodes, slices.find("h100", gpus=8))
  assert [seat.nodes for seat in whole] == [("n1",), ("n2",)]
  others = [gpu_node("n1", 8, kind) for kind in ("GB200", "L40S", "")]
  for accelerator in ("b200", "l4"):
    found, [why] = seats.find(others, slices.find(accelerator, gpus=8))
    assert found == []
    assert why == f"none is {accelerator}x8; the cluster has GB200, L40S"
  large = [gpu_node("n1", 8, "A100-40G")]
  assert seats.find(large, slices.find("a100", gpus=8))[0]
  shared, _ = seats.find(nodes, slices.find("h100", gpus=3))
  assert len({seat.name for seat in shared}) == len(shared) == 4
  assert shared[0].bundles == [{"GPU": 3.0, "CPU": 1.0}]


def test_emulated_gpus():
  slice_ = slices.emulated_gpus(1)
  nodes = [
    {
      "NodeID": "abc",
      "Alive": True,
      "Resources": {"GPU": 2.0},
      "Labels": {seats.TYPE: slices.EMULATED_GPU},
    }
  ]
  found, _ = seats.find(nodes, slice_)
  assert [seat.bundles for seat in found] == [[{"GPU": 1.0, "CPU": 1.0}]] * 2
