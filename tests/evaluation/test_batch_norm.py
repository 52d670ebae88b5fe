"""BatchNorm's statistics against NumPy, from the inputs of every BatchNorm."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from sr2_jax import parallel, rng
from sr2_jax.data import dataset
from sr2_jax.evaluation import batch_norm
from sr2_jax.imaging import augmentation
from sr2_jax.models import batch_norm as norm_lib
from sr2_jax.training import inputs, population
from tests import tiny_network

NUM_BATCHES = 3
BATCH = 4
# The second batch of two in an epoch of 10 images; the third starts another.
NUM_IMAGES = 10


def make_run(folder, layout=None, **changes):
  run = tiny_network.make_run(folder, **changes)
  train = tiny_network.make_split(NUM_IMAGES, 3)
  object.__setattr__(run.dataset, "train", train)
  object.__setattr__(run, "layout", layout or parallel.layout("data", 1))
  return run


def trained(phase):
  """Weights as if trained, with statistics that are far from the batches'."""
  random = np.random.default_rng(0)
  variables = phase.create_state().variables
  variables["params"] = jax.tree.map(
    lambda x: (x + random.normal(0, 0.05, x.shape)).astype(np.float32),
    variables["params"],
  )
  variables["batch_stats"] = jax.tree.map(
    lambda x: random.uniform(2, 3, x.shape).astype(np.float32),
    variables["batch_stats"],
  )
  return variables


def estimate(run, phase, variables, **options):
  estimator = batch_norm.Estimator(run, phase)
  layout = run.layout.of(phase.population.size)
  on_devices = layout.put_members(variables)
  return estimator(on_devices, num_batches=NUM_BATCHES, **options)


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
  """SR2_FSRCNN of two seeds and two loss weights, and its statistics."""
  run = make_run(tmp_path_factory.mktemp("run"))
  phase = run.phase("joint")
  variables = trained(phase)
  return run, phase, variables, estimate(run, phase, variables)


def low_res_of(run, seed, index):
  """The inputs of a batch, from what training makes its own with."""
  epoch, place = divmod(index, NUM_IMAGES // BATCH)
  key = jax.random.fold_in(rng.stream(seed, "batch_norm_order"), epoch)
  order = np.asarray(jax.random.permutation(key, NUM_IMAGES))
  images = run.dataset.train.images[order[place * BATCH :][:BATCH]]
  keys = [
    jax.random.fold_in(
      jax.random.fold_in(rng.stream(seed, "batch_norm_augment"), index), image
    )
    for image in range(BATCH)
  ]
  augment = functools.partial(
    augmentation.augment,
    max_shift=run.config.augmentation.max_shift,
    max_rotation=run.config.augmentation.max_rotation,
    fill=run.config.augmentation.fill,
  )
  high_res = augment(jnp.stack(keys), jnp.float32(images / 255))
  degrade = inputs.degradation_of(
    run.config, tiny_network.SIZE, tiny_network.SIZE
  )
  return degrade(high_res)


def inputs_of_batch_norms(phase):
  """Function from variables and low_res to every BatchNorm's input, by path."""

  def apply(variables, low_res):
    found = {}

    def catch(following, arguments, options, context):
      if isinstance(context.module, norm_lib.BatchNorm):
        found[context.module.path] = arguments[0]
      return following(*arguments, **options)

    with nn.intercept_methods(catch):
      phase.network.model.apply(
        variables, low_res, train=True, mutable=["batch_stats"]
      )
    return found

  return jax.jit(apply)


def test_every_batch_norm_has_the_moments_of_all_its_inputs(joint):
  """In float64, over all batches at once, as if they had been one."""
  run, phase, variables, found = joint
  found = traverse_util.flatten_dict(found)
  measure = inputs_of_batch_norms(phase)
  for place, seed in enumerate(phase.population.seeds):
    member = population.take(variables, place)
    batches = [
      measure(member, low_res_of(run, seed, index))
      for index in range(NUM_BATCHES)
    ]
    # Six of the trunk, and those of the classifier.
    assert len(batches[0]) == len(found) / 2 > 6
    for path in batches[0]:
      seen = np.concatenate([np.float64(batch[path]) for batch in batches])
      axes = tuple(range(seen.ndim - 1))
      for name, expected in (
        ("mean", seen.mean(axes)),
        ("var", seen.var(axes)),
      ):
        np.testing.assert_allclose(
          found[*path, name][place],
          expected,
          rtol=1e-5,
          atol=1e-5,
          err_msg=f"{path} {name}",
        )


def test_members_of_one_seed_see_the_same_images(joint):
  """The first BatchNorm does not depend on the loss weight's weights."""
  run, phase, variables, _ = joint
  same = population.take(variables, [0, 0, 2, 2])
  found = estimate(run, phase, same)
  for leaf in jax.tree.leaves(found):
    np.testing.assert_array_equal(leaf[::2], leaf[1::2])
  mean = found["shared"]["feature_norm"]["mean"]
  assert not np.array_equal(mean[0], mean[2])


def test_the_old_statistics_do_not_matter_and_bits_repeat(joint):
  run, phase, variables, found = joint
  other = jax.tree.map(lambda x: x * 0 + 7, variables["batch_stats"])
  again = estimate(run, phase, {**variables, "batch_stats": other})
  jax.tree.map(np.testing.assert_array_equal, found, again)


def test_pooling_is_the_law_of_total_variance():
  random = np.random.default_rng(1)
  samples = random.normal(3, 2, (5, 2, 40)) + 10 * random.random((5, 2, 1))
  batches = [
    {"a": {"mean": np.float32(x.mean(-1)), "var": np.float32(x.var(-1))}}
    for x in samples
  ]
  found = batch_norm.pooled(batches)["a"]
  together = np.moveaxis(samples, 0, 1).reshape(2, -1)
  np.testing.assert_allclose(found["mean"], together.mean(-1), rtol=1e-6)
  np.testing.assert_allclose(found["var"], together.var(-1), rtol=1e-5)
  assert found["var"].dtype == np.float32


@pytest.mark.parametrize("name", ["data", "members"])
def test_several_devices_estimate_what_one_does(joint, tmp_path, name):
  """Two share the batches; three have four members and two idle ones."""
  _, _, variables, expected = joint
  run = make_run(tmp_path, parallel.layout(name, 2 if name == "data" else 3))
  found = estimate(run, run.phase("joint"), variables)
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
    found,
    expected,
  )


