"""High- and low-resolution images of pairs, packed into one array; no JAX.

A pixel of a packed image [..., h, w, (scale² + 1) C] is one of the
low-resolution image: the scale x scale pixels of the high-resolution image in
its place, row by row, and then its own value. So what chooses, cuts, keeps and
sends images does so with both at once, by whole low-resolution pixels.
"""

from typing import Any

import numpy as np


def packed(high_res: np.ndarray, low_res: np.ndarray) -> np.ndarray:
  """Pairs as [..., h, w, (scale² + 1) C].

  Args:
    high_res: [..., scale h, scale w, C].
    low_res: [..., h, w, C], of the same type.
  """
  *leading, height, width, channels = low_res.shape
  scale = high_res.shape[-3] // height
  sides = (scale * height, scale * width, channels)
  assert high_res.shape == (*leading, *sides), (high_res.shape, low_res.shape)
  assert high_res.dtype == low_res.dtype
  blocks = high_res.reshape(*leading, height, scale, width, scale, channels)
  blocks = blocks.swapaxes(-4, -3).reshape(*leading, height, width, -1)
  return np.concatenate((blocks, low_res), axis=-1)


def unpacked(images: Any, scale: int) -> tuple[Any, Any]:
  """High-resolution [..., H, W, C] and low-resolution images [..., h, w, C].

  Args:
    images: from `packed`, of NumPy or JAX.
    scale: of the pairs.
  """
  *leading, height, width, _ = images.shape
  channels = shape_of(images.shape[-3:], scale)[2]
  blocks, low_res = images[..., :-channels], images[..., -channels:]
  blocks = blocks.reshape(*leading, height, width, scale, scale, channels)
  high_res = blocks.swapaxes(-4, -3).reshape(
    *leading, scale * height, scale * width, channels
  )
  return high_res, low_res


def shape_of(shape: tuple[int, ...], scale: int) -> tuple[int, int, int]:
  """(H, W, C) of the high-resolution images of packed ones [h, w, ...]."""
  height, width, values = shape
  channels, rest = divmod(values, scale**2 + 1)
  assert channels, (shape, scale)
  assert not rest, (shape, scale)
  return scale * height, scale * width, channels
