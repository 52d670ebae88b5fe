import pytest

from launch import emulation
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


@pytest.mark.parametrize("sizes", ["", "2", "2x2", "0x1x1", "1x1x65", "axbxc"])
def test_mistake(sizes):
  with pytest.raises(errors.UserError, match="as in emulate:2x2x2"):
    emulation.parse(f"emulate:{sizes}")
