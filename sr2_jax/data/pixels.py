"""Arrays of pixels as users have them, and as networks take them; no JAX.

Pixels are uint8, uint16 or float in [0, 1], [..., H, W, C] with C of 1 or 3.
"""

import numpy as np

# Weights of red, green and blue in luma (ITU-R BT.601), and the distances from
# black to white of the two color differences.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_BLUE_RANGE, _RED_RANGE = 2 * (1 - _LUMA[2]), 2 * (1 - _LUMA[0])

# By how much rounding may take a float out of [0, 1].
_SLACK = 1e-4


def checked(images: np.ndarray) -> np.ndarray:
  """Images [N, H, W, C] from an array [H, W], [H, W, C] or [N, H, W, C].

  Raises:
    ValueError: for another shape, type or range.
  """
  shape = images.shape
  if images.ndim == 2:
    images = images[..., None]
  if images.ndim == 3:
    images = images[None]
  if (
    images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape[1:3]
  ):
    raise ValueError(
      f"images of shape {shape}: give [H, W], [H, W, C] or [N, H, W, C] with 1 "
      "or 3 channels C. For gray images [N, H, W], that is images[..., None]."
    )
  if images.dtype in (np.uint8, np.uint16):
    return images
  if not np.issubdtype(images.dtype, np.floating):
    raise ValueError(f"images of type {images.dtype}: give uint8 or float.")
  lowest, highest = (images.min(), images.max()) if images.size else (0, 0)
  if not -_SLACK <= lowest <= highest <= 1 + _SLACK:
    raise ValueError(
      f"float images have to be in [0, 1], not from {lowest:.4g} to "
      f"{highest:.4g}."
    )
  return images


def to_float(pixels: np.ndarray) -> np.ndarray:
  """Float32 pixels in [0, 1]."""
  if np.issubdtype(pixels.dtype, np.integer):
    # As in training: the reciprocal would differ in the last bit.
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
  return pixels.astype(np.float32)


def brightness(pixels: np.ndarray) -> float:
  """Mean of all values, in [0, 1]."""
  is_whole = np.issubdtype(pixels.dtype, np.integer)
  highest = np.iinfo(pixels.dtype).max if is_whole else 1
  return float(pixels.mean(dtype=np.float64)) / highest


def inverted(pixels: np.ndarray) -> np.ndarray:
  """Pixels with black and white exchanged."""
  if np.issubdtype(pixels.dtype, np.integer):
    return np.iinfo(pixels.dtype).max - pixels
  return 1 - pixels


def with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
  """Float pixels with 1 or 3 channels: the luma of colors, or repeated gray."""
  if pixels.shape[-1] == channels:
    return pixels
  if channels == 1:
    return pixels @ _LUMA[:, None]
  return np.repeat(pixels, channels, axis=-1)


def is_gray(pixels: np.ndarray) -> bool:
  """Whether all channels are equal."""
  return all(
    np.array_equal(pixels[..., 0], pixels[..., c])
    for c in range(1, pixels.shape[-1])
  )


def color_differences(pixels: np.ndarray) -> np.ndarray:
  """What luma leaves out: blue and red minus luma, [..., 2] in [-0.5, 0.5]."""
  luma = with_channels(pixels, 1)[..., 0]
  return np.stack(
    [
      (pixels[..., 2] - luma) / _BLUE_RANGE,
      (pixels[..., 0] - luma) / _RED_RANGE,
    ],
    axis=-1,
  )


def colored(luma: np.ndarray, differences: np.ndarray) -> np.ndarray:
  """RGB [..., 3] from luma [..., 1] and its color differences [..., 2]."""
  y = luma[..., 0]
  blue = y + differences[..., 0] * _BLUE_RANGE
  red = y + differences[..., 1] * _RED_RANGE
  green = (y - _LUMA[0] * red - _LUMA[2] * blue) / _LUMA[1]
  return np.stack([red, green, blue], axis=-1)


def quantized(values: np.ndarray, bits: int) -> np.ndarray:
  """Values clipped to [0, 1] as uint8 or uint16, halves to the even one."""
  highest = 2**bits - 1
  rounded = np.rint(np.clip(values, 0, 1).astype(np.float32) * highest)
  return rounded.astype(np.uint8 if bits == 8 else np.uint16)
