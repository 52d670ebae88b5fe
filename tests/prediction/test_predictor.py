"""Networks on images of any size; a real one for tiles, a fake for the rest."""

import jax
import numpy as np
import pytest

from sr2_jax.config import derived
from sr2_jax.prediction import predictor as predictor_lib
from sr2_jax.training import network as network_lib
from tests import tiny_predictor
from tests.training import test_network

RNG = np.random.default_rng(0)
GAINS = np.float32([0.5, 0.6, 0.7])


@pytest.fixture(scope="module")
def tiny():
  return tiny_predictor.make()


@pytest.fixture(scope="module")
def rgb():
  return tiny_predictor.make(channels=3)


def repeated(images):
  return np.repeat(np.repeat(images, 2, -3), 2, -2)


def test_the_result_is_the_mean_of_the_members(tiny):
  images = RNG.integers(0, 256, (5, 7, 7, 1), np.uint8)
  found = tiny(images)
  of_members = (
    repeated(images / np.float32(255)) * GAINS[:, None, None, None, None]
  )
  np.testing.assert_allclose(found.super_res, of_members.mean(0), atol=1e-6)
  np.testing.assert_allclose(found.spread, of_members.std(0, ddof=1), atol=1e-6)
  np.testing.assert_allclose(found.probabilities.sum(-1), 1, atol=1e-6)
  # Seeds 0 and 1 prefer the class "two", seed 2 prefers "one".
  assert found.labels.tolist() == [2] * 5
  assert found.agree.tolist() == [2] * 5
  assert found.of_members.shape == (5, 3, 3)
  assert found.class_names == ("zero", "one", "two")
  assert found.reason is None
  assert tiny.seeds == (0, 1, 2)


def test_one_member_has_no_spread():
  one = tiny_predictor.make(seeds=(1,))
  image = RNG.random((7, 7), np.float32)
  found = one(image)
  assert found.spread is None
  np.testing.assert_allclose(
    found.super_res, 0.6 * repeated(image[..., None])[..., 0], rtol=1e-6
  )
  assert found.agree == 1


def test_results_have_the_shape_of_what_was_given(tiny, rgb):
  for shape, of_gray, of_rgb in (
    ((7, 8), (14, 16), (14, 16)),
    ((7, 8, 1), (14, 16, 1), (14, 16, 1)),
    ((7, 8, 3), (14, 16, 1), (14, 16, 3)),
    ((2, 7, 8, 3), (2, 14, 16, 1), (2, 14, 16, 3)),
    ((0, 7, 8, 1), (0, 14, 16, 1), (0, 14, 16, 1)),
  ):
    images = np.zeros(shape, np.uint8)
    for network, expected in ((tiny, of_gray), (rgb, of_rgb)):
      found = network(images)
      assert found.super_res.shape == found.spread.shape == expected
      assert found.labels.shape == shape[:-3]
      assert found.probabilities.shape == (*shape[:-3], 3)
  with pytest.raises(ValueError, match="images"):
    tiny(np.zeros((5, 7, 7), np.uint8))


def test_colors_and_gray_in_the_other_kind_of_network(tiny, rgb):
  color = RNG.random((7, 7, 3), np.float32)
  luma = color @ np.float32([0.299, 0.587, 0.114])
  np.testing.assert_allclose(
    tiny(color).super_res, tiny(luma[..., None]).super_res, atol=1e-6
  )
  # The channels of the fake network are equal, so that their mean is each.
  np.testing.assert_allclose(
    rgb(luma).super_res, tiny(luma).super_res, atol=1e-6
  )


