"""Shifts and rotations against SciPy, scikit-image, dm-pix and PyTorch."""

import functools

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from skimage import transform

from sr2_jax.imaging import augmentation

_shift_and_rotate = jax.jit(
  augmentation.shift_and_rotate, static_argnames=("fill", "interpolation")
)

SHAPES = [(28, 28, 1), (32, 32, 3), (9, 14, 2)]


def _images(shape, count=4) -> jax.Array:
  return jnp.asarray(
    np.random.default_rng(1).random((count, *shape), np.float32)
  )


def _keys(count=4, seed=0) -> jax.Array:
  return jax.random.split(jax.random.key(seed), count)


def _inverse(angle, shift, shape) -> tuple[np.ndarray, np.ndarray]:
  """Matrix and offset from output to input positions, counter-clockwise."""
  cosine, sine = np.cos(angle), np.sin(angle)
  matrix = np.array([[cosine, sine], [-sine, cosine]])
  centre = (np.array(shape[:2]) - 1) / 2
  return matrix, centre - matrix @ (centre + shift)


@pytest.mark.parametrize("interpolation", augmentation.INTERPOLATIONS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
  ("fill", "mode"), [("zero", "grid-constant"), ("edge", "nearest")]
)
def test_equals_scipy(shape, fill, mode, interpolation):
  images = _images(shape)
  shifts = np.array([[0, 0], [3, -2], [-3, 0], [1, 3]], np.float32)
  angles = np.radians([7.0, 10.0, -10.0, 170.0]).astype(np.float32)
  result = _shift_and_rotate(
    images,
    jnp.asarray(shifts),
    jnp.asarray(angles),
    fill=fill,
    interpolation=interpolation,
  )
  for image, shift, angle, actual in zip(
    images, shifts, angles, result, strict=True
  ):
    matrix, offset = _inverse(angle, shift, shape)
    for channel in range(shape[2]):
      expected = ndimage.affine_transform(
        np.asarray(image[..., channel], np.float64),
        matrix,
        offset,
        order=1,
        mode=mode,
      )
      np.testing.assert_allclose(
        actual[..., channel], expected, rtol=0, atol=2e-5
      )


def test_positive_angles_are_counter_clockwise():
  image = _images((15, 15, 1), count=1)
  actual = _shift_and_rotate(
    image, jnp.zeros((1, 2)), jnp.radians(jnp.array([10.0])), fill="edge"
  )
  expected = transform.rotate(
    np.asarray(image[0, ..., 0], np.float64), 10, mode="edge"
  )
  np.testing.assert_allclose(actual[0, ..., 0], expected, rtol=0, atol=1e-5)


def test_equals_dm_pix():
  image, angle = _images((32, 32, 3), count=1), 0.15
  actual = _shift_and_rotate(
    image, jnp.zeros((1, 2)), jnp.array([angle]), fill="edge"
  )
  expected = dm_pix.rotate(image[0], angle, mode="nearest")
  np.testing.assert_allclose(actual[0], expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
  ("fill", "padding"), [("zero", "zeros"), ("edge", "border")]
)
def test_equals_torch(fill, padding):
  torch = pytest.importorskip("torch", reason="PyTorch is not installed")
  size, angle, shift = 28, 0.17, np.array([2.0, -3.0])
  image = _images((size, size, 3), count=1)
  actual = _shift_and_rotate(
    image,
    jnp.asarray(shift, jnp.float32).reshape(1, 2),
    jnp.array([angle]),
    fill=fill,
  )
  matrix, offset = _inverse(angle, shift, image.shape[1:])
  places = np.stack(np.mgrid[:size, :size], axis=-1) @ matrix.T + offset
  # grid_sample takes (x, y), with -1 and 1 at the outermost pixel centers.
  grid = (places[..., ::-1] * 2 / (size - 1) - 1).astype(np.float32)
  expected = torch.nn.functional.grid_sample(
    torch.from_numpy(np.array(image).transpose(0, 3, 1, 2)),
    torch.from_numpy(grid[None].copy()),
    padding_mode=padding,
    align_corners=True,
  )
  np.testing.assert_allclose(
    actual, expected.numpy().transpose(0, 2, 3, 1), rtol=0, atol=2e-5
  )


