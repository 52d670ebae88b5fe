"""Images of many sizes made one size."""

import re

import numpy as np
from PIL import Image

Size = tuple[int, int]  # height, width


def sides_of(text: str) -> Size | None:
  """The size that "32x16" names: 32 high and 16 wide; None for ""."""
  match = re.fullmatch(r"(\d+)x(\d+)", text)
  return (int(match[1]), int(match[2])) if match else None


def named(size: tuple[int, ...]) -> str:
  """A size in messages, as `data.size` has it."""
  return f"{size[0]}x{size[1]}"


def takes(size: Size, new: Size, *, how: str) -> bool:
  """Whether a way of `data.fit` makes an image of one size another."""
  if how == "crop":
    return size[0] >= new[0] and size[1] >= new[1]
  if how == "pad":
    return size[0] <= new[0] and size[1] <= new[1]
  return how == "resize" or size == new


def fitted(
  pixels: np.ndarray, size: Size, *, how: str
) -> tuple[np.ndarray, tuple[str, ...]]:
  """An image in another size, and in words what was done for that.

  Args:
    pixels: [H, W, C], uint8 or uint16.
    size: of the result, one that this way `takes`.
    how: a value of `data.fit`.
  """
  height, width = pixels.shape[:2]
  assert takes((height, width), size, how=how)
  words = []
  if how == "crop" and (height, width) != size:
    pixels = cropped(pixels, size)
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


def cropped(pixels: np.ndarray, size: Size) -> np.ndarray:
  """The middle of images [..., H, W, C]; of odd rests, less at top and left."""
  top, left = (
    (old - new) // 2 for old, new in zip(pixels.shape[-3:-1], size, strict=True)
  )
  return pixels[..., top : top + size[0], left : left + size[1], :]


def _padded(pixels: np.ndarray, size: Size) -> np.ndarray:
  """The image in the middle, with its outermost pixels repeated around it."""
  rest = [new - old for old, new in zip(pixels.shape[:2], size, strict=True)]
  margins = [(n // 2, n - n // 2) for n in rest]
  return np.pad(pixels, (*margins, (0, 0)), mode="edge")


def _resized(pixels: np.ndarray, size: Size) -> np.ndarray:
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