def test_only_usual_sizes_get_a_label_unless_asked_for(tiny):
  for size, is_usual in (
    ((7, 7), True), ((4, 14), True), ((3, 7), False), ((7, 15), False),
  ):  # fmt: skip
    reason = tiny.why_no_label(*size)
    assert (reason is None) == is_usual
    assert tiny.why_no_label(*size, classify=True) is None
    assert tiny.why_no_label(*size, classify=False) == "not asked for"
  assert tiny.why_no_label(3, 7) == "trained on 7x7, not 3x7"
  assert "tile" in tiny.why_no_label(30, 30, classify=True, tile=25)
  found = tiny(np.zeros((20, 20), np.uint8))
  assert found.labels is None
  assert found.reason == "trained on 7x7, not 20x20"
  assert tiny(np.zeros((20, 20), np.uint8), classify=True).labels == 0
  plain = tiny_predictor.make(wiring="none")
  assert plain.why_no_label(7, 7) == "the network has no classifier"
  assert plain.class_names == ()


def test_images_of_many_sizes_in_one_program(tiny):
  network = tiny_predictor.make()
  sizes = [(1, 1), (1, 9), (5, 13), (7, 7), (16, 2)]
  images = [RNG.random((*size, 1), np.float32) for size in sizes]
  pieces = list(network.pieces(images, classify=[True] * 5))
  assert network.num_programs == 1
  assert [piece.image for piece in pieces] == [0, 1, 2, 3, 4]
  for piece, image in zip(pieces, images, strict=True):
    assert piece.is_last
    np.testing.assert_allclose(
      piece.super_res, repeated(image) * GAINS.mean(), atol=1e-6
    )


def test_large_images_are_cut_unless_told_otherwise(tiny):
  assert tiny.tile_for(512, 512) == 0
  assert tiny.tile_for(512, 513) == 256
  assert tiny.tile_for(5000, 5000, 0) == 0
  assert tiny.tile_for(30, 20, 30) == 0
  assert tiny.tile_for(30, 31, 30) == 30
  with pytest.raises(ValueError, match="21 px or more"):
    tiny.tile_for(7, 7, 20)


@pytest.fixture(scope="module")
def fsrcnn():
  config = test_network.make_config(model__wiring="none")
  network = network_lib.build(config, (28, 28, 1), 10)
  shapes = jax.eval_shape(network.init, np.uint32(0))

  def draw(leaf):
    if len(leaf.shape) == 1:  # Also variances, which are positive.
      return RNG.uniform(0.1, 0.6, (1, *leaf.shape)).astype(np.float32)
    width = np.sqrt(2 / np.prod(leaf.shape[:-1]))
    return RNG.normal(0, width, (1, *leaf.shape)).astype(np.float32)

  variables = jax.tree.map(draw, shapes)
  origin = tiny_predictor.origin(config=derived.resolve(config).to_dict())
  trained = network_lib.Trained(network, variables, (origin,))
  return predictor_lib.Predictor(trained)


def test_tiles_make_the_same_picture(fsrcnn):
  """And a pixel less of overlap does not: the radius is not larger."""
  image = RNG.random((37, 61), np.float32)
  whole = fsrcnn(image, tile=0).super_res
  size = np.ptp(whole)
  tiled = fsrcnn(image, tile=32).super_res
  assert np.abs(tiled - whole).max() < 1e-5 * size
  fsrcnn._planner._radius -= 1
  try:
    wrong = fsrcnn(image, tile=32).super_res
  finally:
    fsrcnn._planner._radius += 1
  assert np.abs(wrong - whole).max() > 1e-4 * size


def test_a_tile_may_be_larger_than_one_side(fsrcnn):
  image = RNG.random((9, 61), np.float32)
  whole = fsrcnn(image, tile=0).super_res
  tiled = fsrcnn(image, tile=32).super_res
  assert np.abs(tiled - whole).max() < 1e-5 * np.ptp(whole)


def test_batches_make_no_difference(fsrcnn):
  images = RNG.random((9, 7, 7, 1), np.float32)
  together = fsrcnn(images).super_res
  alone = fsrcnn(images, batch=1).super_res
  np.testing.assert_allclose(together, alone, atol=1e-5 * np.ptp(alone))
