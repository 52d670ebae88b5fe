"""Steps on 12 px images at scale 2, with FSRCNN and its classifier."""

import contextlib
import dataclasses
import functools
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr2_jax import parallel, rng
from sr2_jax.imaging import augmentation, degradation
from sr2_jax.models import sr2
from sr2_jax.training import (
  batches,
  network,
  optimizer,
  packing,
  population,
  steps,
)

# What compares the bits of two programs does so with those that users have.
pytestmark = pytest.mark.optimized

SIZE, SCALE, BATCH, NUM_IMAGES = 12, 2, 8, 24
OPERATOR = degradation.operator(SIZE, SCALE, blur_sigma=1.0, anti_aliasing=True)
LOSS_WEIGHT = 0.5
L2 = 1e-4
CLASS_WEIGHTS = tuple(np.linspace(0.25, 4, 10).tolist())


def degrade(high_res):
  return degradation.degrade(high_res, OPERATOR, OPERATOR)


AUGMENT = functools.partial(
  augmentation.augment, max_shift=1, max_rotation=10.0, fill="zero"
)


def augment_in_float64(keys, images):
  """A random factor for each pixel; `AUGMENT` does not trace with x64."""

  def of_image(key, image):
    return jax.random.uniform(key, image.shape, jnp.float64) * image

  return jax.vmap(of_image)(keys, images)


def make_model(wiring, **options):
  return sr2.SR2(
    trunk="fsrcnn",
    wiring=wiring,
    scale=SCALE,
    channels=1,
    convolution="cpu",
    **options,
  )


RATES = {
  "none": {"shared": 1e-3, "sr": 1e-3},
  "parallel": {"shared": 1e-3, "sr": 1e-3, "classifier": 1e-3},
}


def make_optimizer(**rates):
  return optimizer.create(
    rates or RATES["parallel"],
    b1=0.9,
    b2=0.999,
    eps=1e-7,
    l2_scope="authors",
    l2_exempt=sr2.L2_EXEMPT,
  )


l2_mask = functools.partial(
  optimizer.l2_mask, scope="authors", exempt=sr2.L2_EXEMPT
)


@contextlib.contextmanager
def without_optimizing():
  """For programs that are compared with a tolerance, and run a few times."""
  jax.config.update("jax_disable_most_optimizations", True)
  try:
    yield
  finally:
    jax.config.update("jax_disable_most_optimizations", False)


