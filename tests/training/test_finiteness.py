import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sr2_jax.training import finiteness, steps


def _state(**changes):
  state = {
    "kernel": np.ones((3, 2, 2), np.float32),
    "count": np.arange(3, dtype=np.int32),
  }
  return {**state, **changes}


@pytest.mark.parametrize("branches", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["kernel", "loss"])
def test_a_member_with_a_bad_number_keeps_its_last_state(bad, where, branches):
  old = _state()
  new = {"kernel": 2 * old["kernel"], "count": old["count"] + 1}
  loss = np.zeros(3, np.float32)
  if where == "kernel":
    new["kernel"][1, 0, 1] = bad
  else:
    loss[1] = bad
  keep_finite = jax.jit(finiteness.keep_finite, static_argnames="branches")
  alive, state, means = keep_finite(
    jnp.array([True, True, False]), old, new, {"loss": loss}, branches=branches
  )
  assert alive.tolist() == [True, False, False]
  expected = np.array([True, False, False])
  for name in old:
    for place, is_new in enumerate(expected):
      source = new if is_new else old
      np.testing.assert_array_equal(state[name][place], source[name][place])
  np.testing.assert_array_equal(means["loss"], loss)


def test_the_largest_numbers_are_finite():
  new = _state(kernel=np.full((3, 2, 2), np.finfo(np.float32).max))
  alive, state, _ = finiteness.keep_finite(
    jnp.full(3, True), _state(), new, {"loss": np.zeros(3, np.float32)}
  )
  assert alive.all()
  np.testing.assert_array_equal(state["kernel"], new["kernel"])


def test_infinities_of_both_signs_do_not_cancel():
  """Accelerators look at sums."""
  new = _state()
  new["kernel"][0, 0] = [np.inf, -np.inf]
  alive, _, _ = finiteness.keep_finite(
    jnp.full(3, True),
    _state(),
    new,
    {"loss": np.zeros(3, np.float32)},
    branches=False,
  )
  assert alive.tolist() == [False, True, True]


@pytest.mark.parametrize("branches", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_number_among_many_is_seen(bad, branches):
  """Wherever it is: a compiler takes many numbers at once."""
  keep_finite = jax.jit(
    functools.partial(finiteness.keep_finite, branches=branches)
  )
  kernel = np.random.default_rng(0).normal(size=(2, 3, 7, 331))
  old = {"kernel": kernel.astype(np.float32)}
  for place in (0, 1, 8, 17, 330, 3475, 6950):
    new = {"kernel": old["kernel"].copy()}
    new["kernel"].reshape(2, -1)[0, place] = bad
    alive, state, _ = keep_finite(jnp.full(2, True), old, new, {})
    assert alive.tolist() == [False, True], place
    np.testing.assert_array_equal(state["kernel"], old["kernel"])


@pytest.mark.parametrize("branches", [True, False])
@pytest.mark.parametrize("where", ["nu", "mean", "loss", "other"])
def test_second_moments_statistics_and_metrics_are_enough(where, branches):
  """The rest follows from them, and is not looked at."""

  def state(value):
    full, mean, first, second = np.full((4, 2, 3), value, np.float32)
    return steps.TrainState(
      params={"w": full},
      batch_stats={"mean": mean},
      opt_state=optax.ScaleByAdamState(np.zeros(2, np.int32), first, second),
    )

  old, new = state(1), state(2)
  means = {"loss": np.zeros(2, np.float32)}
  bad = {
    "nu": new.opt_state.nu,
    "mean": new.batch_stats["mean"],
    "loss": means["loss"],
    "other": new.opt_state.mu,
  }[where]
  bad = bad.reshape(2, -1)
  bad[1, 0] = np.inf
  alive, chosen, _ = finiteness.keep_finite(
    jnp.full(2, True), old, new, means, by_moments=True, branches=branches
  )
  assert alive.tolist() == [True, where == "other"]
  np.testing.assert_array_equal(chosen.params["w"][0], new.params["w"][0])
  expected = new if where == "other" else old
  np.testing.assert_array_equal(chosen.params["w"][1], expected.params["w"][1])
