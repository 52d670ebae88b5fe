import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sr2_jax.training import optimizer, packing, steps

MASK = functools.partial(
  optimizer.l2_mask, scope="authors", exempt=frozenset({"head"})
)
OPTIMIZER = optimizer.create(
  {"shared": 1e-3, "sr": 0.0},
  b1=0.9,
  b2=0.999,
  eps=1e-7,
  l2_scope="authors",
  l2_exempt=frozenset({"head"}),
)


@pytest.fixture(scope="module")
def state():
  random = np.random.default_rng(0)

  def array(*shape):
    return jnp.asarray(random.normal(size=shape), jnp.float32)

  def layers():
    return {
      "conv": {"kernel": array(3, 3, 4, 20), "bias": array(20)},
      "head": {"kernel": array(1, 1, 20, 3), "bias": array(3)},
    }

  params = {"shared": layers(), "sr": layers()}
  return steps.TrainState(
    params=params,
    batch_stats={"shared": {"norm": {"mean": array(20), "var": array(20)}}},
    opt_state=OPTIMIZER.init(params),
  )


def vectors(subtree):
  return {name: x.shape for name, x in subtree.joined.items()}


@pytest.mark.parametrize("outputs_first", [False, True])
@pytest.mark.parametrize(
  ("largest", "joined"),
  [
    (0, None),
    (2, {}),
    (60, {"others": (3 * 128,)}),
    (720, {"kernel": (768,), "others": (3 * 128,)}),
  ],
)
def test_what_is_packed_can_be_unpacked(state, largest, joined, outputs_first):
  packed = packing.Packing(largest, MASK, outputs_first).pack(state)
  if joined is None:
    assert packed is state
  else:
    assert vectors(packed.params["shared"]) == joined
    moments = optax.tree_utils.tree_get_all_with_path(packed.opt_state, "mu")
    assert [vectors(x["shared"]) for _, x in moments] == [joined]
  unpacked = packing.unpack(packed)
  assert jax.tree.structure(unpacked) == jax.tree.structure(state)
  jax.tree.map(np.testing.assert_array_equal, unpacked, state)


def test_long_vectors_hold_the_same(state, monkeypatch):
  packed = packing.Packing(10**6, MASK).pack(state)
  monkeypatch.setattr(packing, "_LARGEST_SUM", 0)
  other = packing.Packing(10**6, MASK).pack(state)
  jax.tree.map(np.testing.assert_array_equal, packed, other)


def test_kernels_of_convolutions_are_joined_outputs_first(state):
  packed = packing.Packing(10**6, MASK, outputs_first=True).pack(state)
  kernel = np.asarray(state.params["sr"]["conv"]["kernel"])
  joined = packed.params["sr"].joined["kernel"]
  np.testing.assert_array_equal(
    joined[: kernel.size].reshape(20, 3, 3, 4), np.moveaxis(kernel, 3, 0)
  )


@pytest.mark.parametrize("outputs_first", [False, True])
def test_the_optimizer_does_the_same(state, outputs_first):
  gradients = jax.tree.map(jnp.cos, state.params)
  expected = OPTIMIZER.update(
    gradients, state.opt_state, state.params, l2=jnp.float32(0.1)
  )
  packed = packing.Packing(10**6, MASK, outputs_first).pack(state)
  actual = OPTIMIZER.update(
    packing.pack_like(gradients, packed.params),
    packed.opt_state,
    packed.params,
    l2=jnp.float32(0.1),
  )
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-6),
    packing.unpack(actual),
    expected,
  )


def test_only_accelerators_join():
  largest = {x: packing.largest_on(x) for x in ("cpu", "tpu", "gpu")}
  assert largest["cpu"] == 0
  assert 0 < largest["tpu"] < largest["gpu"]


def test_only_a_gpu_with_one_member_has_outputs_first():
  found = {
    (platform, size): packing.has_outputs_first(platform, size)
    for platform in ("cpu", "tpu", "gpu")
    for size in (1, 6)
  }
  assert [key for key, is_so in found.items() if is_so] == [("gpu", 1)]
