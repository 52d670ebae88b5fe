"""Cases that have found something, and some that are drawn.

`python -m tests.fuzz --minutes=60` draws more.
"""

import pytest

from tests.fuzz import cases, draws, oracle, targets

# Of each target; those that open a run take ten times as long.
_MANY, _FEW = 12, 4
_SLOW = ("finished", "resume", "evaluate", "init_from", "carried")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
  folder = tmp_path_factory.mktemp("fuzz")
  # Longer than any machine takes: only what would wait forever is cut off.
  return oracle.World(folder, targets.TARGETS, limit=60)


@pytest.mark.parametrize(
  "case", cases.kept(), ids=lambda case: f"{case.target}: {case.why}"
)
def test_a_case_that_has_found_something(world, case):
  problem = world.play(case)
  assert problem is None, f"{problem.kind}\n{problem.details}"


@pytest.mark.parametrize("name", targets.TARGETS)
def test_drawn_cases(world, name):
  for number in range(_FEW if name in _SLOW else _MANY):
    case = draws.case(world, targets.TARGETS, name, 0, number)
    problem = world.play(case)
    assert problem is None, f"{case}\n{problem.kind}\n{problem.details}"


def test_every_target_has_a_case_that_is_kept():
  assert {case.target for case in cases.kept()} <= targets.TARGETS.keys()
