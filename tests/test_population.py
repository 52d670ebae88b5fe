import numpy as np

from sr2_jax import population


def test_expand_goes_seed_by_seed():
  members = population.expand((4, 5), (9.0, 0.11))
  assert members.seeds == (4, 4, 5, 5)
  assert members.loss_weights == (9.0, 0.11, 9.0, 0.11)
  assert members.size == 4
  assert members.fields(1) == {"seed": 4, "loss_weight": 0.11}


def test_arrays_have_zero_where_there_is_no_loss_weight():
  arrays = population.expand((4, 5), (None,)).arrays()
  assert arrays.seed.dtype == np.uint32
  assert arrays.loss_weight.dtype == np.float32
  np.testing.assert_array_equal(arrays.seed, [4, 5])
  np.testing.assert_array_equal(arrays.loss_weight, [0, 0])


def test_fan_out_matches_the_order_of_expand():
  seeds = np.asarray(population.expand((4, 5), (None,)).seeds)
  fanned = population.fan_out({"seed": seeds}, 3)["seed"]
  expected = population.expand((4, 5), (1.0, 2.0, 3.0)).seeds
  assert tuple(fanned) == expected


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
