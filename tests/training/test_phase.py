"""Networks, populations, optimizers and states that a config gives."""

import json
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import default
from sr2_jax import errors, parallel, rng
from sr2_jax.config import derived
from sr2_jax.models import sr2
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import population, steps

SIZE, NUM_IMAGES = 12, 43


def make_config(**changes):
  config = default.get_config()
  config.batch_size = 8
  config.num_seeds = 2
  config.pretrain.num_epochs = 3
  config.joint.num_epochs = 2
  config.joint.loss_weight = (0.11, 9.0)
  config.update_from_flattened_dict(
    {name.replace("__", "."): value for name, value in changes.items()}
  )
  return derived.resolve(config)


def make_phase(name, *, shape=(SIZE, SIZE, 1), axis_name=None, **changes):
  return phase_lib.create(
    make_config(**changes),
    name,
    image_shape=shape,
    num_train_images=NUM_IMAGES,
    num_classes=7,
    axis_name=axis_name,
  )


@pytest.mark.parametrize("trunk", ["fsrcnn", "wdsr"])
@pytest.mark.parametrize(
  ("name", "wiring", "prefix"),
  [
    ("pretrain", "none", ""),
    ("pretrain", "parallel", ""),
    ("pretrain", "sequential", ""),
    ("joint", "parallel", "sr2_"),
    ("joint", "sequential", "sequential_"),
    ("joint", "none", "sr_continued_"),
  ],
)
def test_method_and_network(trunk, name, wiring, prefix):
  shared_layers = 4 if trunk == "wdsr" else 1
  phase = make_phase(
    name,
    model__trunk=trunk,
    model__wiring=wiring,
    model__shared_layers=shared_layers,
    degradation__scale=4,
    axis_name="devices",
    shape=(SIZE, SIZE, 3),
  )
  assert phase.name == name
  assert phase.method.key == prefix + trunk
  assert phase.network.model == sr2.SR2(
    trunk=trunk,
    wiring="none" if name == "pretrain" else wiring,
    scale=4,
    channels=3,
    num_classes=7,
    shared_layers=shared_layers,
    axis_name="devices",
    dtype="float32",
    convolution="cpu",
  )
  assert phase.network.low_res_shape == (SIZE // 4, SIZE // 4, 3)


def test_options_of_the_model_reach_it():
  wide = make_phase("pretrain", model__trunk="wdsr", model__expansion=4)
  assert wide.network.model.expansion == 4
  plain = make_phase(
    "pretrain", model__batch_norm=False, model__transposed_convolution=True
  )
  assert make_phase("joint", model__dtype="bfloat16").network.model.dtype == (
    "bfloat16"
  )
  strided = make_phase("joint", model__classifier_strides=(2.0, 2.0, 2.0))
  assert strided.network.model.classifier_strides == (2, 2, 2)
  assert not plain.network.model.batch_norm
  assert plain.network.model.transposed_convolution


def test_steps_are_whole_batches():
  """43 images give 5 batches of 8; 3 images are left out."""
  pretrain, joint = make_phase("pretrain"), make_phase("joint")
  assert (pretrain.steps_per_epoch, pretrain.num_steps) == (5, 15)
  assert (joint.steps_per_epoch, joint.num_steps) == (5, 10)


def test_steps_that_32_bits_cannot_count_are_refused():
  most = (2**31 - 1) // 5
  assert make_phase("joint", joint__num_epochs=most).num_steps == 5 * most
  with pytest.raises(errors.UserError, match=r"config\.joint\.num_epochs="):
    make_phase("joint", joint__num_epochs=most + 1)


def test_loss_weights_fan_out_only_in_joint():
  pretrain, joint = make_phase("pretrain", seed=3), make_phase("joint", seed=3)
  assert pretrain.population == population.Population(
    (3, 4), (0.01, 0.01), (None, None)
  )
  assert joint.population == population.Population(
    (3, 3, 4, 4), (0.01,) * 4, (0.11, 9.0, 0.11, 9.0)
  )


def test_learning_rate_zero_freezes_statistics_too():
  assert make_phase("pretrain").network.model.frozen == ()
  phase = make_phase(
    "joint", joint__learning_rate__shared=0.0, pretrain__learning_rate__sr=0.0
  )
  assert phase.network.model.frozen == ("shared",)


def test_control_fans_out_only_over_seeds():
  control = make_phase("joint", model__wiring="none")
  assert control.population == population.Population(
    (0, 1), (0.01, 0.01), (0.0, 0.0)
  )
  assert set(control.abstract_state().params) == {"shared", "sr"}


def first_update(phase, params, gradients):
  updates, _ = phase.optimizer.update(
    gradients,
    phase.optimizer.init(params),
    params,
    l2=phase.population.l2s[0],
  )
  return updates


def test_optimizer_has_the_rates_of_its_phase():
  """Adam's first step is the learning rate, against the gradient's sign."""
  rates = {"shared": 1e-2, "sr": 0.0, "classifier": 3e-4}
  phase = make_phase(
    "joint",
    loss__l2=(0.0,),
    **{f"joint__learning_rate__{k}": rate for k, rate in rates.items()},
  )
  params = {name: {"bias": jnp.ones(2)} for name in rates}
  gradients = jax.tree.map(lambda x: -2 * x, params)
  updates = first_update(phase, params, gradients)
  for name, rate in rates.items():
    np.testing.assert_allclose(updates[name]["bias"], rate, rtol=1e-5)


@pytest.mark.parametrize(
  ("scope", "moved"), [("authors", {"conv"}), ("kernels", {"conv", "output"})]
)
def test_l2_shrinks_the_kernels_in_scope(scope, moved):
  phase = make_phase("pretrain", loss__l2=(0.01,), loss__l2_scope=scope)
  subtree = {
    name: {"kernel": jnp.ones(2), "bias": jnp.ones(2)}
    for name in ("conv", "output")
  }
  params = {"shared": subtree, "sr": subtree}
  updates = first_update(phase, params, jax.tree.map(jnp.zeros_like, params))
  for name, layer in updates["sr"].items():
    expected = -1e-3 if name in moved else 0.0
    np.testing.assert_allclose(layer["kernel"], expected, rtol=1e-4)
    np.testing.assert_array_equal(layer["bias"], 0.0)


@pytest.fixture(scope="module")
def pretrained():
  """State of two seeds whose statistics and moments have moved."""
  state = make_phase("pretrain").create_state()
  return state.replace(
    params=jax.tree.map(lambda x: x + 1, state.params),
    batch_stats=jax.tree.map(lambda x: x + 2, state.batch_stats),
    opt_state=jax.tree.map(lambda x: x + 3, state.opt_state),
  )


@pytest.fixture(scope="module")
def scratch():
  """Initial joint state of a run of only the second seed."""
  return make_phase(
    "joint", seed=1, num_seeds=1, joint__loss_weight=(9.0,)
  ).create_state()


@pytest.fixture(scope="module")
def started(pretrained):
  return make_phase("joint").start_from(
    pretrained, make_phase("pretrain").population
  )


def assert_is(state, abstract):
  def check(leaf, like):
    assert isinstance(leaf, np.ndarray)
    assert (leaf.shape, leaf.dtype) == (like.shape, like.dtype)

  jax.tree.map(check, state, abstract)


def test_abstract_state_has_shapes_and_types_of_the_state(pretrained, started):
  assert_is(pretrained, make_phase("pretrain").abstract_state())
  assert_is(started, make_phase("joint").abstract_state())


def test_members_start_differently(pretrained):
  kernels = [
    leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(pretrained.params)
    if "kernel" in jax.tree_util.keystr(path)
  ]
  assert kernels
  assert all(np.any(kernel[0] != kernel[1]) for kernel in kernels)


def test_joint_starts_from_the_pretrained_subtrees(pretrained, started):
  """They are equal bit for bit, for all loss weights of a seed."""
  for old, new in (
    (pretrained.params, started.params),
    (pretrained.batch_stats, started.batch_stats),
  ):
    assert set(new) == {"shared", "sr", "classifier"}
    for subtree in ("shared", "sr"):
      assert set(old) == {"shared", "sr"}
      jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a[[0, 0, 1, 1]], b),
        old[subtree],
        new[subtree],
      )


