import pathlib

import pytest

from sr2_jax.records import rows as rows_lib
from sr2_jax.report.paper import sources
from tests import result_rows

NOISE = rows_lib.Condition(1e-4)


def _rows(experiment, *, seeds=(0,), **changes):
  return [
    (
      result_rows.row(
        experiment=experiment, seed=seed, noise_variance=1e-4, **changes
      ),
      pathlib.Path("runs") / experiment / "results.jsonl",
    )
    for seed in seeds
  ]


def _ranked(*groups, l2=None):
  rows = [row for group in groups for row in group]
  return [x.experiment for x in sources.ranked(rows, l2=l2)]


def test_a_source_holds_each_seeds_last_step():
  old = _rows("a", step=100, value=0.1)
  new = _rows("a", seeds=(0, 1), step=200, value=0.9)
  [source] = sources.ranked([*old, *new, *old], l2=None)
  rows = source.at("ssim", rows_lib.Condition(1e-4 + 1e-12))
  assert {seed: row.value for seed, row in rows.items()} == {0: 0.9, 1: 0.9}
  assert source.steps == {0: 200, 1: 200}
  assert source.folders[1] == pathlib.Path("runs/a")
  assert source.at("f1", NOISE) == source.at("ssim", rows_lib.Condition()) == {}


def test_of_one_run_the_longest_training_with_all_its_seeds_counts():
  groups = [
    _rows("a", seeds=seeds, step=step, epochs=epochs, pretrain_epochs=4)
    for seeds, step, epochs in (
      ((0, 1), 100, 1), ((0, 1), 300, 3), ((0,), 900, 9),
    )
  ]  # fmt: skip
  found = sources.ranked([row for rows in groups for row in rows], l2=None)
  assert [x.budget for x in found] == [(4, 3), (4, 1), (4, 9)]
  # Other epochs of a run are no other run.
  assert sources.names_of(found) == ["`a`"]


def test_more_seeds_then_more_images_then_the_first_rows_rank_first():
  one, two = _rows("one"), _rows("two", seeds=(1, 2))
  many, other = _rows("many", n=9000), _rows("other")
  assert _ranked(one, two, many, other) == ["two", "many", "one", "other"]
  assert _ranked(other, one) == ["other", "one"]


@pytest.mark.parametrize("l2", [0.01, None])
def test_the_preferred_l2_ranks_first_and_rows_without_l2_match_it(l2):
  strong = _rows("strong", seeds=(0, 1, 2), l2=0.1)
  assert _ranked(strong, _rows("mine", l2=l2), l2=0.01) == ["mine", "strong"]
  assert _ranked(strong, _rows("mine", l2=l2)) == ["strong", "mine"]


def test_names_have_the_l2_where_it_differs():
  a, b = _rows("a", l2=0.1), _rows("b", l2=None)
  assert sources.names_of(sources.ranked([*a, *b], l2=None)) == [
    "`a` with L2 0.1", "`b` with L2 unknown",
  ]  # fmt: skip
  assert sources.names_of(sources.ranked(a, l2=None)) == ["`a`"]
