"""Scores of a batch, compared with a loop over levels and images."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import skimage.metrics

from sr2_jax import parallel, rng
from sr2_jax.evaluation import program
from sr2_jax.imaging import degradation, noise
from sr2_jax.models import sr2
from sr2_jax.training import network, population

SIZE, SCALE, BATCH = 12, 2, 8
VARIANCES = (0.0, 1e-3, 1e-2)
OPERATOR = degradation.operator(SIZE, SCALE, blur_sigma=1.0, anti_aliasing=True)
WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def degrade(high_res):
  return degradation.degrade(high_res, OPERATOR, OPERATOR)


@pytest.fixture(scope="module")
def net():
  model = sr2.SR2("fsrcnn", "parallel", SCALE, 1)
  return network.Network(model, (SIZE // SCALE, SIZE // SCALE, 1))


@pytest.fixture(scope="module")
def variables(net):
  """Two members, with running statistics that differ from the initial ones."""
  initial = jax.jit(jax.vmap(net.init))(np.arange(2, dtype=np.uint32))
  initial["batch_stats"] = jax.tree.map(
    lambda x: x + 0.1, initial["batch_stats"]
  )
  return jax.tree.map(np.asarray, initial)


@pytest.fixture(scope="module")
def batch():
  random = np.random.default_rng(0)
  return program.EvalBatch(
    images=random.integers(0, 256, (BATCH, SIZE, SIZE, 1), np.uint8),
    labels=random.integers(0, 10, BATCH).astype(np.int32),
    # The second half of a split, so that noise by position shows.
    positions=np.arange(BATCH, 2 * BATCH, dtype=np.int32),
    mask=np.array([1, 1, 1, 1, 1, 0, 0, 0], np.float32),
  )


def evaluate(layout, net, variables, batch, *, clip=False):
  settings = program.Settings(
    apply=net.apply,
    degrade=degrade,
    sr_loss="mse",
    clip=clip,
    noise_seed=5,
    num_shards=layout.num_shards,
    axis_name=layout.axis_name,
  )
  mapped = layout.map(program.create(settings))
  shared = layout.put_shared((batch, np.asarray(VARIANCES, np.float32)))
  return layout.fetch_members(mapped(layout.put_members(variables), (), shared))


@pytest.fixture(scope="module")
def evaluated(net, variables, batch):
  return evaluate(parallel.layout("data", 1), net, variables, batch)


def inputs_of(batch):
  """Low-resolution inputs of every level, [V, B, h, w, 1]."""
  clean = np.asarray(degrade(jnp.asarray(batch.images / np.float32(255))))
  keys = rng.per_image(rng.stream(5, "noise"), jnp.asarray(batch.positions))
  draw = np.asarray(noise.draw(keys, clean.shape[1:]))
  noisy = [np.clip(clean + v**0.5 * draw, 0, 1) for v in VARIANCES[1:]]
  return np.stack([clean, *noisy]).astype(np.float32)


def scores_of(super_res, high_res, logits, label):
  """Scores of one image, by scikit-image and optax."""
  ssim = skimage.metrics.structural_similarity
  error = np.mean((super_res - high_res) ** 2)
  return {
    "ssim": ssim(high_res, super_res, data_range=1, **WANG),
    "ssim_uniform7": ssim(high_res, super_res, data_range=1),
    "ssim_uniform7_range2": ssim(high_res, super_res, data_range=2),
    "psnr_db": -10 * np.log10(error),
    "loss_sr": error,
    "loss_classifier": float(
      optax.softmax_cross_entropy_with_integer_labels(logits, label)
    ),
    "predicted": int(np.argmax(logits)),
  }


@pytest.mark.parametrize("clip", [False, True])
def test_evaluation_equals_a_loop_over_levels_and_images(
  net, variables, batch, clip
):
  layout = parallel.layout("data", 1)
  scores = evaluate(layout, net, variables, batch, clip=clip)
  assert {x.shape for x in scores.values()} == {(2, len(VARIANCES), BATCH)}
  apply = jax.jit(lambda one, x: net.model.apply(one, x, train=False))
  for member in range(2):
    one = population.take(variables, member)
    for level, low_res in enumerate(inputs_of(batch)):
      outputs = jax.tree.map(np.asarray, apply(one, low_res))
      if clip:
        outputs["super_res"] = np.clip(outputs["super_res"], 0, 1)
      for i in range(BATCH):
        expected = scores_of(
          outputs["super_res"][i, ..., 0],
          batch.images[i, ..., 0] / np.float32(255),
          outputs["logits"][i],
          batch.labels[i],
        )
        assert scores.keys() == expected.keys()
        for name, value in expected.items():
          np.testing.assert_allclose(
            scores[name][member, level, i],
            value,
            rtol=1e-3,
            atol=1e-4,
            err_msg=name,
          )


@pytest.mark.parametrize(("name", "devices"), [("data", 4), ("members", 2)])
def test_devices_do_not_change_the_evaluation(
  net, variables, batch, evaluated, name, devices
):
  layout = parallel.layout(name, devices)
  actual = evaluate(layout, net, variables, batch)
  assert actual.keys() == evaluated.keys()
  for metric, values in evaluated.items():
    np.testing.assert_allclose(
      actual[metric], values, rtol=1e-3, atol=1e-5, err_msg=metric
    )