@pytest.mark.parametrize("interpolation", augmentation.INTERPOLATIONS)
@pytest.mark.parametrize("fill", ["zero", "edge"])
@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-28, 0), (0, 31)])
def test_whole_shifts_are_exact(fill, shift, interpolation):
  image = np.asarray(_images((28, 28, 2), count=1))
  pad = [(40, 40), (40, 40), (0, 0)]
  padded = np.pad(image[0], pad, mode="constant" if fill == "zero" else "edge")
  down, right = shift
  expected = padded[40 - down : 68 - down, 40 - right : 68 - right]
  actual = _shift_and_rotate(
    jnp.asarray(image),
    jnp.array([shift], jnp.float32),
    jnp.zeros(1),
    fill=fill,
    interpolation=interpolation,
  )
  np.testing.assert_array_equal(actual[0], expected)


def test_a_tpu_gathers_no_windows():
  """It would take them in turn, in a loop of 50,000 turns."""
  chosen = {x: augmentation.for_platform(x) for x in ("cpu", "gpu", "tpu")}
  assert chosen == {"cpu": "windows", "gpu": "windows", "tpu": "products"}
  places = jnp.zeros((1, 5, 5))
  program = jax.make_jaxpr(augmentation.INTERPOLATIONS["products"])(
    jnp.zeros((1, 7, 7, 1)), places, places
  )
  assert "gather" not in str(program)


@pytest.mark.parametrize("fill", ["zero", "edge"])
def test_maxima_of_zero_are_the_identity(fill):
  images = _images((28, 28, 1))
  augment = jax.jit(
    functools.partial(
      augmentation.augment, max_shift=0, max_rotation=0.0, fill=fill
    )
  )
  np.testing.assert_array_equal(augment(_keys(), images), images)


def test_shifts_are_uniform_over_whole_pixels():
  count, max_shift = 7_000, 3
  images = jnp.zeros((count, 9, 9, 1)).at[:, 4, 4].set(1)
  moved = jax.jit(
    functools.partial(
      augmentation.augment, max_shift=max_shift, max_rotation=0.0, fill="zero"
    )
  )(_keys(count), images)
  _, down, right, _ = np.nonzero(moved)
  assert len(down) == count
  counts, _, _ = np.histogram2d(
    down - 4, right - 4, bins=np.arange(-3.5, 4), density=False
  )
  # 49 cells of 143 on average, standard deviation 12.
  assert counts.shape == (7, 7)
  assert counts.sum() == count
  assert counts.min() > 143 - 60
  assert counts.max() < 143 + 60


def test_angles_are_uniform_up_to_the_maximum():
  count, max_rotation = 2_000, 10.0
  # A ramp to the right: the pixel at the right edge gives the sine.
  ramp = jnp.broadcast_to(jnp.arange(9.0).reshape(1, 9, 1, 1), (count, 9, 9, 1))
  turned = jax.jit(
    functools.partial(
      augmentation.augment, max_shift=0, max_rotation=max_rotation, fill="edge"
    )
  )(_keys(count), ramp)
  degrees = np.degrees(np.arcsin(np.asarray(turned[:, 4, 6, 0] - 4) / 2))
  assert np.abs(degrees).max() <= max_rotation + 1e-3
  counts, _ = np.histogram(degrees, bins=10, range=(-10, 10))
  # 10 bins of 200 on average, standard deviation 13.4.
  assert counts.min() > 200 - 60
  assert counts.max() < 200 + 60


