"""Images of several sizes in one program, against a program for each size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr2_jax.models import placement, sr2

SIDE = 16


@functools.cache
def network(trunk, wiring, scale, strides=(1, 2, 2)):
  """A model and variables in which every layer matters, biases too."""
  model = sr2.SR2(
    trunk, wiring, scale, 1, 5, convolution="cpu", classifier_strides=strides
  )
  shapes = jax.eval_shape(
    functools.partial(model.init, train=False),
    jax.random.key(0),
    jnp.zeros((1, 4, 4, 1)),
  )
  rng = np.random.default_rng(0)

  def draw(path, leaf):
    width = np.sqrt(2 / max(1, np.prod(leaf.shape[:-1])))
    values = rng.normal(0, width if leaf.ndim > 1 else 0.3, leaf.shape)
    if path[-1].key in ("scale", "var"):
      values = 1 + np.abs(values)
    return values.astype(np.float32)

  return model, jax.tree_util.tree_map_with_path(draw, shapes)


@functools.cache
def program(*of_network):
  model, variables = network(*of_network)
  return jax.jit(
    lambda low_res, start=None: model.apply(
      variables, low_res, start=start, train=False
    )
  )


def images(sizes):
  rng = np.random.default_rng(1)
  return [rng.random((*size, 1), np.float32) for size in sizes]


def placed(of_sizes, side=SIDE):
  """Images in the bottom right corners of maps full of garbage."""
  low_res = np.full((len(of_sizes), side, side, 1), 9.0, np.float32)
  start = np.zeros((len(of_sizes), 2), np.int32)
  for i, image in enumerate(of_sizes):
    start[i] = np.subtract(side, image.shape[:2])
    low_res[i, start[i, 0] :, start[i, 1] :] = image
  return low_res, start


@pytest.mark.parametrize(
  ("of_network", "sizes"),
  [
    # Each starts in another place of the blocks that become one pixel.
    (
      ("fsrcnn", "parallel", 4),
      [(1, 1), (7, 7), (10, 11), (16, 16)],
    ),
    # 3 px for each: the classifier's maps are no multiples of the input's.
    (("fsrcnn", "sequential", 3), [(3, 2), (5, 7)]),
    (("wdsr", "parallel", 2), [(6, 15), (7, 4)]),
    (
      ("fsrcnn", "parallel", 4, (2, 2, 2)),
      [(1, 9), (5, 13), (10, 11)],
    ),
  ],
)
def test_images_of_any_size_are_as_if_alone(of_network, sizes):
  run = program(*of_network)
  alone = images(sizes)
  together = run(*placed(alone))
  for i, image in enumerate(alone):
    expected = run(image[None])
    height, width = expected["super_res"].shape[1:3]
    found = {
      "super_res": together["super_res"][i, -height:, -width:],
      "logits": together["logits"][i],
    }
    for name, values in found.items():
      reference = expected[name][0]
      size = max(np.ptp(reference), np.abs(reference).max())
      np.testing.assert_allclose(values, reference, rtol=0, atol=1e-5 * size)


def test_zeros_around_an_image_are_not_enough():
  """The control: the same maps without being told where the images are."""
  run = program("fsrcnn", "parallel", 4)
  [image] = images([(7, 7)])
  low_res, _ = placed([image])
  low_res[:, :9] = low_res[:, :, :9] = 0
  expected = run(image[None])["super_res"]
  # The program of the test above, told that the images fill their maps.
  found = run(np.concatenate([low_res] * 5), np.zeros((5, 2), np.int32))[
    "super_res"
  ][:1, -28:, -28:]
  assert np.abs(found - expected).max() > 0.1 * np.ptp(expected)


def test_mean_and_fill_at_every_resolution():
  rng = np.random.default_rng(2)
  where = placement.Placement(np.array([[3, 0], [0, 5]]), (8, 8), 4)
  for side, starts in (
    (8, ((3, 0), (0, 5))),
    (4, ((1, 0), (0, 2))),
    (2, ((0, 0), (0, 1))),
    (12, ((4, 0), (0, 7))),
  ):
    x = rng.random((2, side, side, 3), np.float32)
    filled, mean = where.fill(x, -1), where.mean(x)
    for i, (row, column) in enumerate(starts):
      inside = x[i, row:, column:]
      expected = np.full_like(x[i], -1)
      expected[row:, column:] = inside
      np.testing.assert_array_equal(filled[i], expected)
      np.testing.assert_allclose(mean[i], inside.mean((0, 1)), rtol=1e-6)


def test_maps_that_cannot_be_halved_as_often_are_refused():
  start, maps = jnp.zeros((1, 2)), jnp.zeros((1, 8, 12, 1))
  assert placement.of(start, maps, (1, 2, 2)) is not None
  assert placement.of(None, maps, (2, 2, 2)) is None
  with pytest.raises(ValueError, match="multiple of 8"):
    placement.of(start, maps, (2, 2, 2))


@pytest.mark.parametrize("trunk", sr2.TRUNKS)
def test_a_pixel_depends_on_what_is_within_the_radius(trunk):
  """All of it and no more, by the gradient of one block of output pixels."""
  model, variables = network(trunk, "none", 2) if trunk != "srmd" else srmd()
  radius = sr2.RADIUS[trunk]
  side = 2 * radius + 5
  low_res = np.random.default_rng(3).random((1, 5, side, 1), np.float32)
  description = [np.ones((1, 16), np.float32)] * (trunk == "srmd")
  middle = side // 2

  def block(low_res):
    outputs = model.apply(variables, low_res, *description, train=False)
    return outputs["super_res"][0, 4:6, 2 * middle : 2 * middle + 2].sum()

  gradient = jax.jit(jax.grad(block))(low_res)
  reached = np.flatnonzero(np.any(gradient[0, ..., 0] != 0, axis=0))
  assert reached[0] == middle - radius
  assert reached[-1] == middle + radius


def srmd():
  model = sr2.SR2("srmd", "none", 2, 1, convolution="cpu")
  init = functools.partial(model.init, train=False)
  return model, jax.jit(init)(
    jax.random.key(0), jnp.zeros((1, 4, 4, 1)), jnp.zeros((1, 16))
  )
