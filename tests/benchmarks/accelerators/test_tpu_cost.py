import pytest

from benchmarks.accelerators import tpu_cost
from tests.benchmarks.accelerators import snippets

# A cycle for each byte.
CHIP = tpu_cost.Chip("test", 1e9, bandwidth=1e6, clock=1e6)
ROW = 8 * 128 * 4  # bytes of f32[8,28] in memory


@pytest.fixture(scope="module")
def summary():
  return tpu_cost.summary(snippets.TPU, CHIP)


def test_cycles_of_a_step_count_all_turns_of_a_loop(summary):
  step = summary["step"]
  assert step["cycles"] == 100 + 40 + 50 * 7
  assert step["ops"] == 3
  assert step["loops"] == [
    {
      "op_name": "jit(f)/while/body/vmap(augmentation)/gather",
      "region": "augmentation",
      "turns": 50,
      "cycles": 7,
    }
  ]


def test_what_has_no_estimate_costs_its_bytes(summary):
  step, call = summary["step"], summary["call"]
  # Read and written once each.
  assert step["unestimated"] == {"all-reduce": [1, 2 * ROW, 2 * ROW]}
  assert step["floor_cycles"] == 2 * ROW
  # The fusion's own estimate of 3 is part of what its gather costs.
  assert call["unestimated"] == {"gather": [1, 2 * ROW, 2 * ROW]}
  assert call["cycles"] == 3
  assert call["floor_cycles"] == 2 * ROW - 3


def test_regions_and_kinds_add_up(summary):
  for section in (summary["step"], summary["call"]):
    total = section["cycles"] + section["floor_cycles"]
    assert sum(section["by_region"].values()) == total
    assert sum(section["by_kind"].values()) == total
  assert summary["step"]["by_region"]["backward"] == 140


def test_copies_and_padding(summary):
  step = summary["step"]
  assert step["copies"] == [1, 8 * 28 * 4, 40]
  assert step["transposes"] == [0, 0, 0]
  # The copy has its axis of 28 where tiles have 8, and 8 where they have 128.
  assert step["bytes"] == 3 * 8 * 28 * 4
  assert step["padded_bytes"] == 2 * ROW + 32 * 128 * 4
  assert step["collectives"] == {"all-reduce": [1, 8 * 28 * 4]}


def test_an_update_moves_only_what_it_updates():
  text = """ENTRY %m (x: f32[480,128], y: f32[8,128]) -> f32[480,128] {
  %x = f32[480,128]{1,0:T(8,128)} parameter(0)
  %y = f32[8,128]{1,0:T(8,128)S(1)} parameter(1)
  %i = s32[]{:T(128)} parameter(2)
  ROOT %u = f32[480,128]{1,0:T(8,128)} dynamic-update-slice(%x, %y, %i, %i)
}"""
  call = tpu_cost.summary(text, CHIP)["call"]
  assert call["unestimated"]["dynamic-update-slice"][1] == 2 * 8 * 128 * 4


def test_a_chip_reaches_its_published_peak():
  """Two FLOP for each cell of four matrix units and cycle."""
  for name, width, peak in (("v5e", 128, 197e12), ("v6e", 256, 918e12)):
    clock = tpu_cost.CHIPS[name].clock
    assert 2 * 4 * width**2 * clock == pytest.approx(peak, rel=0.01)


def test_a_program_without_a_loop_has_no_step():
  assert tpu_cost.summary(snippets.GPU, CHIP)["step"] == {}
