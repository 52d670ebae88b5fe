"""Images of many sizes made one size."""

import numpy as np
from PIL import Image

from sr2_jax.data import sizes


def fitted(
  pixels: np.ndarray, size: sizes.Size, *, how: str, step: int = 1
) -> tuple[np.ndarray, tuple[str, ...]]:
  """An image in another size, and in words what was done for that.

  Args:
    pixels: [H, W, C], uint8 or uint16.
    size: of the result, one that this way `takes`.
    how: a value of `data.fit`.
    step: as `cropped` takes it.
  """
  height, width = pixels.shape[:2]
  assert sizes.takes((height, width), size, how=how)
  words = []
  if how == "crop" and (height, width) != size:
    pixels = cropped(pixels, size, step=step)
    words.append("cut to the middle")
  factor = min(size[0] / height, size[1] / width)
  if how == "resize" and factor != 1:
    sides = [max(1, round(factor * old)) for old in (height, width)]
    pixels = _resized(pixels, (min(sides[0], size[0]), min(sides[1], size[1])))
    words.append(
      "made smaller" if factor < 1 else "enlarged, which adds no detail"
    )
  if pixels.shape[:2] != size:
    pixels = _padded(pixels, size)
    words.append("padded")
  return pixels, tuple(words)


def cropped(
  pixels: np.ndarray, size: sizes.Size, *, step: int = 1
) -> np.ndarray:
  """The middle of images [..., H, W, C]; of odd rests, less at top and left.

  Args:
    pixels: the images.
    size: of the result.
    step: pixels that are cut as one: for the high-resolution images of pairs,
      the scale.
  """
  top, left = (
    (old - new) // step // 2 * step
    for old, new in zip(pixels.shape[-3:-1], size, strict=True)
  )
  return pixels[..., top : top + size[0], left : left + size[1], :]


def _padded(pixels: np.ndarray, size: sizes.Size) -> np.ndarray:
  """The image in the middle, with its outermost pixels repeated around it."""
  rest = [new - old for old, new in zip(pixels.shape[:2], size, strict=True)]
  margins = [(n // 2, n - n // 2) for n in rest]
  return np.pad(pixels, (*margins, (0, 0)), mode="edge")


def _resized(pixels: np.ndarray, size: sizes.Size) -> np.ndarray:
  """Bicubic; where it shrinks, the kernel widens with it (antialiasing)."""
  channels = [
    Image.fromarray(channel.astype(np.float32)).resize(
      (size[1], size[0]), Image.Resampling.BICUBIC
    )
    for channel in np.moveaxis(pixels, -1, 0)
  ]
  values = np.stack([np.asarray(channel) for channel in channels], axis=-1)
  highest = np.iinfo(pixels.dtype).max
  return np.rint(np.clip(values, 0, highest)).astype(pixels.dtype)
