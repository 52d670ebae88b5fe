import dataclasses

import pytest

from sr2_jax.records import rows as rows_lib
from sr2_jax.report.paper import budgets
from sr2_jax.report.paper import estimates as estimates_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values
from tests import paper_world

SR2, CONTROL, FSRCNN, BICUBIC = (
  paper_values.subject(method, 4)
  for method in ("sr2_fsrcnn", "sr_continued_fsrcnn", "fsrcnn", "bicubic")
)


def _write(folder, subject, budget, *, seeds, value=0.8, step=None):
  """Rows of one run after some epochs; later ones are a tenth better."""
  paper_world.write_run(
    folder,
    subject.method,
    paper_world.constant(value),
    seeds=seeds,
    budget=budget,
    step=step or 100 * (budget[1] or budget[0]),
    arrays=False,
  )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
  """SR2 after 1 and 3 epochs of `joint`, its control, another run of it."""
  folder = tmp_path_factory.mktemp("runs")
  _write(folder / "base", FSRCNN, (4, None), seeds=(0, 1, 2), value=0.5)
  for epochs in (1, 3):
    at = 0.7 + 0.05 * epochs
    _write(folder / "a", SR2, (4, epochs), seeds=(0, 1, 2), value=at)
    _write(folder / "b", CONTROL, (4, epochs), seeds=(0, 1), value=at - 0.02)
  _write(folder / "long", SR2, (9, 9), seeds=(0, 1, 2, 3), value=0.99)
  paper_world.write_run(folder / "c", "bicubic", lambda *_: 0.3, arrays=False)
  return measurements_lib.read(folder, split="test")


def test_budgets_that_all_have_with_their_seeds(world):
  assert budgets.shared(world, [SR2, CONTROL]) == {
    (4, 1): {0, 1}, (4, 3): {0, 1},
  }  # fmt: skip
  assert budgets.shared(world, [SR2, FSRCNN]) == {
    (4, 1): {0, 1, 2}, (4, 3): {0, 1, 2},
  }  # fmt: skip
  assert budgets.shared(world, [FSRCNN, BICUBIC]) == {(4, None): {0, 1, 2}}
  assert budgets.shared(world, [BICUBIC]) == {}
  assert (9, 9) in budgets.shared(world, [SR2, BICUBIC])


def test_what_is_compared_has_the_longest_budget_that_all_have(world):
  for others in ([CONTROL], [FSRCNN], [CONTROL, FSRCNN, BICUBIC]):
    alike = budgets.alike(world, [SR2, *others])
    assert {subject.budget for subject in alike} == {(4, 3)}
  # Alone, it is the run with the most seeds.
  assert budgets.alike(world, [SR2])[0].budget == (9, 9)
  assert budgets.alike(world, [BICUBIC]) == [BICUBIC]


def test_a_difference_is_of_equal_budgets(world):
  terms = [
    estimates_lib.Term(weight, subject, "ssim", rows_lib.Condition())
    for weight, subject in ((1.0, SR2), (-1.0, CONTROL))
  ]
  found = estimates_lib.estimate(world, terms)
  assert found.value == pytest.approx(0.02)
  assert found.seeds == (0, 1)


def test_networks_of_other_epochs_are_not_compared(tmp_path):
  _write(tmp_path / "a", SR2, (4, 1), seeds=(0, 1))
  _write(tmp_path / "b", CONTROL, (4, 3), seeds=(0, 1))
  world = measurements_lib.read(tmp_path, split="test")
  assert budgets.alike(world, [SR2, CONTROL]) is None
  terms = [
    estimates_lib.Term(weight, subject, "ssim", rows_lib.Condition())
    for weight, subject in ((1.0, SR2), (-1.0, CONTROL))
  ]
  assert estimates_lib.estimate(world, terms) is None
  assert "not compared" in world.notes[0]


def test_rows_that_do_not_say_their_epochs_are_of_one_budget(tmp_path):
  for subject in (SR2, CONTROL, FSRCNN):
    _write(tmp_path / subject.method, subject, (4, 1), seeds=(0, 1))
  rows = [
    rows_lib.Row(**(vars(row) | {"epochs": None, "pretrain_epochs": None}))
    for row in rows_lib.read(tmp_path)
  ]
  rows_lib.merge(tmp_path / "old.jsonl", rows)
  world = measurements_lib.read(tmp_path / "old.jsonl", split="test")
  alike = budgets.alike(world, [SR2, CONTROL, FSRCNN])
  assert {subject.budget for subject in alike} == {(None, None)}
  assert all(subject in world for subject in alike)


def test_a_budget_in_words():
  assert budgets.text((30, 10)) == "30 + 10"
  assert budgets.text((30.5, None)) == "30.5"
  assert budgets.text((None, None)) == ""


def test_a_baseline_is_of_the_budget_that_it_starts(world):
  assert world.budgets(FSRCNN) == {(4, None): {0, 1, 2}}
  pinned = dataclasses.replace(FSRCNN, budget=(4, 3))
  assert pinned in world
  assert dataclasses.replace(FSRCNN, budget=(9, 9)) not in world


def test_how_long_a_subject_was_trained(world, tmp_path):
  assert budgets.describe(world, SR2) == "9 + 9"
  assert budgets.describe(world, FSRCNN) == "4"
  assert budgets.describe(world, BICUBIC) == "—"
  rows = [
    rows_lib.Row(**(vars(row) | {"epochs": None, "pretrain_epochs": None}))
    for row, _ in world.rows
    if row.method in ("fsrcnn", "sr_continued_fsrcnn")
  ]
  rows_lib.merge(tmp_path / "old.jsonl", rows)
  old = measurements_lib.read(tmp_path / "old.jsonl", split="test")
  assert budgets.describe(old, FSRCNN) == "400 steps"
  assert budgets.describe(old, CONTROL) == "… + 300 steps"
  assert budgets.describe(old, SR2) == "—"
