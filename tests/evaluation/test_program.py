"""Scores of a batch, by SR2_FSRCNN on 12 px images at scale 2."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import skimage.metrics

from sr2_jax import parallel, rng
from sr2_jax.data import pairs
from sr2_jax.evaluation import program as program_lib
from sr2_jax.imaging import degradation, noise
from sr2_jax.models import sr2
from sr2_jax.training import network, population

SIZE, SCALE, BATCH = 12, 2, 8
OPERATOR = degradation.operator(SIZE, SCALE, blur_sigma=1.0, anti_aliasing=True)
MODEL = sr2.SR2(
  trunk="fsrcnn", wiring="parallel", scale=SCALE, channels=1, convolution="cpu"
)
NETWORK = network.Network(MODEL, (SIZE // SCALE, SIZE // SCALE, 1))
VARIANCES = (0.0, 1e-3, 1e-2)


def degrade(high_res):
  return degradation.degrade(high_res, OPERATOR, OPERATOR)


@pytest.fixture(scope="module")
def batch():
  random = np.random.default_rng(0)
  return program_lib.EvalBatch(
    images=random.integers(0, 256, (BATCH, SIZE, SIZE, 1), np.uint8),
    labels=random.integers(0, 10, BATCH).astype(np.int32),
    positions=np.arange(BATCH, dtype=np.int32),
    mask=np.ones(BATCH, np.float32),
  )


@pytest.fixture(scope="module")
def variables():
  """Two members, with BatchNorm statistics as after some training."""
  initial = jax.jit(jax.vmap(NETWORK.init))(np.asarray([3, 4], np.uint32))
  random = np.random.default_rng(1)
  statistics = jax.tree.map(
    lambda x: random.uniform(0.5, 1.5, x.shape).astype(np.float32),
    initial["batch_stats"],
  )
  return {"params": initial["params"], "batch_stats": statistics}


def evaluate(layout, variables, batch):
  program = layout.map(
    program_lib.create(
      program_lib.Settings(
        apply=NETWORK.apply,
        degrade=degrade,
        sr_loss="mse",
        clip=False,
        noise_seed=5,
        num_shards=layout.num_shards,
        axis_name=layout.axis_name,
      )
    )
  )
  shared = layout.put_shared((batch, np.asarray(VARIANCES, np.float32)))
  return layout.fetch_members(
    program(layout.put_members(variables), (), shared)
  )


@pytest.fixture(scope="module")
def evaluated(variables, batch):
  """The scores on one device."""
  return evaluate(parallel.layout("data", 1), variables, batch)


def test_evaluation_equals_a_loop_over_levels_and_images(
  variables, batch, evaluated
):
  scores = evaluated
  assert {value.shape for value in scores.values()} == {(2, 3, BATCH)}
  apply = jax.jit(functools.partial(MODEL.apply, train=False))
  high_res = batch.images.astype(np.float32) / 255
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
              outputs["logits"][i], batch.labels[i]
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
def test_devices_do_not_change_the_evaluation(
  variables, batch, evaluated, name
):
  layout = parallel.layout(name, 4 if name == "data" else 2)
  actual = evaluate(layout, variables, batch)
  assert actual.keys() == evaluated.keys()
  for metric, scores in evaluated.items():
    np.testing.assert_allclose(
      actual[metric], scores, atol=1e-3, err_msg=metric
    )


def test_a_network_is_told_the_noise_of_its_level():
  """`describe` gets the level's variance once for every image of the batch."""

  class Told:
    def apply(self, variables, low_res, description, *, train):
      assert not train
      return {"super_res": variables * low_res + description[..., None, None]}

  def describe(noise_variances):
    return jnp.sqrt(noise_variances)[:, None]

  told = network.Network(Told(), (2, 2, 1), describe)
  low_res = np.ones((3, 2, 2, 1), np.float32)
  over_levels = jax.vmap(told.apply, in_axes=(None, None, 0))
  outputs = over_levels(2.0, low_res, jnp.asarray([0.0, 0.25]))
  np.testing.assert_array_equal(outputs["super_res"][0], 2 * low_res)
  np.testing.assert_array_equal(outputs["super_res"][1], 2 * low_res + 0.5)


def test_pairs_bring_the_low_resolution_images(batch):
  """Noise is added to theirs; nothing is degraded."""
  random = np.random.default_rng(2)
  low_res = random.integers(0, 256, (BATCH, 6, 6, 1), np.uint8)
  paired = batch.replace(images=pairs.packed(batch.images, low_res))
  seen = []

  def apply(variables, low_res, noise_variance):
    repeated = jnp.repeat(jnp.repeat(low_res, SCALE, 1), SCALE, 2)
    return {"super_res": repeated}

  program = program_lib.create(
    program_lib.Settings(
      apply=apply,
      degrade=seen.append,
      sr_loss="mse",
      clip=False,
      noise_seed=5,
      num_shards=1,
      axis_name=None,
      pair_scale=SCALE,
    )
  )
  scores = program(
    jnp.zeros(1), (), (paired, jnp.asarray(VARIANCES)), jnp.int32(0)
  )
  assert not seen
  clean = low_res.astype(np.float32) / 255
  keys = rng.per_image(rng.stream(5, "noise"), jnp.arange(BATCH))
  draw = np.asarray(noise.draw(keys, clean.shape[1:]))
  for level, variance in enumerate(VARIANCES):
    noisy = clean
    if variance:
      noisy = np.clip(clean + np.sqrt(variance) * draw, 0, 1)
    difference = noisy.repeat(2, 1).repeat(2, 2) - batch.images / 255
    np.testing.assert_allclose(
      scores["loss_sr"][0, level],
      (difference**2).mean(axis=(1, 2, 3)),
      rtol=1e-5,
    )
