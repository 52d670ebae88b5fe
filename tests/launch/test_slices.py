import pytest

from launch import slices
from sr2_jax import errors


@pytest.mark.parametrize(
  ("accelerator", "topology", "hosts", "chips", "gce"),
  [
    ("v5e", "1x1", 1, 1, "v5litepod-1"),
    ("v5e", "2x4", 1, 8, "v5litepod-8"),
    ("v5e", "2x8", 4, 16, "v5litepod-16"),
    ("v5e", "16x16", 64, 256, "v5litepod-256"),
    ("v6e", "4x4", 4, 16, "v6e-16"),
    # These types count cores.
    ("v4", "2x2x1", 1, 4, "v4-8"),
    ("v4", "2x2x2", 2, 8, "v4-16"),
    ("v5p", "4x4x4", 16, 64, "v5p-128"),
  ],
)
def test_slices_of_tpus(accelerator, topology, hosts, chips, gce):
  found = slices.find(accelerator, topology)
  assert (found.hosts, found.chips, found.gce_type) == (hosts, chips, gce)
  assert found.name == f"{accelerator}-{topology}"
  assert found.platform == "tpu"
  assert found.num_parts == 1


def test_every_topology_fills_its_hosts():
  for name, tpu in slices.TPUS.items():
    for topology in tpu.topologies:
      found = slices.find(name, topology)
      assert found.hosts * found.chips_per_host == found.chips
      assert found.chips_per_host in (1, 4, 8)
      assert slices.smallest(name, found.chips)


def test_eight_chips_of_one_host_or_two():
  assert slices.find("v5e", "2x4", chips_per_host=4).hosts == 2
  assert slices.find("v5e", "2x4", chips_per_host=8).hosts == 1
  with pytest.raises(errors.UserError, match="have 8 or 4"):
    slices.find("v5e", "2x4", chips_per_host=2)
  with pytest.raises(errors.UserError, match="have 4"):
    slices.find("v4", "2x2x2", chips_per_host=8)


def test_names_as_people_type_them():
  assert slices.find("V5E", "2x2") == slices.find("v5litepod", "2x2")
  assert slices.TPUS["v5e"].ray == "TPU-V5LITEPOD"


def test_gpus_of_a_node():
  found = slices.find("h100", gpus=8)
  assert (found.hosts, found.chips, found.name) == (1, 8, "h100x8")
  assert found.platform == "gpu"


def test_parts_of_a_host():
  found = slices.find("v5e", "2x4", cut="2x2")
  assert (found.chips, found.num_parts, found.name) == (4, 2, "v5e-2x4/2x2")
  assert found.variables([4, 5, 6, 7]) == {
    "TPU_VISIBLE_CHIPS": "4,5,6,7",
    "TPU_CHIPS_PER_PROCESS_BOUNDS": "2,2,1",
    "TPU_PROCESS_BOUNDS": "1,1,1",
    "TPU_PROCESS_ADDRESSES": "localhost:8477",
    "TPU_PROCESS_PORT": "8477",
    "CLOUD_TPU_TASK_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
  }
  single = slices.find("v4", "2x2x1", cut="1x1")
  parts = [single.variables([chip]) for chip in range(single.num_parts)]
  seen = [part["TPU_VISIBLE_CHIPS"] for part in parts]
  assert seen == ["0", "1", "2", "3"]


def test_parts_do_not_meet():
  """As libtpu has to be told of processes that share a host."""
  slice_ = slices.find("v5e", "2x4", cut="1x1")
  parts = [slice_.variables([chip]) for chip in range(slice_.num_parts)]
  assert len(parts) == 8
  for name in (
    "TPU_VISIBLE_CHIPS",
    "TPU_PROCESS_PORT",
    "TPU_PROCESS_ADDRESSES",
  ):
    assert len({part[name] for part in parts}) == 8
  assert {part["TPU_PROCESS_BOUNDS"] for part in parts} == {"1,1,1"}


@pytest.mark.parametrize(
  "chips", [[1, 2, 3, 4], [2, 3, 4, 5], [0, 1, 2, 4], [0, 1, 2], []]
)
def test_chips_that_are_no_part(chips):
  assert slices.find("v5e", "2x4", cut="2x2").variables(chips) == {}


@pytest.mark.parametrize(
  ("arguments", "keywords", "expected"),
  [
    (("v5e", "3x5"), {}, "v5e has no topology 3x5; it has 1x1, 2x2, 2x4, 2x8"),
    (("v5e", "4x4x4"), {}, "v5e has no topology 4x4x4"),
    (("v5e", "16"), {}, "v5e has no topology 16;"),
    (("v5e",), {}, "--topology is missing"),
    (("v6e", "2x8"), {}, "v6e has no topology 2x8"),
    (("v5", "2x4"), {}, "Did you mean v5e or v5p?"),
    (("tpu", "2x4"), {}, "there are v4, v5e"),
    (("h100",), {}, "--gpus has to be from 1 to 16"),
    (("h100",), {"gpus": 17}, "not 17"),
    (("h100", "2x4"), {"gpus": 1}, "--topology goes with TPUs"),
    (("h100",), {"gpus": 8, "cut": "2x2"}, "--cut goes with TPUs"),
    (("v5e", "2x4"), {"gpus": 8}, "--gpus goes with GPUs"),
    (("v5e", "2x4"), {"cut": "2x4"}, "can be cut into 1x1 or 2x2"),
    (("v5e", "2x2"), {"cut": "2x2"}, "can be cut into 1x1."),
    (("v5e", "1x1"), {"cut": "1x1"}, "into no parts"),
    (("v5e", "4x4"), {"cut": "1x1"}, "slice of one host; v5e 4x4 has 4"),
  ],
)
def test_mistake(arguments, keywords, expected):
  with pytest.raises(errors.UserError) as caught:
    slices.find(*arguments, **keywords)
  assert expected in str(caught.value)
  assert "\n" not in str(caught.value)
