"""Random shifts and rotations, on device, of high-resolution images.

Shift and rotation are one affine map, so that a pixel is interpolated once.
It is resampled by `jax.scipy.ndimage.map_coordinates` under `vmap`:
`dm_pix.affine_transform` gives the same images but interpolates between
channels as well, and takes over 15 times as long on a CPU.

Images are float32 [batch, height, width, channels].
"""

import jax
import jax.numpy as jnp
from jax.scipy import ndimage

# What lies beyond the border, by the name of SciPy's rule. "constant" blends
# with zeros between the outermost pixel and the one beyond it.
_BORDER = {"zero": "constant", "edge": "nearest"}


def augment(
  keys: jax.Array,
  images: jax.Array,
  *,
  max_shift: int,
  max_rotation: float,
  fill: str,
) -> jax.Array:
  """Shifts and rotates each image at random.

  Each image has a key of its own, so that the result does not depend on how a
  batch is split over devices.

  Args:
    keys: Typed PRNG keys [B].
    images: Images [B, H, W, C].
    max_shift: Shifts are whole pixels, uniform in [-max_shift, max_shift] on
      either axis. Paper: 3.
    max_rotation: Angles are uniform in [-max_rotation, max_rotation) degrees.
      Paper: 10.
    fill: What enters at the border, "zero" or "edge" (the nearest pixel).

  Returns:
    Images [B, H, W, C]; the input itself where both maxima are 0.

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
  return shift_and_rotate(images, shifts, jnp.deg2rad(degrees), fill=fill)


def shift_and_rotate(
  images: jax.Array, shifts: jax.Array, angles: jax.Array, *, fill: str
) -> jax.Array:
  """Rotates each image about its centre and then shifts it; bilinear.

  Args:
    images: Images [B, H, W, C].
    shifts: Pixels [B, 2] by which to shift down and to the right.
    angles: Radians [B], counter-clockwise.
    fill: What enters at the border, "zero" or "edge".

  Returns:
    Images [B, H, W, C]. Whole shifts without rotation are exact.
  """
  border = _BORDER[fill]

  def transform(
    image: jax.Array, shift: jax.Array, angle: jax.Array
  ) -> jax.Array:
    # Output pixels look up where they came from: the inverse map.
    centre_y, centre_x = ((size - 1) / 2 for size in image.shape[:2])
    height, width = image.shape[:2]
    down = (jnp.arange(height) - centre_y - shift[0]).reshape(height, 1)
    right = (jnp.arange(width) - centre_x - shift[1]).reshape(1, width)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    rows = cosine * down + sine * right + centre_y
    columns = cosine * right - sine * down + centre_x

    def resample(channel: jax.Array) -> jax.Array:
      return ndimage.map_coordinates(
        channel, [rows, columns], order=1, mode=border
      )

    return jax.vmap(resample, in_axes=2, out_axes=2)(image)

  return jax.vmap(transform)(images, shifts, angles)
