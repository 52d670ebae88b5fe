import pytest

from benchmarks.accelerators import hlo
from tests.benchmarks.accelerators import snippets


@pytest.fixture(scope="module")
def module():
  return hlo.parse(snippets.TPU)


def test_a_module_has_its_computations_and_entry(module):
  assert module.entry == "main"
  assert [*module.computations] == [
    "fused", "chosen", "inner_body", "inner_condition", "body", "sum",
    "condition", "main",
  ]  # fmt: skip
  assert [x.kind for x in module.computations["fused"].values()] == [
    "parameter",
    "add",
  ]


def test_an_instruction_has_its_parts(module):
  fusion = module.by_name["fusion.2"]
  assert fusion.kind == "fusion"
  assert fusion.operands == ("x", "order")
  assert fusion.called == ("chosen",)
  assert fusion.op_name == "jit(f)/batch/gather"
  assert fusion.attribute("estimated_cycles") == "3"
  assert fusion.attribute("nothing") == ""
  loop = module.by_name["while.1"]
  assert loop.operands == ("tuple.2",)
  assert loop.attribute("condition") == "inner_condition"
  assert [array.sizes for array in loop.arrays] == [(), (8, 28)]
  call = hlo.parse(snippets.GPU).by_name["conv.1"]
  assert call.attribute("custom_call_target") == "__cudnn$convForward"


@pytest.mark.parametrize(
  ("shape", "plain", "padded", "space"),
  [
    ("f32[8,28]{1,0:T(8,128)}", 8 * 28 * 4, 8 * 128 * 4, 0),
    # The axis of 9 is the fastest in memory.
    ("f32[9,28]{0,1:T(8,128)S(1)}", 9 * 28 * 4, 32 * 128 * 4, 1),
    ("bf16[3,7,7,12]{0,3,2,1:T(8,128)(2,1)}", 3528, 7 * 7 * 16 * 128 * 2, 0),
    ("u8[5]{0:T(128)}", 5, 128, 0),
    ("pred[]{:T(512)}", 1, 1, 0),
    ("f32[2,3]{1,0}", 24, 24, 0),
    ("f32[7]{0:T(8,128)}", 28, 8 * 128 * 4, 0),
  ],
)
def test_sizes_with_and_without_the_padding_of_tiles(
  shape, plain, padded, space
):
  text = f"ENTRY %m (x: {shape}) -> {shape} {{\n  %x = {shape} parameter(0)\n}}"
  [x] = hlo.parse(text).computations["m"].values()
  assert (x.bytes, x.padded_bytes) == (plain, padded)
  assert x.arrays[0].memory_space == space


def test_a_tuple_has_the_bytes_of_its_parts(module):
  assert module.by_name["while.2"].bytes == 4 + 8 * 28 * 4 + 4


def test_turns_of_a_loop_are_the_constant_of_its_condition(module):
  assert module.turns(module.by_name["while.1"]) == 50
  assert module.turns(module.by_name["while.2"]) is None


def test_what_is_inside_a_fusion(module):
  inside = module.inside(module.by_name["fusion.2"])
  assert [x.name for x in inside] == ["param_0.2", "param_1.2", "gather.1"]


def test_refuses_another_text():
  with pytest.raises(ValueError, match="no compiled HLO"):
    hlo.parse("module @jit_f {\n}\n")