def test_joint_starts_with_the_classifier_of_its_seed(started, scratch):
  """It does not depend on the pretraining or on the other members."""
  for member in (2, 3):
    jax.tree.map(
      lambda a, b, member=member: np.testing.assert_array_equal(
        a[member], b[0]
      ),
      (started.params["classifier"], started.batch_stats["classifier"]),
      (scratch.params["classifier"], scratch.batch_stats["classifier"]),
    )
  kernel = started.params["classifier"]["logits"]["kernel"]
  assert np.any(kernel[0] != kernel[2])


def test_joint_starts_with_a_new_optimizer(started, scratch):
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(a[2], b[0]),
    started.opt_state,
    scratch.opt_state,
  )


def test_initial_weights_depend_only_on_the_seed(scratch):
  """They come from the stream "init", by He initialization."""
  phase = make_phase("joint")
  model, shape = phase.network.model, phase.network.low_res_shape
  variables = jax.eval_shape(
    lambda: model.init(
      rng.stream(1, "init"), jnp.zeros((1, *shape)), train=False
    )
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(a.shape, (1, *b.shape)),
    scratch.params,
    variables["params"],
  )
  # He: the variance is 2 / fan-in; measured here on 7 x 1000 weights.
  dense = scratch.params["classifier"]["logits"]["kernel"]
  assert dense.shape == (1, 1000, 7)
  np.testing.assert_allclose(dense.std(), (2 / 1000) ** 0.5, rtol=0.05)