def test_crops_are_those_of_their_stream(joint, tmp_path):
  """Larger images around the same squares give the same statistics."""
  _, _, variables, _ = joint
  run = make_run(tmp_path, augmentation__crop=tiny_network.SIZE)
  random = np.random.default_rng(0)
  shape = (NUM_IMAGES, 20, 17, 1)
  whole = random.integers(0, 256, shape, np.uint8)
  labels = np.zeros(NUM_IMAGES, np.int32)
  object.__setattr__(run.dataset, "train", dataset.Split(whole, labels))
  phase = run.phase("joint")
  estimator = batch_norm.Estimator(run, phase)
  sent = []

  class Recorded:
    shape = (NUM_IMAGES, tiny_network.SIZE, tiny_network.SIZE, 1)
    places = estimator._images.places

    def __getitem__(self, places, images=estimator._images):
      sent.append(images[places])
      return sent[-1]

  estimator._images = Recorded()
  on_devices = run.layout.of(phase.population.size).put_members(variables)
  estimator(on_devices, num_batches=NUM_BATCHES)
  for index, images in enumerate(sent):
    for member, seed in enumerate(phase.population.seeds):
      epoch, place = divmod(index, NUM_IMAGES // BATCH)
      key = jax.random.fold_in(rng.stream(seed, "batch_norm_order"), epoch)
      order = np.asarray(jax.random.permutation(key, NUM_IMAGES))
      key = jax.random.fold_in(rng.stream(seed, "batch_norm_crop"), index)
      expected = augmentation.crop(
        rng.per_image(key, jnp.arange(BATCH)),
        jnp.asarray(whole[order[place * BATCH :][:BATCH]]),
        side=tiny_network.SIZE,
      )
      np.testing.assert_array_equal(images[0, member, 0], expected)
  assert len(sent) == NUM_BATCHES


def test_frozen_subtrees_keep_theirs(tmp_path):
  changes = {
    "joint__learning_rate__shared": 0.0,
    "joint__learning_rate__sr": 0.0,
    "model__batch_norm_momentum": 0.5,
    "joint__loss_weight": (1.0,),
    "num_seeds": 1,
  }
  run = make_run(tmp_path, **changes)
  phase = run.phase("joint")
  variables = trained(phase)
  found = estimate(run, phase, variables)
  for subtree in ("shared", "sr"):
    jax.tree.map(
      np.testing.assert_array_equal,
      found[subtree],
      variables["batch_stats"][subtree],
    )
  old = jax.tree.leaves(variables["batch_stats"]["classifier"])
  for leaf, before in zip(
    jax.tree.leaves(found["classifier"]), old, strict=True
  ):
    assert not np.any(leaf == before)


def test_what_comes_before_a_batch_may_stop_it(joint):
  run, phase, variables, _ = joint
  seen = []

  def stop():
    seen.append(1)
    if len(seen) == 2:
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    estimate(run, phase, variables, before_batch=stop)
