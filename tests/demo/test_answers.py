"""What JAX says about examples."""

import jax
import numpy as np
import pytest
from PIL import Image

from sr2_jax.demo import answers, layer_list
from sr2_jax.imaging import degradation
from sr2_jax.training import network
from tests.demo import numpy_layers, random_network


@pytest.fixture(scope="module")
def found(tmp_path_factory):
  """Answers, and what they are about."""
  folder = tmp_path_factory.mktemp("answers")
  random_network.write(folder, shape=(16, 24, 3), scale=2, wiring="none")
  _, trained = random_network.load(folder)
  first = jax.tree.map(lambda x: x[0], trained.variables)
  stored = layer_list.rounded(network.flatten(first))
  images = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), np.uint8)
  return answers.of(trained, stored, images), trained, stored, images


def test_they_are_of_the_stored_kernels(found):
  answer, trained, stored, images = found
  made = layer_list.of(trained.network.model, stored)
  rows, columns = answer.shrink
  assert answer.logits is None
  for image, super_res in zip(images, answer.super_res, strict=True):
    low_res = np.einsum("ij,jkc,lk->ilc", rows, image / 255, columns)
    expected = numpy_layers.run(made, low_res)["super_res"]
    error = np.abs(super_res - expected).max() / np.abs(expected).max()
    assert error < 1e-5


def test_the_cost_of_rounding_is_the_difference_to_the_network(found):
  answer, trained, _, images = found
  rows, columns = answer.shrink
  low_res = np.einsum("ij,bjkc,lk->bilc", rows, images / 255, columns)
  exact = trained.apply(low_res)["super_res"][0]
  assert answer.costs.keys() == {"super_res"}
  expected = np.abs(exact - answer.super_res).max()
  assert expected > 1e-5
  assert answer.costs["super_res"] == pytest.approx(expected, rel=0.05)


def test_operators_are_the_runs_and_bicubic(found):
  answer, _, _, images = found
  for matrix, size in zip(answer.shrink, (16, 24), strict=True):
    np.testing.assert_array_equal(
      matrix,
      degradation.operator(size, 2, blur_sigma=1.0, anti_aliasing=True),
    )
  rows, columns = answer.enlarge
  assert (rows.shape, columns.shape) == ((16, 8), (24, 12))
  small = np.float32(images[0, :8, :12, 0] / 255)
  expected = Image.fromarray(small).resize((24, 16), Image.Resampling.BICUBIC)
  np.testing.assert_allclose(rows @ small @ columns.T, expected, atol=1e-6)
