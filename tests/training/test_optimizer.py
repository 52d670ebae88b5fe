import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sr2_jax.training import optimizer

SETTINGS = {"b1": 0.9, "b2": 0.999, "eps": 1e-7, "l2_exempt": frozenset("y")}


def make_params():
  return {
    "shared": {"x": {"kernel": jnp.array([1.0, -2.0]), "bias": jnp.ones(1)}},
    "sr": {"y": {"kernel": jnp.array([3.0])}, "z": {"kernel": jnp.ones(1)}},
  }


def adam_by_hand(w, gradients, rate, decay):
  """Adam with coupled L2, in NumPy (Kingma and Ba 2015, algorithm 1)."""
  m = v = np.zeros_like(w)
  for t, gradient in enumerate(gradients, 1):
    g = gradient + decay * w
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)
  return w


def run(opt, params, gradients, *, l2):
  state = opt.init(params)
  for gradient in gradients:
    tree = jax.tree.map(lambda x, g=gradient: jnp.full_like(x, g), params)
    updates, state = opt.update(tree, state, params, l2=l2)
    params = optax.apply_updates(params, updates)
  return params


def test_each_subtree_has_its_own_adam_and_coupled_l2():
  rates = {"shared": 1e-2, "sr": 1e-3}
  opt = optimizer.create(rates, l2_scope="authors", **SETTINGS)
  gradients = (0.5, -0.1, 0.2)
  start = jax.tree.map(np.asarray, make_params())
  new = run(opt, make_params(), gradients, l2=0.01)
  for subtree, layer, leaf, decay in (
    ("shared", "x", "kernel", 0.02),
    ("shared", "x", "bias", 0.0),
    ("sr", "y", "kernel", 0.0),  # exempt
    ("sr", "z", "kernel", 0.02),
  ):
    expected = adam_by_hand(
      start[subtree][layer][leaf], gradients, rates[subtree], decay
    )
    np.testing.assert_allclose(
      new[subtree][layer][leaf], expected, rtol=1e-5, err_msg=f"{layer} {leaf}"
    )


def test_l2_is_the_gradient_of_its_sum_of_squares():
  """After one step, Adam's first moment is a tenth of the gradient."""
  params = make_params()
  opt = optimizer.create(
    {"shared": 1e-3, "sr": 1e-3}, l2_scope="kernels", **SETTINGS
  )
  zeros = jax.tree.map(jnp.zeros_like, params)
  _, state = opt.update(zeros, opt.init(params), params, l2=0.01)

  def penalty(params):
    kernels = (params["shared"]["x"], params["sr"]["y"], params["sr"]["z"])
    return 0.01 * sum(jnp.sum(layer["kernel"] ** 2) for layer in kernels)

  expected = jax.grad(penalty)(params)
  moments = optax.tree.get_all_with_path(state, "mu")
  assert len(moments) == 2
  for path, moment in moments:
    (subtree,) = {"shared", "sr"} & {str(getattr(k, "key", k)) for k in path}
    jax.tree.map(
      lambda m, e: np.testing.assert_allclose(m, 0.1 * e, rtol=1e-6),
      moment[subtree],
      expected[subtree],
    )


def test_state_has_the_form_of_older_checkpoints():
  rates = {"shared": 1e-2, "sr": 0.0}
  older = optax.chain(
    optax.add_decayed_weights(
      0.02, mask=lambda params: jax.tree.map(lambda _: True, params)
    ),
    optax.partition(
      {"shared": optax.adam(1e-2), "sr": optax.set_to_zero()},
      {"shared": "shared", "sr": "sr"},
    ),
  )
  new = optimizer.create(rates, l2_scope="kernels", **SETTINGS)
  params = make_params()
  assert jax.tree.structure(new.init(params)) == (
    jax.tree.structure(older.init(params))
  )


def test_start_of_equals_the_optimizers_own():
  rates = {"shared": 1e-2, "sr": 0.0}
  opt = optimizer.create(rates, l2_scope="authors", **SETTINGS)
  members = jax.tree.map(lambda x: jnp.stack([x, x]), make_params())
  expected = jax.vmap(opt.init)(members)
  actual = optimizer.start_of(jax.eval_shape(jax.vmap(opt.init), members))
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  for own, like in zip(
    jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True
  ):
    assert isinstance(own, np.ndarray)
    assert own.dtype == like.dtype
    np.testing.assert_array_equal(own, like)


def test_each_member_has_its_own_l2():
  opt = optimizer.create(
    {"shared": 1e-2, "sr": 1e-2}, l2_scope="kernels", **SETTINGS
  )
  l2s, gradients = (0.0, 0.01, 0.1), (0.5, -0.1)
  together = jax.vmap(lambda l2: run(opt, make_params(), gradients, l2=l2))(
    jnp.asarray(l2s)
  )
  for member, l2 in enumerate(l2s):
    solo = run(opt, make_params(), gradients, l2=l2)
    jax.tree.map(
      lambda both, one, member=member: np.testing.assert_allclose(
        both[member], one, rtol=1e-6
      ),
      together,
      solo,
    )


def test_learning_rate_zero_freezes_a_subtree():
  opt = optimizer.create(
    {"shared": 0.0, "sr": 1e-3}, l2_scope="kernels", **SETTINGS
  )
  params = make_params()
  new = run(opt, params, (1.0, 1.0), l2=0.01)
  jax.tree.map(np.testing.assert_array_equal, new["shared"], params["shared"])
  assert np.all(new["sr"]["y"]["kernel"] != params["sr"]["y"]["kernel"])


@pytest.mark.parametrize(
  "rates", [{"shared": 1e-3}, {"shared": 1e-3, "sr": 1e-3, "other": 1e-3}]
)
def test_subtrees_and_rates_must_match(rates):
  opt = optimizer.create(rates, l2_scope="kernels", **SETTINGS)
  with pytest.raises(ValueError, match="do not match the parameter subtrees"):
    opt.init(make_params())


def test_an_unknown_scope_is_an_error():
  with pytest.raises(ValueError, match="l2 scope"):
    optimizer.l2_mask(make_params(), scope="all", exempt=frozenset())


@pytest.mark.parametrize(
  ("rate", "eps", "expected"),
  [(1e-3, 1e-7, True), (0.3, 1e-8, True), (1e30, 1e-7, False),
   (1e-3, 1e-16, False)],
)  # fmt: skip
def test_moments_tell_unless_an_update_can_be_huge(rate, eps, expected):
  """The largest first update in float32, by the formula of Adam."""
  rates = {"shared": 0.0, "sr": rate}
  assert optimizer.moments_tell(rates, b1=0.9, eps=eps) == expected
  largest = 2.0**64 / 0.1 / eps * rate
  unchanged = np.float32(np.finfo(np.float32).max)
  with np.errstate(over="ignore"):
    stays = unchanged + np.float32(largest) == unchanged
  assert stays == expected
