import jax.numpy as jnp
import numpy as np
import pytest

from sr2_jax.records import rows as rows_lib
from sr2_jax.training import population


def test_expand_goes_seed_by_seed():
  members = population.expand((4, 5), (0.1, 0.0), (9.0, 0.11))
  assert members.seeds == (4, 4, 4, 4, 5, 5, 5, 5)
  assert members.l2s == (0.1, 0.1, 0.0, 0.0) * 2
  assert members.loss_weights == (9.0, 0.11) * 4
  assert members.size == 8
  assert members.members[2] == rows_lib.Member(seed=4, l2=0.0, loss_weight=9.0)


def test_arrays_have_zero_where_there_is_no_loss_weight():
  arrays = population.expand((4, 5), (0.1,), (None,)).arrays()
  assert arrays.seed.dtype == np.uint32
  assert arrays.l2.dtype == arrays.loss_weight.dtype == np.float32
  np.testing.assert_array_equal(arrays.l2, np.float32([0.1, 0.1]))
  np.testing.assert_array_equal(arrays.seed, [4, 5])
  np.testing.assert_array_equal(arrays.loss_weight, [0, 0])


def test_members_start_from_those_of_their_seed_and_l2():
  members = population.expand((4, 5), (0.1, 0.0), (9.0, 0.11))
  pretrained = population.expand((3, 4, 5), (0.0, 0.1, 1.0), (None,))
  for place, origin in enumerate(members.origins(pretrained)):
    assert members.seeds[place] == pretrained.seeds[origin]
    assert members.l2s[place] == pretrained.l2s[origin]


def test_members_of_any_l2_start_from_a_single_one():
  members = population.expand((4, 5), (0.1, 0.0), (9.0,))
  pretrained = population.expand((3, 4, 5), (1.0,), (None,))
  assert members.origins(pretrained) == [1, 1, 2, 2]


@pytest.mark.parametrize(
  ("seeds", "l2s"), [((3,), (0.1, 0.0)), ((4, 5), (0.1, 0.2))]
)
def test_members_without_an_origin(seeds, l2s):
  members = population.expand((4,), (0.1, 0.0), (9.0,))
  with pytest.raises(ValueError, match="not in list"):
    members.origins(population.expand(seeds, l2s, (None,)))


def test_take_one_drops_the_axis_and_several_keep_it():
  tree = {"a": np.arange(6).reshape(3, 2)}
  np.testing.assert_array_equal(population.take(tree, 1)["a"], [2, 3])
  np.testing.assert_array_equal(
    population.take(tree, [2, 0])["a"], [[4, 5], [0, 1]]
  )


def test_where_chooses_member_by_member():
  new = {"a": np.ones((2, 3)), "b": np.array([1.0, 1.0])}
  old = {"a": np.zeros((2, 3)), "b": np.array([0.0, 0.0])}
  chosen = population.where(np.array([False, True]), new, old)
  np.testing.assert_array_equal(chosen["a"], [[0, 0, 0], [1, 1, 1]])
  np.testing.assert_array_equal(chosen["b"], [0, 1])


def test_a_member_is_finite_if_all_its_numbers_are():
  tree = {"a": np.ones((4, 2, 3)), "b": np.ones(4, np.int32), "c": np.ones(4)}
  assert population.are_finite(tree).tolist() == [True] * 4
  tree["a"][1, 1, 2] = np.nan
  tree["c"][3] = -np.inf
  assert population.are_finite(tree).tolist() == [True, False, True, False]


def test_a_fingerprint_tells_a_bit():
  tree = {"a": np.ones((2, 3), np.float32), "b": np.arange(2)}
  first = population.fingerprint(tree)
  assert first == population.fingerprint({x: tree[x].copy() for x in tree})
  tree["a"][1, 2] = np.nextafter(np.float32(1), np.float32(2))
  assert population.fingerprint(tree) != first


@pytest.mark.parametrize(
  ("l2s", "loss_weights", "expected"),
  [
    ((0.01,), (9.0,), ("seed_3", "seed_4")),
    ((0.01,), (None,), ("seed_3", "seed_4")),
    (
      (0.0, 1e-5),
      (None,),
      ("seed_3_l2_0.0", "seed_3_l2_1e-05", "seed_4_l2_0.0", "seed_4_l2_1e-05"),
    ),
    (
      (0.01,),
      (0.11, 9.0),
      (
        "seed_3_lambda_0.11",
        "seed_3_lambda_9.0",
        "seed_4_lambda_0.11",
        "seed_4_lambda_9.0",
      ),
    ),
  ],
)
def test_folder_names_say_what_varies(l2s, loss_weights, expected):
  members = population.expand((3, 4), l2s, loss_weights)
  assert members.folder_names == expected


@pytest.mark.parametrize("size", [1, 3])
def test_over_members_is_the_function_of_each(size):
  x = np.random.default_rng(0).normal(size=(size, 2, 4)).astype(np.float32)
  factors = {"a": np.arange(1.0, size + 1, dtype=np.float32)}
  shared = np.full(4, 10, np.float32)

  def function(x, factors, shared):
    assert x.shape == (2, 4)
    return {"sum": jnp.sum(x) * factors["a"], "shifted": x + shared[None]}

  of_members = population.over_members(function, (0, 0, None))
  found = of_members(x, factors, shared)
  np.testing.assert_allclose(
    found["sum"], x.sum((1, 2)) * factors["a"], rtol=1e-5
  )
  np.testing.assert_array_equal(found["shifted"], x + 10)