def make_state(model, opt, seeds):
  initial = network.Network(model, (SIZE // SCALE, SIZE // SCALE, 1))

  def create(seed):
    variables = initial.init(seed)
    opt_state = opt.init(variables["params"])
    return steps.TrainState(**variables, opt_state=opt_state)

  with without_optimizing():
    state = jax.jit(jax.vmap(create))(np.asarray(seeds, np.uint32))
  return jax.tree.map(np.asarray, state)


def make_data():
  random = np.random.default_rng(0)
  images = random.integers(0, 256, (NUM_IMAGES, SIZE, SIZE, 1), np.uint8)
  return images, random.integers(0, 10, NUM_IMAGES).astype(np.int32)


@pytest.fixture(scope="module")
def data():
  return make_data()


def make_settings(layout, wiring, **changes):
  settings = steps.Settings(
    model=make_model(wiring, axis_name=layout.axis_name),
    optimizer=make_optimizer(**RATES[wiring]),
    augment=AUGMENT,
    degrade=lambda keys, high_res: (degrade(high_res), None),
    sr_loss="mse",
    normalize_weights=False,
    batch_size=BATCH,
    image_shape=(SIZE, SIZE, 1),
    num_shards=layout.num_shards,
    axis_name=layout.axis_name,
    packing=packing.Packing(0, l2_mask),
    by_moments=False,
    branches=True,
  )
  return dataclasses.replace(settings, **changes)


# Compiling is most of these tests' time: each program is compiled once.
@functools.cache
def training_step(layout, wiring, steps_per_call=1, **changes):
  settings = make_settings(layout, wiring, **changes)
  return layout.map(
    steps.train_program(settings, steps_per_call=steps_per_call)
  )


def orders_of(members):
  return np.stack(
    [
      rng.epoch_order(int(seed), 0, num_images=NUM_IMAGES)
      for seed in members.seeds
    ]
  )


def train(layout, members, state, data, *, step=None, calls=(1, 1)):
  """The state after calls of so many steps, and the metrics of each step."""
  step = step or training_step(layout, "parallel")
  of_members = layout.put_members((members.arrays(), orders_of(members)))
  on_devices = layout.put_members(steps.all_alive(state))
  metrics, first = [], 0
  for num_steps in calls:
    on_devices, values = step(
      on_devices, of_members, (*data, np.int32(first), np.int32(num_steps))
    )
    values = layout.fetch_members(values)
    metrics += [
      {name: value[:, index] for name, value in values.items()}
      for index in range(num_steps)
    ]
    first += num_steps
  return layout.fetch_members(on_devices.state), metrics


def widened(state):
  """float64 for float32."""

  def of_leaf(leaf):
    is_float = np.issubdtype(leaf.dtype, np.floating)
    return leaf.astype(np.float64) if is_float else leaf

  return jax.tree.map(of_leaf, state)


def train_in_float64(
  layout, members, state, data, *, calls, wiring="parallel", steps_per_call=1
):
  """`train`, to compare two orders of the same sums.

  In float32 one rounding error can change a whole step: it moves a PReLU's
  input across zero, makes another of two values the maximum, or decides the
  sign of a gradient that is almost zero, which Adam turns into a full step.
  Where that happens depends on the processor. In float64 it does not happen:
  rounding is a billion times finer.
  """
  with jax.enable_x64(True):
    step = training_step(
      layout,
      wiring,
      steps_per_call,
      augment=augment_in_float64,
      class_weights=CLASS_WEIGHTS,
    )
    after, metrics = train(
      layout, members, widened(state), data, step=step, calls=calls
    )
  assert after.params["sr"]["output"]["kernel"].dtype == np.float64
  assert metrics[0]["loss"].dtype == np.float64
  return after, metrics


ONE_DEVICE = parallel.layout("data", 1)


@pytest.fixture(scope="module")
def start():
  """A population of two before joint training."""
  members = population.expand((3, 4), (L2,), (LOSS_WEIGHT,))
  return members, make_state(
    make_model("parallel"), make_optimizer(), members.seeds
  )


@pytest.fixture(scope="module")
def joint(start, data):
  """The state after two steps on one device, and their metrics."""
  return train_in_float64(ONE_DEVICE, *start, data, calls=(1, 1))


def assert_close(actual, expected, *, tolerance):
  def check(path, a, b):
    np.testing.assert_allclose(
      a,
      b,
      rtol=0,
      atol=tolerance,
      equal_nan=False,
      err_msg=jax.tree_util.keystr(path),
    )

  jax.tree_util.tree_map_with_path(check, actual, expected)


# Float64 errors of sums in another order: losses differ by 1e-14 after two
# steps and weights by 1e-11, because a gradient of zero has a rounding error
# that Adam divides by its eps, 1e-7. A step is 1e-3.
ROUNDING = 1e-9


def test_first_step_equals_the_objective_written_out(start, joint, data):
  """Equation 1 for one member, on the batch that its random streams give."""
  (members, state), (_, metrics) = start, joint
  model = make_model("parallel")
  images, labels = data
  seed = members.seeds[1]
  chosen = rng.epoch_order(seed, 0, num_images=NUM_IMAGES)[:BATCH]
  apply = functools.partial(model.apply, train=True, mutable=["batch_stats"])
  with jax.enable_x64(True), without_optimizing():
    one = widened(population.take(state, 1))
    key = jax.random.fold_in(rng.stream(seed, "augment"), 0)
    high_res = augment_in_float64(
      rng.per_image(key, jnp.arange(BATCH)),
      jnp.asarray(images[chosen], jnp.float32) / 255,
    )
    outputs, _ = jax.jit(apply)(
      {"params": one.params, "batch_stats": one.batch_stats},
      degrade(high_res),
    )
    loss_sr = float(np.mean((outputs["super_res"] - high_res) ** 2))
    log_probabilities = np.asarray(jax.nn.log_softmax(outputs["logits"]))
  picked = log_probabilities[np.arange(BATCH), labels[chosen]]
  picked *= np.array(CLASS_WEIGHTS)[labels[chosen]]
  expected = {
    "loss_sr": loss_sr,
    "loss_classifier": -picked.mean(),
    "loss": loss_sr - LOSS_WEIGHT * picked.mean(),
    "accuracy": np.mean(
      np.argmax(log_probabilities, axis=-1) == labels[chosen]
    ),
  }
  assert metrics[0].keys() == {*expected, steps.ALIVE}
  for name, value in expected.items():
    np.testing.assert_allclose(
      metrics[0][name][1], value, rtol=0, atol=ROUNDING, err_msg=name
    )


def test_a_member_equals_its_solo_run_in_one_call(start, joint, data):
  """A loop of two steps; XLA may sum in another order in its body."""
  members, state = start
  solo = train_in_float64(
    ONE_DEVICE,
    population.expand((4,), (L2,), (LOSS_WEIGHT,)),
    population.take(state, [1]),
    data,
    calls=(2,),
    steps_per_call=2,
  )
  assert members.seeds[1] == 4
  assert_close(solo, population.take(joint, [1]), tolerance=ROUNDING)


def test_four_devices_that_share_a_batch_change_no_result(start, joint, data):
  """Losses, weights, BatchNorm statistics and Adam's moments.

  The moments are what shows the size of a gradient: Adam's steps hardly depend
  on it. Each image's term has its class's weight, whoever shares the batch.
  """
  layout = parallel.layout("data", 4)
  spread = train_in_float64(layout, *start, data, calls=(1, 1))
  assert_close(spread, joint, tolerance=ROUNDING)


def test_one_to_eight_devices_do_not_change_the_result():
  """Three members: split evenly, with idle ones, and on idle devices."""
  # A process has one number of devices; eight need another process.
  done = subprocess.run(
    [sys.executable, "-m", "tests.many_devices"],
    check=False,
    capture_output=True,
    text=True,
    cwd=pathlib.Path(__file__).parents[2],
  )
  assert done.returncode == 0, done.stderr
  assert len(done.stdout.splitlines()) == 4


def test_training_is_repeatable_bit_for_bit(start, joint, data):
  again = train_in_float64(ONE_DEVICE, *start, data, calls=(1, 1))
  jax.tree.map(np.testing.assert_array_equal, again, joint)


@pytest.fixture(scope="module")
def sr_only():
  """Members and state without a classifier, which compile faster."""
  members = population.expand((3, 4), (L2,), (None,))
  opt = make_optimizer(**RATES["none"])
  return members, make_state(make_model("none"), opt, members.seeds)


@pytest.fixture(scope="module")
def in_one_call(sr_only, data):
  step = training_step(ONE_DEVICE, "none", 3)
  return train(ONE_DEVICE, *sr_only, data, step=step, calls=(3,))


@pytest.mark.parametrize("calls", [(1, 1, 1), (1, 2)])
def test_calls_of_any_length_give_the_same_bits(
  sr_only, in_one_call, data, calls
):
  step = training_step(ONE_DEVICE, "none", 3)
  actual = train(ONE_DEVICE, *sr_only, data, step=step, calls=calls)
  jax.tree.map(np.testing.assert_array_equal, actual, in_one_call)


@pytest.mark.parametrize("name", ["data", "members"])
def test_streamed_batches_give_the_same_bits(sr_only, data, name):
  """In two calls; the second does not use its last batch."""
  members, state = sr_only
  layout = parallel.layout(name, 2)
  step = training_step(layout, "none", 2)
  expected = train(layout, members, state, data, step=step, calls=(2, 1))

  on_devices, metrics = layout.put_members(steps.all_alive(state)), []
  rows = orders_of(members).reshape(2, 3, BATCH)
  rows = np.concatenate((rows, np.zeros_like(rows[:, :1])), axis=1)
  for first, num_steps in ((0, 2), (2, 1)):
    on_devices, values = step(
      on_devices,
      (layout.put_members(members.arrays()), None),
      (None, None, np.int32(first), np.int32(num_steps)),
      layout.put_batches(data, rows[:, first : first + 2]),
    )
    values = layout.fetch_members(values)
    metrics += [
      {name: value[:, index] for name, value in values.items()}
      for index in range(num_steps)
    ]
  actual = layout.fetch_members(on_devices.state), metrics
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.mark.parametrize(
  ("l2", "alive"), [(3e38, (True, True)), (L2, (True, False))]
)
@pytest.mark.parametrize("name", ["data", "members"])
def test_a_member_that_diverges_costs_itself_alone(
  sr_only, data, name, l2, alive
):
  """The other's bits are those beside a healthy one; it stays as it was.

  Such an L2 makes its first gradients infinite. Without it, the member is
  healthy, but has diverged before.
  """
  members, state = sr_only
  layout = parallel.layout(name, 2)
  step = training_step(layout, "none", 2)
  healthy, metrics = train(
    layout, members, state, data, step=step, calls=(2, 1)
  )
  assert all(values[steps.ALIVE].all() for values in metrics)
  members = dataclasses.replace(members, l2s=(L2, l2))
  running = layout.put_members(steps.Running(state, np.array(alive)))
  of_members = layout.put_members((members.arrays(), orders_of(members)))
  for first, num_steps in ((0, 2), (2, 1)):
    shared = (*data, np.int32(first), np.int32(num_steps))
    running, values = step(running, of_members, shared)
    values = layout.fetch_members(values)
    for index in range(num_steps):
      expected = metrics[first + index]
      assert values[steps.ALIVE][:, index].tolist() == [True, False]
      for key in ("loss", "loss_sr"):
        assert values[key][0, index] == expected[key][0], key
  after = layout.fetch_members(running)
  assert after.alive.tolist() == [True, False]
  for place, expected in ((0, healthy), (1, state)):
    jax.tree.map(
      np.testing.assert_array_equal,
      population.take(after.state, place),
      population.take(expected, place),
    )


# What accelerators do: all but large kernels are joined, moments are seen.
ON_ACCELERATOR = {
  "packing": packing.Packing(5000, l2_mask, outputs_first=True),
  "by_moments": True,
  "branches": False,
}


def train_joined(members, state, data):
  step = training_step(ONE_DEVICE, "none", 3, **ON_ACCELERATOR)
  with without_optimizing():
    return train(ONE_DEVICE, members, state, data, step=step, calls=(3,))


@pytest.fixture(scope="module")
def joined(sr_only, data):
  return train_joined(*sr_only, data)


def test_joined_arrays_train_alike(in_one_call, joined):
  (actual, metrics), (expected, expected_metrics) = joined, in_one_call
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  assert_close(actual.batch_stats, expected.batch_stats, tolerance=1e-4)
  for values, expected_values in zip(metrics, expected_metrics, strict=True):
    assert values[steps.ALIVE].all()
    for name in ("loss", "loss_sr"):
      np.testing.assert_allclose(values[name], expected_values[name], rtol=1e-4)


def test_second_moments_tell_of_a_divergence(sr_only, joined, data):
  (members, state), (healthy, _) = sr_only, joined
  members = dataclasses.replace(members, l2s=(L2, 3e38))
  after, metrics = train_joined(members, state, data)
  assert metrics[0][steps.ALIVE].tolist() == [True, False]
  for place, expected in ((0, healthy), (1, state)):
    jax.tree.map(
      np.testing.assert_array_equal,
      population.take(after, place),
      population.take(expected, place),
    )


def test_images_as_rows_give_the_same_bits(sr_only, in_one_call, data):
  images, labels = data
  rows = batches.as_rows(images)
  assert rows.shape == (NUM_IMAGES, 256)  # 144 values and zeros
  step = training_step(ONE_DEVICE, "none", 3)
  actual = train(ONE_DEVICE, *sr_only, (rows, labels), step=step, calls=(3,))
  jax.tree.map(np.testing.assert_array_equal, actual, in_one_call)


def test_bfloat16_trains_with_float32_all_around(sr_only, data):
  """State and metrics are float32; the loss falls as it does in float32."""
  members, state = sr_only
  step = training_step(
    ONE_DEVICE, "none", 3, model=make_model("none", dtype="bfloat16")
  )
  calls = (3, 3, 3)
  with without_optimizing():
    after, metrics = train(
      ONE_DEVICE, members, state, data, step=step, calls=calls
    )
  form = jax.tree.map(lambda x: (x.shape, x.dtype), state)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == form
  full = training_step(ONE_DEVICE, "none", 3)
  _, expected = train(ONE_DEVICE, members, state, data, step=full, calls=calls)
  losses = np.stack([step["loss"] for step in metrics])
  assert losses.dtype == np.float32
  assert np.all(losses[-1] < 0.8 * losses[0])
  np.testing.assert_allclose(
    losses, np.stack([step["loss"] for step in expected]), rtol=0.05
  )


def test_frozen_subtree_keeps_its_parameters_and_statistics(data):
  """It normalizes by them as well, so its function does not change."""
  model = make_model("none", frozen=("shared",))
  opt = make_optimizer(shared=0.0, sr=1e-3)
  members = population.expand((0,), (L2,), (None,))
  state = make_state(model, opt, members.seeds)
  step = training_step(
    ONE_DEVICE, "none", model=model, optimizer=opt, sr_loss="l1"
  )
  with without_optimizing():
    after, _ = train(ONE_DEVICE, members, state, data, step=step, calls=(1,))
  for before, now in (
    (state.params, after.params),
    (state.batch_stats, after.batch_stats),
  ):
    jax.tree.map(np.testing.assert_array_equal, before["shared"], now["shared"])
    moved = jax.tree.map(lambda a, b: np.any(a != b), before["sr"], now["sr"])
    assert any(jax.tree.leaves(moved))


def test_a_class_weight_is_a_factor_of_the_classifiers_loss():
  random = np.random.default_rng(0)
  logits = jnp.asarray(random.normal(size=(BATCH, 10)), jnp.float32)
  image = jnp.zeros((BATCH, SIZE, SIZE, 1))
  plain, weighted = (
    steps.losses(
      make_settings(ONE_DEVICE, "parallel", class_weights=given),
      {"super_res": image, "logits": logits},
      image,
      jnp.arange(BATCH),
      jnp.float32(LOSS_WEIGHT),
    )
    for given in (None, CLASS_WEIGHTS)
  )
  expected = plain["loss_classifier"] * np.array(CLASS_WEIGHTS)[:BATCH]
  np.testing.assert_allclose(weighted["loss_classifier"], expected, rtol=1e-6)
  np.testing.assert_allclose(weighted["loss"], LOSS_WEIGHT * expected, 1e-6)


def test_normalized_weights_divide_the_loss():
  """By 1 + lambda; the terms that are recorded beside it stay as they are."""
  random = np.random.default_rng(0)
  images = random.random((2, BATCH, SIZE, SIZE, 1), np.float32)
  outputs = {
    "super_res": jnp.asarray(images[0]),
    "logits": jnp.asarray(random.normal(size=(BATCH, 10)), jnp.float32),
  }
  plain, normalized = (
    steps.losses(
      make_settings(ONE_DEVICE, "parallel", normalize_weights=normalize),
      outputs,
      jnp.asarray(images[1]),
      jnp.arange(BATCH),
      jnp.float32(LOSS_WEIGHT),
    )
    for normalize in (False, True)
  )
  expected = {**plain, "loss": plain["loss"] / (1 + LOSS_WEIGHT)}
  assert normalized.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(normalized[name], value, rtol=1e-6)


def test_initial_subtrees_do_not_depend_on_the_wiring(start, sr_only):
  (_, parallel_wiring), (_, no_wiring) = start, sr_only
  for subtree in ("shared", "sr"):
    jax.tree.map(
      np.testing.assert_array_equal,
      no_wiring.params[subtree],
      parallel_wiring.params[subtree],
    )


def test_uint8_is_scaled_to_the_unit_interval():
  scaled = steps.to_float(jnp.array([0, 51, 255], jnp.uint8))
  np.testing.assert_allclose(scaled, [0, 0.2, 1], rtol=1e-6)


def test_uint16_is_scaled_to_the_unit_interval():
  deep = np.array([[0, 257, 65535]], np.uint16)
  found = steps.to_float(jnp.asarray(deep))
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, deep / np.float64(65535), rtol=3e-7)
  shallow = steps.to_float(jnp.arange(256).astype(jnp.uint8))
  wide = steps.to_float((257 * jnp.arange(256)).astype(jnp.uint16))
  np.testing.assert_allclose(shallow, wide, rtol=3e-7)
