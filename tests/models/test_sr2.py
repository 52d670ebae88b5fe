import functools
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr2_jax import names
from sr2_jax.models import sr2

# What compares the bits of two programs does so with those that users have.
pytestmark = pytest.mark.optimized

# As on the devices here; XLA's own would take many times as long.
SR2 = functools.partial(sr2.SR2, convolution="cpu")

NUM_MEMBERS = 2

# Without optimization a network compiles in nearly half the time.
FAST = {"xla_backend_optimization_level": 0}


@pytest.fixture(scope="module")
def peers():
  from tests import torch_peers

  return torch_peers


def random_images(*shape):
  rng = np.random.default_rng(0)
  return jnp.asarray(rng.uniform(size=shape), jnp.float32)


LOW_RES = random_images(4, 5, 6, 1)


@functools.cache
def fsrcnn(wiring, **options):
  return SR2("fsrcnn", wiring, 2, 1, **options)


@functools.cache
def jitted_init(model):
  init_fn = functools.partial(model.init, train=False)
  return jax.jit(init_fn, compiler_options=FAST)


@functools.cache
def init(model):
  """Initial parameters, and running statistics as if after training."""
  variables = jitted_init(model)(jax.random.key(0), LOW_RES)
  rng = np.random.default_rng(1)
  batch_stats = jax.tree.map(
    lambda x: x + jnp.asarray(rng.uniform(0, 0.5, x.shape), x.dtype),
    variables["batch_stats"],
  )
  return {"params": variables["params"], "batch_stats": batch_stats}


@functools.cache
def jitted(model, train, fast=False):
  """Outputs, and the new batch_stats if training."""
  mutable = ["batch_stats"] if train else False
  apply = functools.partial(model.apply, train=train, mutable=mutable)
  return jax.jit(apply, compiler_options=FAST if fast else None)


def shapes(model, low_res_shape):
  return jax.eval_shape(
    lambda key: model.init_with_output(
      key, jnp.zeros(low_res_shape), train=False
    ),
    jax.random.key(0),
  )


def num_params(model):
  _, variables = shapes(model, (1, 7, 7, model.channels))
  return sum(x.size for x in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize(
  ("trunk", "wiring", "channels", "at_x2", "at_x4"),
  [
    ("fsrcnn", "none", 1, 63_064, 226_396),
    ("fsrcnn", "none", 3, 65_860, 229_192),
    ("wdsr", "none", 1, 321_736, 361_192),
    ("wdsr", "none", 3, 322_304, 361_760),
    ("fsrcnn", "parallel", 1, 3_469_882, 3_633_214),
    ("fsrcnn", "parallel", 3, 3_472_678, 3_636_010),
    ("wdsr", "parallel", 1, 3_714_658, 3_754_114),
    ("wdsr", "parallel", 3, 3_715_226, 3_754_682),
    ("fsrcnn", "sequential", 1, 63_064 + 3_374_973, 226_396 + 3_374_973),
    ("fsrcnn", "sequential", 3, 65_860 + 3_376_131, 229_192 + 3_376_131),
  ],
)
def test_number_of_parameters(trunk, wiring, channels, at_x2, at_x4):
  assert num_params(SR2(trunk, wiring, 2, channels)) == at_x2
  assert num_params(SR2(trunk, wiring, 4, channels)) == at_x4


# Training and evaluation differ only in BatchNorm, which all of these have.
@pytest.mark.parametrize(
  ("wiring", "train"), [("parallel", True), ("sequential", False)]
)
def test_sr2_fsrcnn_equals_pytorch(peers, wiring, train):
  peer = peers.networks.SR2(
    peers.networks.fsrcnn_trunk(1),
    peers.networks.fsrcnn_head(2, 1),
    peers.networks.classifier(56 if wiring == "parallel" else 1),
    wiring,
  )
  peers.assert_same(fsrcnn(wiring), peer, input_shape=(6, 5, 4, 1), train=train)


@pytest.mark.parametrize(
  ("shared_layers", "expansion", "train"), [(1, 1, False), (4, 2, True)]
)
def test_sr2_wdsr_equals_pytorch(peers, shared_layers, expansion, train):
  model = SR2(
    "wdsr",
    "parallel",
    4,
    3,
    shared_layers=shared_layers,
    expansion=expansion,
  )
  peer = peers.networks.SR2(
    peers.networks.wdsr_trunk(3, shared_layers, expansion),
    peers.networks.WdsrHead(4, 3, shared_layers, expansion),
    peers.networks.classifier(32),
    "parallel",
  )
  peers.assert_same(model, peer, input_shape=(6, 4, 5, 3), train=train)


@pytest.mark.parametrize("trunk", ["fsrcnn", "wdsr"])
@pytest.mark.parametrize("wiring", names.WIRINGS)
@pytest.mark.parametrize("axis_name", [None, "device"])
def test_top_level_subtrees(trunk, wiring, axis_name):
  model = SR2(trunk, wiring, 2, 1, axis_name=axis_name)
  _, variables = shapes(model, (1, 7, 7, 1))
  expected = set(sr2.SUBTREES)
  if wiring == "none":
    expected.remove("classifier")
  assert variables.keys() == {"params", "batch_stats"}
  assert variables["params"].keys() == expected
  assert variables["batch_stats"].keys() == expected


@pytest.mark.parametrize("trunk", ["fsrcnn", "wdsr"])
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (7, 7), (5, 9), (16, 14)])
def test_any_input_size(trunk, scale, size):
  model = SR2(trunk, "sequential", scale, 3, num_classes=4)
  outputs, _ = shapes(model, (2, *size, 3))
  assert outputs["super_res"].shape == (
    2,
    scale * size[0],
    scale * size[1],
    3,
  )
  assert outputs["logits"].shape == (2, 4)