def test_each_image_depends_on_its_own_key():
  """A split batch, several devices and a member axis give the same."""
  plain = functools.partial(
    augmentation.augment, max_shift=3, max_rotation=10.0, fill="edge"
  )
  augment = jax.jit(plain)
  keys, images = _keys(8), _images((16, 16, 3), count=8)
  whole = augment(keys, images)
  members = jax.jit(jax.vmap(plain))(
    keys.reshape(2, 4), images.reshape(2, 4, 16, 16, 3)
  )
  devices = jax.pmap(plain)(keys.reshape(4, 2), images.reshape(4, 2, 16, 16, 3))
  for other in (members, devices):
    np.testing.assert_allclose(
      np.asarray(other).reshape(whole.shape), whole, rtol=0, atol=1e-5
    )
  same = augment(keys, jnp.broadcast_to(images[:1], images.shape))
  assert len(np.unique(same, axis=0)) == 8


def test_gradients_are_finite():
  gradient = jax.jit(
    jax.grad(
      lambda images: jnp.sum(
        jnp.square(
          augmentation.augment(
            _keys(), images, max_shift=3, max_rotation=10.0, fill="zero"
          )
        )
      )
    )
  )(_images((12, 12, 1)))
  assert np.isfinite(gradient).all()
  assert np.abs(gradient).max() > 0


def test_refuses_an_unknown_fill():
  with pytest.raises(ValueError, match="'mirror'"):
    augmentation.augment(
      _keys(),
      _images((12, 12, 1)),
      max_shift=3,
      max_rotation=10.0,
      fill="mirror",
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_crops_lie_anywhere_in_an_image(dtype):
  """Pixels say where they are, so a crop shows where it was taken."""
  places = np.arange(7 * 9 * 2).reshape(7, 9, 2).astype(dtype)
  images = jnp.asarray(np.repeat(places[None], 400, axis=0))
  cut = np.asarray(
    jax.jit(augmentation.crop, static_argnames="side")(
      _keys(400), images, side=5
    )
  )
  assert cut.dtype == dtype
  tops, lefts = np.divmod(cut[:, 0, 0, 0] // 2, 9)
  for crop, top, left in zip(cut, tops, lefts, strict=True):
    np.testing.assert_array_equal(crop, places[top : top + 5, left : left + 5])
  counts = np.zeros((3, 5), int)
  np.add.at(counts, (tops, lefts), 1)
  # 400 draws among 15 places: about 27 each, with a deviation of 5.
  assert counts.min() > 7
  assert counts.max() < 55


def test_a_crop_of_the_whole_image_is_the_image():
  images = _images((6, 6, 1))
  np.testing.assert_array_equal(
    augmentation.crop(_keys(), images, side=6), images
  )


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize(
  ("fill", "mode"), [("zero", "constant"), ("edge",) * 2]
)
def test_pairs_are_shifted_alike(scale, fill, mode):
  """Both equal a slice of the padded image, at one of the allowed places."""
  low_res = _images((5, 7, 2), 64)
  high_res = _images((5 * scale, 7 * scale, 2), 64)
  high, low = augmentation.shift_pairs(
    _keys(64), high_res, low_res, max_shift=2, fill=fill
  )

  def places(images, found, most, step):
    """Where each image is found in its padded original."""
    margin = [(0, 0), (most, most), (most, most), (0, 0)]
    padded = np.pad(np.asarray(images), margin, mode=mode)
    height, width = images.shape[1:3]
    return [
      [
        (top // step, left // step)
        for top in range(0, 2 * most + 1, step)
        for left in range(0, 2 * most + 1, step)
        if np.array_equal(image, whole[top : top + height, left : left + width])
      ]
      for image, whole in zip(np.asarray(found), padded, strict=True)
    ]

  of_low = places(low_res, low, 2, 1)
  assert of_low == places(high_res, high, 2 * scale, scale)
  assert all(len(found) == 1 for found in of_low)
  # Every shift from -2 to 2 occurs on both axes.
  for axis in (0, 1):
    assert {found[0][axis] for found in of_low} == set(range(5))


def test_pairs_that_do_not_move_are_the_input():
  high_res, low_res = _images((4, 4, 1)), _images((2, 2, 1))
  high, low = augmentation.shift_pairs(
    _keys(), high_res, low_res, max_shift=0, fill="zero"
  )
  assert high is high_res
  assert low is low_res
