"""Random crops, shifts and rotations, on device, of high-resolution images.

Shift and rotation are one affine map, so that a pixel is interpolated once.
`dm_pix.affine_transform` gives the same images but also interpolates between
channels. There are two ways, `INTERPOLATIONS`, with equal results within
rounding:

* "windows" gathers the four neighbors of a pixel as one window. Gathered one by
  one, as in `jax.scipy.ndimage.map_coordinates`, they take three times as long
  in a training step on a CPU.
* "products" multiplies the image with weights, most of which are zero. A TPU
  has units for that, but would gather windows in a loop, one at a time.

Images are float32 [batch, height, width, channels].
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

# NumPy's padding modes by `fill`. "constant" blends with zeros between the
# outermost pixel and the one beyond it.
_BORDER = {"zero": "constant", "edge": "edge"}


def crop(keys: jax.Array, images: jax.Array, *, side: int) -> jax.Array:
  """A square of each image, anywhere in it.

  Args:
    keys: Typed PRNG keys [B].
    images: Images [B, H, W, C], of any type.
    side: Height and width of the squares.

  Returns:
    Images [B, side, side, C].
  """
  _, height, width, channels = images.shape

  def of_image(corner: jax.Array, image: jax.Array) -> jax.Array:
    top, left = corner
    return lax.dynamic_slice(image, (top, left, 0), (side, side, channels))

  return jax.vmap(of_image)(corners(keys, (height, width), side=side), images)


def corners(keys: jax.Array, size: tuple[int, int], *, side: int) -> jax.Array:
  """First row and column of a square in each image, int32 [B, 2].

  Args:
    keys: Typed PRNG keys [B].
    size: Height and width of the images.
    side: Height and width of the squares.
  """
  height, width = size
  # One more than the last row and column that a square can start in.
  ends = jnp.array([height - side + 1, width - side + 1], jnp.int32)
  return jax.vmap(lambda key: jax.random.randint(key, (2,), 0, ends))(keys)


def augment(
  keys: jax.Array,
  images: jax.Array,
  *,
  max_shift: int,
  max_rotation: float,
  fill: str,
  interpolation: str = "windows",
) -> jax.Array:
  """Shifts and rotates each image at random.

  Each image has its own key, so that the result does not depend on how a batch
  is split over devices.

  Args:
    keys: Typed PRNG keys [B].
    images: Images [B, H, W, C].
    max_shift: Shifts are whole pixels, uniform in [-max_shift, max_shift] on
      each axis. Paper: 3.
    max_rotation: Angles are uniform in [-max_rotation, max_rotation) degrees.
      Paper: 10.
    fill: What enters at the border, "zero" or "edge" (the nearest pixel).
    interpolation: A key of INTERPOLATIONS.

  Returns:
    Images [B, H, W, C]; the input itself if both maxima are 0.

  Raises:
    ValueError: `fill` is neither "zero" nor "edge".
  """
  if fill not in _BORDER:
    raise ValueError(f"fill must be one of {sorted(_BORDER)}, got {fill!r}")
  if max_shift == 0 and max_rotation == 0:
    return images
  uniform = jax.vmap(lambda key: jax.random.uniform(key, (3,)))(keys)
  shifts = jnp.floor(uniform[:, :2] * (2 * max_shift + 1)) - max_shift
  degrees = (2 * uniform[:, 2] - 1) * max_rotation
  return shift_and_rotate(
    images,
    shifts,
    jnp.deg2rad(degrees),
    fill=fill,
    interpolation=interpolation,
  )


def shift_pairs(
  keys: jax.Array,
  high_res: jax.Array,
  low_res: jax.Array,
  *,
  max_shift: int,
  fill: str,
) -> tuple[jax.Array, jax.Array]:
  """Shifts both images of each pair alike, at random.

  Args:
    keys: Typed PRNG keys [B].
    high_res: Images [B, scale h, scale w, C].
    low_res: Images [B, h, w, C].
    max_shift: Shifts are whole low-resolution pixels, uniform in [-max_shift,
      max_shift] on each axis.
    fill: What enters at the border, "zero" or "edge" (the nearest pixel).

  Returns:
    Images of the same shapes; the input itself if `max_shift` is 0.
  """
  if max_shift == 0:
    return high_res, low_res
  scale = high_res.shape[1] // low_res.shape[1]
  shifts = jax.vmap(
    lambda key: jax.random.randint(key, (2,), -max_shift, max_shift + 1)
  )(keys)

  def shifted(images: jax.Array, shifts: jax.Array, most: int) -> jax.Array:
    """Images by whole pixels, exact on every platform."""
    margin = [(0, 0), (most, most), (most, most), (0, 0)]
    padded = jnp.pad(images, margin, mode=_BORDER[fill])

    def of_image(image: jax.Array, shift: jax.Array) -> jax.Array:
      top, left = most - shift
      return lax.dynamic_slice(image, (top, left, 0), images.shape[1:])

    return jax.vmap(of_image)(padded, shifts)

  return (
    shifted(high_res, scale * shifts, scale * max_shift),
    shifted(low_res, shifts, max_shift),
  )


def shift_and_rotate(
  images: jax.Array,
  shifts: jax.Array,
  angles: jax.Array,
  *,
  fill: str,
  interpolation: str = "windows",
) -> jax.Array:
  """Rotates each image about its center and then shifts it; bilinear.

  Args:
    images: Images [B, H, W, C].
    shifts: Pixels [B, 2] by which to shift down and to the right.
    angles: Radians [B], counter-clockwise.
    fill: What enters at the border, "zero" or "edge".
    interpolation: A key of INTERPOLATIONS.

  Returns:
    Images [B, H, W, C]. Whole shifts without rotation are exact.
  """
  height, width = images.shape[1:3]
  # Inverse map: where each output pixel comes from.
  centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
  down = jnp.arange(height).reshape(1, height, 1) - centre_y
  down = down - shifts[:, 0].reshape(-1, 1, 1)
  right = jnp.arange(width).reshape(1, 1, width) - centre_x
  right = right - shifts[:, 1].reshape(-1, 1, 1)
  cosine, sine = (f(angles).reshape(-1, 1, 1) for f in (jnp.cos, jnp.sin))
  rows = _in_padded(cosine * down + sine * right + centre_y, height)
  columns = _in_padded(cosine * right - sine * down + centre_x, width)

  margin = [(0, 0), (1, 1), (1, 1), (0, 0)]
  padded = jnp.pad(images, margin, mode=_BORDER[fill])
  return INTERPOLATIONS[interpolation](padded, rows, columns)


def _in_padded(places: jax.Array, size: int) -> jax.Array:
  """Places along an axis of `size` pixels, counting one pixel of padding."""
  return jnp.clip(places + 1, 0, size + 1)


def _by_windows(
  padded: jax.Array, rows: jax.Array, columns: jax.Array
) -> jax.Array:
  """Padded images [B, H + 2, W + 2, C] at places [B, H, W]; bilinear."""
  row, below = _cells(rows, padded.shape[1])
  column, beside = _cells(columns, padded.shape[2])

  def window(image: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
    return lax.dynamic_slice(image, (row, column, 0), (2, 2, padded.shape[3]))

  of_row = jax.vmap(window, (None, 0, 0))
  of_image = jax.vmap(of_row, (None, 0, 0))
  windows = jax.vmap(of_image)(padded, row, column)
  upper, lower = windows[:, :, :, 0], windows[:, :, :, 1]
  both_columns = upper + (lower - upper) * below[..., None, None]
  left, right = both_columns[:, :, :, 0], both_columns[:, :, :, 1]
  return left + (right - left) * beside[..., None]


def _cells(places: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
  """The pixel before each place, but for the last; the fraction beyond it.

  Returns:
    int32, and float32 in [0, 1].
  """
  before = jnp.minimum(jnp.floor(places), size - 2)
  return before.astype(jnp.int32), places - before


def _by_products(
  padded: jax.Array, rows: jax.Array, columns: jax.Array
) -> jax.Array:
  """As `_by_windows`: all rows first, in one matrix product, then columns."""
  batch, height, width, channels = padded.shape
  of_rows = _weights(rows, height).reshape(batch, -1, height)
  of_columns = _weights(columns, width)
  mixed = jnp.matmul(
    of_rows,
    padded.reshape(batch, height, width * channels),
    # Otherwise a TPU rounds weights and pixels to eight bits.
    precision=lax.Precision.HIGHEST,
  ).reshape(*of_columns.shape, channels)
  return jnp.sum(mixed * of_columns[..., None], axis=-2)


def _weights(places: jax.Array, size: int) -> jax.Array:
  """Weight of each of `size` pixels at each place, [..., size]."""
  pixels = jnp.arange(size, dtype=places.dtype)
  pixels = jnp.expand_dims(pixels, range(places.ndim))
  away = jnp.abs(jnp.expand_dims(places, -1) - pixels)
  return jnp.maximum(0, 1 - away)


INTERPOLATIONS: dict[str, Callable[..., jax.Array]] = {
  "windows": _by_windows,
  "products": _by_products,
}


def for_platform(platform: str) -> str:
  """The key of INTERPOLATIONS for devices of a platform, such as "cpu"."""
  return "products" if platform == "tpu" else "windows"