def test_no_logits_without_classifier():
  outputs, _ = shapes(fsrcnn("none"), (1, 4, 4, 1))
  assert outputs.keys() == {"super_res"}


@pytest.mark.parametrize("wiring", ["parallel", "sequential"])
def test_initial_values_do_not_depend_on_the_classifier(wiring):
  baseline, attached = init(fsrcnn("none")), init(fsrcnn(wiring))
  for subtree in ("shared", "sr"):
    jax.tree.map(
      np.testing.assert_array_equal,
      baseline["params"][subtree],
      attached["params"][subtree],
    )


def test_initial_values_depend_on_the_key_and_the_layer():
  model = fsrcnn("none")
  params = init(model)["params"]["sr"]
  other = jitted_init(model)(jax.random.key(1), LOW_RES)["params"]["sr"]
  kernel = params["map_0"]["kernel"]
  assert not np.array_equal(kernel, params["map_1"]["kernel"])
  assert not np.array_equal(kernel, other["map_0"]["kernel"])


@pytest.mark.parametrize("train", [True, False])
def test_super_res_of_sr2_equals_the_baseline_bit_for_bit(train):
  variables = init(fsrcnn("parallel"))
  baseline_variables = jax.tree.map(lambda x: x, variables)
  for collection in baseline_variables.values():
    del collection["classifier"]

  outputs = jitted(fsrcnn("parallel"), train)(variables, LOW_RES)
  baseline = jitted(fsrcnn("none"), train)(baseline_variables, LOW_RES)
  if train:
    (outputs, updates), (baseline, baseline_updates) = outputs, baseline
    for subtree in ("shared", "sr"):
      jax.tree.map(
        np.testing.assert_array_equal,
        updates["batch_stats"][subtree],
        baseline_updates["batch_stats"][subtree],
      )
  np.testing.assert_array_equal(outputs["super_res"], baseline["super_res"])


def test_evaluation_does_not_depend_on_the_rest_of_the_batch():
  model = fsrcnn("parallel")
  evaluate = jitted(model, False)
  outputs = evaluate(init(model), LOW_RES)
  others = evaluate(init(model), LOW_RES.at[1:].set(0.5))
  for name, value in outputs.items():
    np.testing.assert_allclose(value[0], others[name][0], atol=1e-6)
    assert not np.allclose(value[1], others[name][1], atol=1e-3)


@pytest.mark.parametrize(
  ("wiring", "frozen"), [("none", ("shared",)), ("parallel", ("shared", "sr"))]
)
def test_frozen_subtrees_keep_their_statistics(wiring, frozen):
  variables = init(fsrcnn(wiring))
  model = fsrcnn(wiring, frozen=frozen)
  outputs, updates = jitted(model, True, fast=True)(variables, LOW_RES)
  for subtree, before in variables["batch_stats"].items():
    changed = [
      not np.array_equal(x, y)
      for x, y in zip(
        jax.tree.leaves(before),
        jax.tree.leaves(updates["batch_stats"][subtree]),
        strict=True,
      )
    ]
    assert not any(changed) if subtree in frozen else all(changed), subtree

  evaluated = jitted(fsrcnn(wiring), False)(variables, LOW_RES)
  same = np.allclose(outputs["super_res"], evaluated["super_res"], atol=1e-6)
  assert same == ("sr" in frozen)


def test_vmap_over_members_equals_a_loop():
  model = fsrcnn("parallel")
  keys = jax.random.split(jax.random.key(0), NUM_MEMBERS)
  variables = [jitted_init(model)(key, LOW_RES) for key in keys]
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *variables)
  low_res = random_images(NUM_MEMBERS, *LOW_RES.shape)

  members = jax.vmap(
    functools.partial(model.apply, train=True, mutable=["batch_stats"])
  )
  together = jax.jit(members, compiler_options=FAST)(stacked, low_res)
  for i in range(NUM_MEMBERS):
    alone = jitted(model, True)(variables[i], low_res[i])
    jax.tree.map(
      lambda x, y, i=i: np.testing.assert_allclose(x[i], y, atol=1e-4),
      together,
      alone,
    )


