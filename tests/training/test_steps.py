"""Steps on 12 px images at scale 2, with FSRCNN and its classifier."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import skimage.metrics

from sr2_jax import parallel, rng
from sr2_jax.imaging import augmentation, degradation, noise
from sr2_jax.models import sr2
from sr2_jax.training import optimizer, population, steps

SIZE, SCALE, BATCH, NUM_IMAGES = 12, 2, 8, 24
OPERATOR = degradation.operator(SIZE, SCALE, blur_sigma=1.0, anti_aliasing=True)
LOSS_WEIGHT = 0.5
L2 = 1e-4


def degrade(high_res):
  return degradation.degrade(high_res, OPERATOR, OPERATOR)


AUGMENT = functools.partial(
  augmentation.augment, max_shift=1, max_rotation=10.0, fill="zero"
)


def make_model(wiring, **options):
  return sr2.SR2(
    trunk="fsrcnn", wiring=wiring, scale=SCALE, channels=1, **options
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


def make_state(model, opt, seeds):
  create = functools.partial(
    steps.create_state,
    model,
    opt,
    low_res_shape=(SIZE // SCALE, SIZE // SCALE, 1),
  )
  state = jax.jit(jax.vmap(create))(np.asarray(seeds, np.uint32))
  return jax.tree.map(np.asarray, state)


@pytest.fixture(scope="module")
def data():
  random = np.random.default_rng(0)
  images = random.integers(0, 256, (NUM_IMAGES, SIZE, SIZE, 1), np.uint8)
  return images, random.integers(0, 10, NUM_IMAGES).astype(np.int32)


# Compiling is most of these tests' time: each program is compiled once.
@functools.cache
def training_step(layout, wiring, normalize_weights, steps_per_call=1):
  model = make_model(wiring, axis_name=layout.axis_name)
  program = steps.train_program(
    model=model,
    optimizer=make_optimizer(**RATES[wiring]),
    augment=AUGMENT,
    degrade=steps.without_draws(degrade),
    sr_loss="mse",
    normalize_weights=normalize_weights,
    batch_size=BATCH,
    num_shards=layout.num_shards,
    axis_name=layout.axis_name,
    steps_per_call=steps_per_call,
  )
  return layout.map(program)


def orders_of(members):
  return np.stack(
    [
      rng.epoch_order(int(seed), 0, num_images=NUM_IMAGES)
      for seed in members.seeds
    ]
  )


def train(layout, members, state, data, *, step=None, calls=(1, 1)):
  """The state after calls of so many steps, and the metrics of each step."""
  step = step or training_step(layout, "parallel", False)
  of_members = layout.put_members((members.arrays(), orders_of(members)))
  on_devices, metrics, first = layout.put_members(state), [], 0
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
  return layout.fetch_members(on_devices), metrics


ONE_DEVICE = parallel.layout("data", 1)


@pytest.fixture(scope="module")
def joint(data):
  """A population of two after two steps of joint training on one device."""
  model = make_model("parallel")
  members = population.expand((3, 4), (L2,), (LOSS_WEIGHT,))
  state = make_state(model, make_optimizer(), members.seeds)
  after, metrics = train(ONE_DEVICE, members, state, data)
  return model, members, state, after, metrics


@pytest.fixture(scope="module")
def evaluated(joint, data):
  """The sums of a batch of five images, on one device."""
  model, _, _, after, _ = joint
  return evaluate(ONE_DEVICE, model, after, data)


def assert_close(actual, expected, *, tolerance):
  def check(path, a, b):
    np.testing.assert_allclose(
      a, b, atol=tolerance, err_msg=jax.tree_util.keystr(path)
    )

  jax.tree_util.tree_map_with_path(check, actual, expected)


def test_first_step_equals_the_objective_written_out(joint, data):
  """Equation 1 on the batch that the streams name, one member, no vmap."""
  model, members, state, _, metrics = joint
  images, labels = data
  seed = members.seeds[1]
  one = population.take(state, 1)
  chosen = rng.epoch_order(seed, 0, num_images=NUM_IMAGES)[:BATCH]
  key = jax.random.fold_in(rng.stream(seed, "augment"), 0)
  high_res = AUGMENT(
    rng.per_image(key, jnp.arange(BATCH)),
    jnp.asarray(images[chosen], jnp.float32) / 255,
  )
  outputs, _ = model.apply(
    {"params": one.params, "batch_stats": one.batch_stats},
    degrade(high_res),
    train=True,
    mutable=["batch_stats"],
  )
  loss_sr = np.mean((outputs["super_res"] - high_res) ** 2)
  log_probabilities = jax.nn.log_softmax(outputs["logits"])
  picked = np.asarray(log_probabilities)[np.arange(BATCH), labels[chosen]]
  expected = {
    "loss_sr": loss_sr,
    "loss_classifier": -picked.mean(),
    "loss": loss_sr - LOSS_WEIGHT * picked.mean(),
    "accuracy": np.mean(
      np.argmax(outputs["logits"], axis=-1) == labels[chosen]
    ),
  }
  assert metrics[0].keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(
      metrics[0][name][1], value, rtol=2e-5, err_msg=name
    )


def test_a_member_equals_its_solo_run(joint, data):
  """To 2e-3 of Adam's first steps, whose size is the learning rate 1e-3.

  Adam divides by the gradient's size, so where a gradient is nearly zero its
  rounding decides the step's sign; such weights differ by whole steps.
  """
  _, _, state, after, metrics = joint
  solo, solo_metrics = train(
    ONE_DEVICE,
    population.expand((4,), (L2,), (LOSS_WEIGHT,)),
    population.take(state, [1]),
    data,
  )
  for of_all, of_one in zip(metrics, solo_metrics, strict=True):
    for name in of_all:
      np.testing.assert_allclose(
        of_all[name][1], of_one[name][0], rtol=1e-3, err_msg=name
      )
  differences = jax.tree.map(
    lambda a, b: np.abs(a[1] - b[0]).ravel(), after.params, solo.params
  )
  differences = np.concatenate(jax.tree.leaves(differences))
  assert differences.max() <= 4.1e-3  # two steps either way
  assert np.mean(differences > 1e-5) < 1e-2
  assert_close(
    population.take(after.batch_stats, 1),
    population.take(solo.batch_stats, 0),
    tolerance=1e-4,
  )


def gradient_errors(expected, actual):
  """Of each member the largest error of a layer, relative to its gradient.

  From Adam's first moments. Without the biases before a BatchNorm, which has a
  bias of its own: their gradient is zero but for rounding.
  """

  def gradients(state):
    moments = optax.tree.get_all_with_path(state.opt_state, "mu")
    return {
      jax.tree_util.keystr(path): leaf
      for _, moment in moments
      for path, leaf in jax.tree_util.tree_leaves_with_path(moment)
      if path[-1].key != "bias" or path[-2].key.endswith("_norm")
    }

  wanted, found = gradients(expected), gradients(actual)
  assert wanted.keys() == found.keys()
  assert len(wanted) > 50

  def norms(leaf):
    return np.linalg.norm(leaf.reshape(leaf.shape[0], -1), axis=1)

  return np.max(
    [norms(wanted[k] - found[k]) / norms(wanted[k]) for k in wanted], axis=0
  )


@pytest.mark.parametrize("name", ["data", "members"])
def test_devices_do_not_change_the_result(joint, data, name):
  """Four devices share the batch, or two a population of two.

  The gradients of one member at least agree to rounding. Where the input of a
  PReLU is zero but for rounding, its gradient is one or the other: that is one
  place in many thousands, and takes a hundredth of the layers before it along.
  The second step starts from Adam's first, which divides by such gradients.
  """
  _, members, state, after, metrics = joint
  layout = parallel.layout(name, 4 if name == "data" else 2)
  first, first_metrics = train(ONE_DEVICE, members, state, data, calls=(1,))
  spread, spread_metrics = train(layout, members, state, data, calls=(1,))
  for metric, value in first_metrics[0].items():
    np.testing.assert_allclose(
      spread_metrics[0][metric], value, rtol=1e-5, err_msg=metric
    )
  assert_close(spread.batch_stats, first.batch_stats, tolerance=1e-5)
  found = gradient_errors(first, spread)
  assert found.min() < 5e-5
  assert found.max() < 0.1

  spread, spread_metrics = train(layout, members, state, data)
  for metric, value in metrics[1].items():
    np.testing.assert_allclose(
      spread_metrics[1][metric], value, rtol=5e-3, err_msg=metric
    )
  differences = jax.tree.map(
    lambda a, b: np.abs(a - b).max(), after.params, spread.params
  )
  assert max(jax.tree.leaves(differences)) <= 4.1e-3  # two steps either way


def test_training_is_repeatable_bit_for_bit(joint, data):
  _, members, state, after, _ = joint
  again, _ = train(ONE_DEVICE, members, state, data)
  jax.tree.map(np.testing.assert_array_equal, again, after)


@pytest.fixture(scope="module")
def alone():
  """Super-resolution alone, which compiles faster: members and state."""
  members = population.expand((3, 4), (L2,), (None,))
  opt = make_optimizer(**RATES["none"])
  return members, make_state(make_model("none"), opt, members.seeds)


@pytest.fixture(scope="module")
def in_one_call(alone, data):
  step = training_step(ONE_DEVICE, "none", False, 3)
  return train(ONE_DEVICE, *alone, data, step=step, calls=(3,))


@pytest.mark.parametrize("calls", [(1, 1, 1), (1, 2)])
def test_calls_of_any_length_give_the_same_bits(
  alone, in_one_call, data, calls
):
  step = training_step(ONE_DEVICE, "none", False, 3)
  actual = train(ONE_DEVICE, *alone, data, step=step, calls=calls)
  jax.tree.map(np.testing.assert_array_equal, actual, in_one_call)


def test_a_loop_of_steps_equals_single_steps(alone, in_one_call, data):
  """Within rounding: XLA may compile a loop's body to other sums.

  Three of Adam's steps differ by 1e-3 each where a gradient is almost zero.
  """
  step = training_step(ONE_DEVICE, "none", False)
  state, metrics = train(ONE_DEVICE, *alone, data, step=step, calls=(1, 1, 1))
  for expected, actual in zip(in_one_call[1], metrics, strict=True):
    assert_close(actual, expected, tolerance=1e-4)
  differences = jax.tree.map(
    lambda a, b: np.abs(a - b).ravel(), state.params, in_one_call[0].params
  )
  differences = np.concatenate(jax.tree.leaves(differences))
  assert differences.max() <= 6.1e-3
  assert np.mean(differences > 1e-5) < 1e-2


@pytest.mark.parametrize("name", ["data", "members"])
def test_streamed_batches_give_the_same_bits(alone, data, name):
  """Two calls, the second of which does not use its last batch."""
  members, state = alone
  layout = parallel.layout(name, 2)
  step = training_step(layout, "none", False, 2)
  expected = train(layout, members, state, data, step=step, calls=(2, 1))

  on_devices, metrics = layout.put_members(state), []
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
  actual = layout.fetch_members(on_devices), metrics
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


def test_bfloat16_trains_with_float32_all_around(alone, data):
  """State, losses and metrics; the loss falls as it does in float32."""
  members, state = alone
  step = ONE_DEVICE.map(
    steps.train_program(
      model=make_model("none", dtype="bfloat16"),
      optimizer=make_optimizer(**RATES["none"]),
      augment=AUGMENT,
      degrade=steps.without_draws(degrade),
      sr_loss="mse",
      normalize_weights=False,
      batch_size=BATCH,
      num_shards=1,
      axis_name=None,
      steps_per_call=3,
    )
  )
  calls = (3, 3, 3)
  after, metrics = train(
    ONE_DEVICE, members, state, data, step=step, calls=calls
  )
  form = jax.tree.map(lambda x: (x.shape, x.dtype), state)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == form
  full = training_step(ONE_DEVICE, "none", False, 3)
  _, expected = train(ONE_DEVICE, members, state, data, step=full, calls=calls)
  losses = np.stack([step["loss"] for step in metrics])
  assert losses.dtype == np.float32
  assert np.all(losses[-1] < 0.8 * losses[0])
  np.testing.assert_allclose(
    losses, np.stack([step["loss"] for step in expected]), rtol=0.05
  )


def test_frozen_subtree_keeps_its_parameters_and_statistics(data):
  """And takes its running statistics, so that it computes one function."""
  model = make_model("none", frozen=("shared",))
  opt = make_optimizer(shared=0.0, sr=1e-3)
  members = population.expand((0,), (L2,), (None,))
  state = make_state(model, opt, members.seeds)
  step = ONE_DEVICE.map(
    steps.train_program(
      model=model,
      optimizer=opt,
      augment=AUGMENT,
      degrade=steps.without_draws(degrade),
      sr_loss="l1",
      normalize_weights=False,
      batch_size=BATCH,
      num_shards=1,
      axis_name=None,
    )
  )
  after, _ = train(ONE_DEVICE, members, state, data, step=step, calls=(1,))
  for before, now in (
    (state.params, after.params),
    (state.batch_stats, after.batch_stats),
  ):
    jax.tree.map(np.testing.assert_array_equal, before["shared"], now["shared"])
    moved = jax.tree.map(lambda a, b: np.any(a != b), before["sr"], now["sr"])
    assert any(jax.tree.leaves(moved))


def test_normalized_weights_divide_the_loss(joint, data):
  _, members, state, _, metrics = joint
  step = training_step(ONE_DEVICE, "parallel", True)
  _, normalized = train(ONE_DEVICE, members, state, data, step=step, calls=(1,))
  np.testing.assert_allclose(
    normalized[0]["loss"], metrics[0]["loss"] / (1 + LOSS_WEIGHT), rtol=1e-5
  )


def test_initial_subtrees_do_not_depend_on_the_wiring(joint):
  _, members, state, _, _ = joint
  alone = make_state(
    make_model("none"), make_optimizer(shared=1e-3, sr=1e-3), members.seeds
  )
  for subtree in ("shared", "sr"):
    jax.tree.map(
      np.testing.assert_array_equal,
      alone.params[subtree],
      state.params[subtree],
    )


VARIANCES = (0.0, 1e-3, 1e-2)


def evaluate(layout, model, state, data):
  images, labels = data
  program = layout.map(
    steps.eval_program(
      apply=steps.inference(model),
      degrade=degrade,
      sr_loss="mse",
      clip=False,
      noise_seed=5,
      num_shards=layout.num_shards,
      axis_name=layout.axis_name,
    )
  )
  batch = steps.EvalBatch(
    images=images[:BATCH],
    labels=labels[:BATCH],
    positions=np.arange(BATCH, dtype=np.int32),
    mask=np.array([1, 1, 1, 1, 1, 0, 0, 0], np.float32),
  )
  shared = layout.put_shared((batch, np.asarray(VARIANCES, np.float32)))
  variables = {"params": state.params, "batch_stats": state.batch_stats}
  return layout.fetch_members(
    program(layout.put_members(variables), (), shared)
  )


def test_evaluation_equals_a_loop_over_levels_and_images(
  joint, evaluated, data
):
  model, _, _, after, _ = joint
  variables = {"params": after.params, "batch_stats": after.batch_stats}
  scores = evaluated
  assert {value.shape for value in scores.values()} == {(2, 3, BATCH)}
  apply = jax.jit(functools.partial(model.apply, train=False))
  images, labels = data
  high_res = images[:BATCH].astype(np.float32) / 255
  clean = degrade(jnp.asarray(high_res))
  keys = rng.per_image(rng.stream(5, "noise"), jnp.arange(BATCH))
  draw = noise.draw(keys, clean.shape[1:])
  for member in range(2):
    one = population.take(variables, member)
    for level, variance in enumerate(VARIANCES):
      low_res = (
        clean
        if variance == 0
        else np.clip(clean + np.float32(variance) ** 0.5 * draw, 0, 1)
      )
      outputs = apply(one, low_res)
      for i in range(BATCH):
        a, b = high_res[i, ..., 0], np.asarray(outputs["super_res"][i, ..., 0])
        error = np.mean((a - b) ** 2)
        wang = {
          "gaussian_weights": True,
          "sigma": 1.5,
          "use_sample_covariance": False,
        }
        ssim = skimage.metrics.structural_similarity
        expected = {
          "ssim": ssim(a, b, data_range=1, **wang),
          "ssim_uniform7": ssim(a, b, data_range=1),
          "ssim_uniform7_range2": ssim(a, b, data_range=2),
          "psnr_db": -10 * np.log10(error),
          "loss_sr": error,
          "loss_classifier": float(
            optax.softmax_cross_entropy_with_integer_labels(
              outputs["logits"][i], labels[i]
            )
          ),
          "predicted": int(np.argmax(outputs["logits"][i])),
        }
        assert scores.keys() == expected.keys()
        for name, value in expected.items():
          np.testing.assert_allclose(
            scores[name][member, level, i],
            value,
            rtol=1e-3,
            atol=1e-4,
            err_msg=name,
          )


@pytest.mark.parametrize("name", ["data", "members"])
def test_devices_do_not_change_the_evaluation(joint, evaluated, data, name):
  model, _, _, after, _ = joint
  layout = parallel.layout(name, 4 if name == "data" else 2)
  actual = evaluate(layout, model, after, data)
  assert_close(actual, evaluated, tolerance=1e-3)


def test_uint8_is_scaled_to_the_unit_interval():
  scaled = steps.to_float(jnp.array([0, 51, 255], jnp.uint8))
  np.testing.assert_allclose(scaled, [0, 0.2, 1], rtol=1e-6)


def test_a_network_is_told_the_noise_of_its_level():
  """`describe` gets each level's variance for every image of the batch."""

  class Told:
    def apply(self, variables, low_res, description, *, train):
      assert not train
      return {"super_res": variables * low_res + description[..., None, None]}

  def describe(noise_variances):
    return jnp.sqrt(noise_variances)[:, None]

  apply = steps.inference(Told(), describe)
  low_res = np.ones((3, 2, 2, 1), np.float32)
  over_levels = jax.vmap(apply, in_axes=(None, None, 0))
  outputs = over_levels(2.0, low_res, jnp.asarray([0.0, 0.25]))
  np.testing.assert_array_equal(outputs["super_res"][0], 2 * low_res)
  np.testing.assert_array_equal(outputs["super_res"][1], 2 * low_res + 0.5)