def after_three_steps(pretrained, **changes):
  """State after three steps of joint training of one seed.

  A large eps makes Adam's steps proportional to the gradients. A small one
  would turn rounding errors into whole steps where a gradient is almost zero.
  """
  changes |= {
    "num_seeds": 1,
    "adam__eps": 1.0,
    "joint__learning_rate__shared": 0.3,
    "joint__learning_rate__sr": 0.3,
  }
  images = np.random.default_rng(0).integers(
    0, 256, (NUM_IMAGES, SIZE, SIZE, 1), np.uint8
  )
  labels = np.arange(NUM_IMAGES, dtype=np.int32) % 7
  phase, layout = make_phase("joint", **changes), parallel.layout("data", 1)
  train = phase_lib.train_steps(
    phase, make_config(**changes), layout, steps_per_call=1
  )
  orders = np.stack(
    [
      rng.epoch_order(seed, 0, num_images=NUM_IMAGES)
      for seed in phase.population.seeds
    ]
  )
  of_members = layout.put_members((phase.population.arrays(), orders))
  state = phase.start_from(
    pretrained, make_phase("pretrain", num_seeds=1).population
  )
  running = layout.put_members(steps.all_alive(state))
  for step in range(3):
    shared = (images, labels, np.int32(step), np.int32(1))
    running, _ = train(running, of_members, shared)
  return layout.fetch_members(running.state)


def test_control_equals_sr2_at_loss_weight_zero():
  """But not at 0.11, with the same weights, batches, learning rates and L2."""
  pretrained = make_phase("pretrain", num_seeds=1).create_state()
  control = after_three_steps(pretrained, model__wiring="none")
  both = after_three_steps(pretrained, joint__loss_weight=(0.0, 0.11))
  for kind in ("params", "batch_stats"):
    for subtree in ("shared", "sr"):
      jax.tree.map(
        # The weights have moved by 0.3.
        lambda a, b: np.testing.assert_allclose(a, b[[0]], atol=3e-5),
        getattr(control, kind)[subtree],
        getattr(both, kind)[subtree],
      )
  apart = jax.tree.map(
    lambda a, b: np.abs(a - b[[1]]).max(),
    control.params["shared"],
    both.params["shared"],
  )
  assert max(jax.tree.leaves(apart)) > 0.01  # 300 times as far


SRMD = {
  "model__trunk": "srmd",
  "model__wiring": "none",
  "joint__num_epochs": 0,
  "batch_size": 2,
}