def test_two_devices_equal_one():
  variables = init(fsrcnn("parallel"))
  devices = jax.vmap(
    functools.partial(
      fsrcnn("parallel", axis_name="device").apply,
      train=True,
      mutable=["batch_stats"],
    ),
    in_axes=(None, 0),
    axis_name="device",
  )
  low_res = LOW_RES.reshape(2, 2, *LOW_RES.shape[1:])
  outputs, updates = jax.jit(devices, compiler_options=FAST)(variables, low_res)
  expected, expected_updates = jitted(fsrcnn("parallel"), True)(
    variables, LOW_RES
  )
  for name, value in expected.items():
    np.testing.assert_allclose(
      outputs[name].reshape(value.shape), value, atol=1e-4
    )
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x[1], y, atol=1e-5),
    updates,
    expected_updates,
  )


@pytest.mark.parametrize(
  ("trunk", "under_l2"),
  [
    ("fsrcnn", {"feature", "shrink", "expand", "map_0", "dense", "stem"}),
    ("wdsr", {"conv_0", "conv_1", "dense", "stem"}),
  ],
)
def test_layers_left_out_of_l2(trunk, under_l2):
  model = SR2(trunk, "parallel", 2, 1)
  _, variables = shapes(model, (1, 7, 7, 1))
  paths = [
    tuple(entry.key for entry in path)
    for path, _ in jax.tree_util.tree_leaves_with_path(variables["params"])
    if path[-1].key == "kernel"
  ]
  exempt = {path[:-1] for path in paths if path[-2] in sr2.L2_EXEMPT}
  expected = {
    "fsrcnn": {("sr", "upsample"), ("sr", "output")},
    "wdsr": {
      ("shared", "head"),
      ("sr", "head"),
      ("sr", "upsample"),
      ("sr", "skip_upsample"),
      ("sr", "output"),
      ("sr", "skip_output"),
    },
  }
  assert exempt == expected[trunk] | {("classifier", "logits")}
  assert under_l2 <= {path[-2] for path in paths} - sr2.L2_EXEMPT


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"trunk": "vdsr"}, "trunk 'vdsr' is not one of"),
    ({"wiring": "serial"}, "wiring 'serial' is not one of"),
    ({"frozen": ("trunk",)}, "frozen .'trunk'. is not one of"),
  ],
)
def test_refuses_unknown_names(fields, message):
  options = {"trunk": "fsrcnn", "wiring": "none", "scale": 2, "channels": 1}
  model = SR2(**options | fields)
  with pytest.raises(ValueError, match=message):
    shapes(model, (1, 4, 4, 1))


@pytest.mark.parametrize("wiring", ["parallel", "sequential"])
def test_bfloat16_is_only_for_arithmetic(wiring):
  """Outputs are within 10 % of float32's: 8 bits, but dozens of layers."""
  half = SR2("fsrcnn", wiring, 2, 1, dtype="bfloat16")
  variables = init(fsrcnn(wiring))
  assert jax.tree.map(lambda x: (x.shape, x.dtype), variables) == jax.tree.map(
    lambda x: (x.shape, x.dtype), dict(shapes(half, LOW_RES.shape)[1])
  )
  expected, _ = jitted(fsrcnn(wiring), True, fast=True)(variables, LOW_RES)
  actual, updated = jitted(half, True, fast=True)(variables, LOW_RES)
  for name, value in expected.items():
    assert actual[name].dtype == jnp.float32
    error = jnp.abs(actual[name] - value).mean()
    assert 0 < error < 0.1 * jnp.abs(value).mean(), name
  assert {leaf.dtype for leaf in jax.tree.leaves(updated)} == {
    jnp.dtype("float32")
  }


def test_bfloat16_reaches_every_layer():
  """Outputs of all convolutions and matrix products have 16 bits."""
  half = SR2("wdsr", "parallel", 2, 1, dtype="bfloat16")
  variables = jax.eval_shape(
    lambda: half.init(jax.random.key(0), LOW_RES, train=False)
  )
  jaxpr = jax.make_jaxpr(functools.partial(half.apply, train=False))(
    variables, LOW_RES
  )
  products = [
    equation
    for equation in jaxpr.jaxpr.eqns
    if equation.primitive.name in ("conv_general_dilated", "dot_general")
  ]
  assert len(products) > 40
  for equation in products:
    assert equation.outvars[0].aval.dtype == jnp.bfloat16, equation


@pytest.mark.parametrize("wiring", names.WIRINGS)
def test_the_trunk_of_the_guide_works_as_written(monkeypatch, wiring):
  guide = pathlib.Path(__file__).parents[2] / "docs" / "extending.md"
  code = re.search(r"```python\n(.*?)```", guide.read_text(), re.DOTALL)
  module: dict = {}
  exec(code[1], module)
  monkeypatch.setitem(sr2.TRUNKS, "espcn", (module["Trunk"], module["Head"]))
  model = SR2("espcn", wiring, 2, 1)
  init = functools.partial(model.init, train=False)
  variables = jax.eval_shape(init, jax.random.key(0), LOW_RES)
  outputs = jax.eval_shape(
    functools.partial(model.apply, train=False), variables, LOW_RES
  )
  assert outputs["super_res"].shape == (4, 10, 12, 1)
  assert ("logits" in outputs) == (wiring != "none")
