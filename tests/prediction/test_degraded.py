"""Low-resolution images as the evaluation of the run makes them."""

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from sr2_jax import errors
from sr2_jax.evaluation import program
from sr2_jax.prediction import degraded
from sr2_jax.training import inputs
from tests import tiny_predictor

ORIGIN = tiny_predictor.origin()
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 14, 14, 1), np.uint8)


def make(variance=0.0, channels=1):
  return degraded.Degradation(
    ORIGIN, channels=channels, noise_variance=variance
  )


@pytest.mark.parametrize("variance", [0.0, 1e-2])
def test_it_is_the_input_of_the_evaluation(variance):
  config = ConfigDict(dict(ORIGIN.config))
  settings = program.Settings(
    apply=lambda *_: {},
    degrade=inputs.degradation_of(config, 14, 14),
    sr_loss="mse",
    clip=False,
    noise_seed=config.eval.noise_seed,
    num_shards=1,
    axis_name=None,
  )
  high_res = jnp.asarray(IMAGES / np.float32(255))
  expected = program._low_res(
    settings,
    high_res,
    settings.degrade(high_res),
    jnp.arange(3),
    jnp.float32([variance]),
  )[0]
  degrade = make(variance)
  for position, image in enumerate(IMAGES):
    low_res, cropped = degrade(image, position)
    assert not cropped
    np.testing.assert_allclose(low_res, expected[position], atol=1e-6)


def test_what_does_not_divide_is_cropped():
  low_res, cropped = make()(np.pad(IMAGES[0], [(0, 1), (0, 1), (0, 0)]), 0)
  assert cropped
  np.testing.assert_array_equal(low_res, make()(IMAGES[0], 0)[0])


def test_colors_become_those_of_the_network():
  color = np.repeat(IMAGES[0], 3, axis=-1)
  low_res, _ = make()(color, 0)
  np.testing.assert_allclose(low_res, make()(IMAGES[0], 0)[0], atol=1e-6)
  assert make(channels=3)(IMAGES[0], 0)[0].shape == (7, 7, 3)


@pytest.mark.parametrize("side", [1, 5000])
def test_sides_out_of_range_are_refused(side):
  with pytest.raises(errors.UserError, match="from 2 to 4,096"):
    make()(np.zeros((2, side, 1), np.uint8), 0)
