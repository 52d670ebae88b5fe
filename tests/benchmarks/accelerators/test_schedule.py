import pytest

from benchmarks.accelerators import hlo, schedule
from tests.benchmarks.accelerators import snippets


@pytest.fixture(scope="module")
def plan():
  return schedule.of(hlo.parse(snippets.TPU))


def test_a_call_is_what_is_outside_the_loop_over_steps(plan):
  assert [x.instruction.name for x in plan.call] == ["fusion.2"]
  assert [(x.instruction.name, x.times) for x in plan.step] == [
    ("fusion.1", 1),
    ("copy.1", 1),
    ("fusion.9", 50),
    ("all-reduce.1", 1),
  ]


def test_regions_come_from_names_or_from_the_operand(plan):
  regions = {x.instruction.name: x.region for x in plan.step + plan.call}
  assert regions == {
    "fusion.2": "batch",
    "fusion.1": "backward",
    "copy.1": "backward",  # as what it copies
    "fusion.9": "augmentation",  # as the loop that it is in
    "all-reduce.1": schedule.OTHER,
  }


@pytest.mark.parametrize(
  ("op_name", "region"),
  [
    ("jit(f)/while/body/vmap(jvp(SR2))/classifier/conv", "forward"),
    ("jit(f)/while/body/vmap(jvp())/sub", "forward"),
    ("jit(f)/vmap(transpose(vmap(jvp(SR2))))/sr/mul", "backward"),
    ("jit(f)/while/body/vmap(optimizer)/add", "L2 and Adam"),
    ("jit(f)/while/body/vmap(degradation)/dot_general", "degradation"),
    ("jit(f)/vmap(SR2)/sr/conv", "forward"),
    ("jit(f)/batch_stats/mul", schedule.OTHER),
  ],
)
def test_a_region_by_name(op_name, region):
  instruction = hlo.Instruction(
    "x", "f32[]", "add", (), f', metadata={{op_name="{op_name}"}}'
  )
  assert schedule.region_of(instruction, {}) == region


def test_loops_of_a_step_with_their_turns(plan):
  assert not plan.loops["call"]
  [loop] = plan.loops["step"]
  assert (loop.turns, loop.region) == (50, "augmentation")
  assert [(x.instruction.name, x.times) for x in loop.runs] == [("fusion.9", 1)]


def test_collectives_by_kind(plan):
  found = schedule.collectives(plan.module, plan.step)
  assert found == {"all-reduce": [1, 8 * 28 * 4]}
  assert not schedule.collectives(plan.module, plan.call)


def test_a_started_collective_counts_its_result_once():
  shape = "f32[4]{0}"
  text = f"""ENTRY %m (x: {shape}) -> {shape} {{
  %x = {shape} parameter(0)
  %s = ({shape}, {shape}) all-gather-start(%x), dimensions={{0}}
  ROOT %d = {shape} all-gather-done(%s)
}}"""
  plan = schedule.of(hlo.parse(text))
  found = schedule.collectives(plan.module, plan.call)
  assert found == {"all-gather": [1, 16]}


def test_transfers_to_the_host_are_found(plan):
  assert not schedule.host_transfers(plan.module, plan.step)
  text = """ENTRY %m (x: f32[4]) -> token[] {
  %x = f32[4]{0} parameter(0)
  %t = token[] after-all()
  ROOT %o = token[] outfeed(%x, %t)
}"""
  other = schedule.of(hlo.parse(text))
  assert schedule.host_transfers(other.module, other.call) == 1