def test_srmd_draws_from_its_own_stream_and_learns():
  """Two calls equal one, each step draws other inputs, and the loss falls."""
  changes = {
    **SRMD,
    "degradation__scale": 4,
    "loss__super_resolution": "l1",
    "loss__l2": (0.0,),
    "num_seeds": 1,
  }
  phase = make_phase("pretrain", **changes)
  layout = parallel.layout("data", 1)
  step = phase_lib.train_steps(
    phase, make_config(**changes), layout, steps_per_call=2
  )
  random = np.random.default_rng(0)
  images = random.integers(0, 256, (2, SIZE, SIZE, 1), np.uint8)
  labels = np.zeros(2, np.int32)

  def train(state, first_step, num_steps):
    members = (phase.population.arrays(), np.arange(2, dtype=np.int32)[None])
    shared = (images, labels, np.int32(first_step), np.int32(num_steps))
    running = layout.put_members(steps.all_alive(state))
    running, metrics = step(running, layout.put_members(members), shared)
    return layout.fetch_members((running.state, metrics))

  state = phase.create_state()
  assert state.params.keys() == {"shared", "sr"}
  assert not state.batch_stats
  whole, metrics = train(state, 0, 2)
  half, first = train(state, 0, 1)
  resumed, second = train(half, 1, 1)
  jax.tree.map(np.testing.assert_array_equal, resumed, whole)
  np.testing.assert_array_equal(
    metrics["loss"][0], [first["loss"][0, 0], second["loss"][0, 0]]
  )
  assert metrics["loss"][0, 0] != metrics["loss"][0, 1]
  for first_step in range(2, 40, 2):
    whole, later = train(whole, first_step, 2)
  assert later["loss"].mean() < 0.8 * metrics["loss"].mean()


def test_train_step_has_the_fields_of_the_config(monkeypatch):
  found = {}

  def record(settings, **keywords):
    found.update(vars(settings), **keywords)
    return lambda state, of_members, shared, shard: state

  monkeypatch.setattr(steps, "train_program", record)
  changes = {
    "loss__super_resolution": "l1",
    "loss__normalize_weights": True,
    "augmentation__max_shift": 2,
    "augmentation__max_rotation": 45.0,
  }
  layout = parallel.layout("data", 2)
  phase = make_phase("joint", axis_name=layout.axis_name, **changes)
  step = phase_lib.train_steps(
    phase, make_config(**changes), layout, steps_per_call=5
  )
  augment = found.pop("augment")
  assert augment.keywords == {
    "max_shift": 2,
    "max_rotation": 45.0,
    "fill": "zero",
    "interpolation": "windows",
  }
  packing = found.pop("packing")
  assert packing.largest == 0
  assert packing.mask.keywords == {
    "scope": "authors",
    "exempt": sr2.L2_EXEMPT,
  }
  assert found == {
    "by_moments": True,
    "branches": True,
    "model": phase.network.model,
    "optimizer": phase.optimizer,
    "degrade": phase.degrade,
    "of_pairs": None,
    "sr_loss": "l1",
    "normalize_weights": True,
    "batch_size": 8,
    "image_shape": (SIZE, SIZE, 1),
    "crop": 0,
    "class_weights": None,
    "num_shards": 2,
    "axis_name": layout.axis_name,
    "steps_per_call": 5,
  }
  state = layout.put_members(np.arange(4.0, dtype=np.float32))
  np.testing.assert_array_equal(
    layout.fetch_members(step(state, (), ())), np.arange(4.0)
  )


def test_collectives_of_the_compiled_step_on_eight_devices():
  """Layout "data": one for gradients and metrics, two for each BatchNorm.

  A BatchNorm averages mean and variance in one all-reduce, and their gradients
  in another. Layout "members" has none.
  """
  # A process has one number of devices; eight need another process.
  done = subprocess.run(
    [sys.executable, "-m", "tests.collectives"],
    check=True,
    capture_output=True,
    text=True,
    cwd=pathlib.Path(__file__).parents[2],
  )
  data, members = map(json.loads, done.stdout.splitlines())
  num_norms = 7
  assert data == [{"all-reduce": 1 + 2 * num_norms}, num_norms]
  assert members == [{}, num_norms]
