import pytest

from launch import emulation, slices
from sr2_jax import errors


def test_addresses():
  assert not emulation.is_emulated("auto")
  assert emulation.is_emulated("emulate:2x2x2")
  count, slice_ = emulation.parse("emulate:3x2x4")
  assert (count, slice_.hosts, slice_.chips) == (3, 2, 8)
  assert slice_.platform == "cpu"
  assert emulation.variables(slice_) == {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "4",
  }


def test_parts_of_a_host():
  count, slice_ = emulation.parse("emulate:1x1x8", cut="2x2")
  assert (count, slice_.chips, slice_.num_parts) == (1, 4, 2)
  assert emulation.variables(slice_)["JAX_NUM_CPU_DEVICES"] == "4"


def test_gpus():
  assert emulation.is_emulated("emulate-gpu:2x8")
  count, slice_ = emulation.parse("emulate-gpu:2x8")
  assert (count, slice_.hosts, slice_.chips) == (2, 1, 8)
  assert (slice_.name, slice_.platform) == ("emulated-gpux8", "cpu")
  assert slice_.is_of_gpus
  count, slice_ = emulation.parse("emulate-gpu:2x8", gpus=1)
  assert (count, slice_.chips) == (2, 1)
  assert emulation.variables(slice_)["JAX_NUM_CPU_DEVICES"] == "1"


@pytest.mark.parametrize("sizes", ["", "2", "2x2", "0x1x1", "1x1x65", "axbxc"])
def test_mistake(sizes):
  with pytest.raises(errors.UserError, match="as in emulate:2x2x2"):
    emulation.parse(f"emulate:{sizes}")


@pytest.mark.parametrize("sizes", ["", "2", "2x2x2", "0x1", "1x65", "axb"])
def test_mistake_in_gpus(sizes):
  with pytest.raises(errors.UserError, match="as in emulate-gpu:2x4"):
    emulation.parse(f"emulate-gpu:{sizes}")


@pytest.mark.parametrize(
  ("address", "given", "expected"),
  [
    ("emulate-gpu:1x2", {"gpus": 3}, "has 2"),
    ("emulate-gpu:1x2", {"cut": "2x2"}, "--cut goes with TPUs"),
    ("emulate:1x1x2", {"gpus": 1}, "goes with emulate-gpu"),
    ("emulate:1x1x2", {"cut": "2x2"}, "cut into 1x1"),
    ("emulate:1x2x8", {"cut": "2x2"}, "one host; emulated 2x8 has 2"),
  ],
)
def test_what_does_not_go_together(address, given, expected):
  with pytest.raises(errors.UserError, match=expected):
    emulation.parse(address, **given)


def test_a_cluster_that_does_not_start(monkeypatch):
  def too_slow(*_, **__):
    raise Exception("The node timed out.\nSee the logs.")

  monkeypatch.setattr(emulation, "Cluster", too_slow)
  with pytest.raises(errors.UserError) as caught:
    emulation.start("emulate-gpu:1x2", slices.emulated_gpus(1))
  assert str(caught.value) == (
    "--address=emulate-gpu:1x2: there is no Ray cluster (The node timed out.)."
  )
