"""Image files as outputs, written at once or not at all; no JAX."""

import pathlib
from typing import Any

import numpy as np
from PIL import Image

from sr2_jax import errors, files

# What can be written: suffix, and how Pillow is asked for it.
WRITTEN: dict[str, tuple[str, dict[str, Any]]] = {
  "png": (".png", {"format": "PNG"}),
  "webp": (".webp", {"format": "WEBP", "lossless": True, "exact": True}),
  "tiff": (".tiff", {"format": "TIFF", "compression": "tiff_adobe_deflate"}),
  "npy": (".npy", {}),
}
_LONGEST_WEBP = 16383  # pixels of a side


def check_writable(kind: str, width: int, height: int) -> None:
  """Raises UserError if a kind of file cannot hold an image of this size."""
  if kind == "webp" and max(width, height) > _LONGEST_WEBP:
    raise errors.UserError(
      f"{width:,} x {height:,} pixels: a WebP has at most {_LONGEST_WEBP:,} a "
      "side; choose another --format"
    )


def write(
  path: pathlib.Path,
  values: np.ndarray,
  *,
  kind: str,
  profile: bytes | None = None,
) -> None:
  """Writes a picture, at once or not at all.

  Args:
    path: of the file.
    values: [H, W, C] with C of 1 to 4, where 2 and 4 have alpha last; uint8, or
      uint16 with one channel. For "npy" any array.
    kind: a key of WRITTEN.
    profile: color profile (ICC) to store, or None.
  """
  # It can be made again, and thousands of small ones should not take minutes.
  with files.replacing(path, durable=False) as file:
    if kind == "npy":
      np.save(file, values)
      return
    image = Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
    options = dict(WRITTEN[kind][1])
    if profile is not None:
      options["icc_profile"] = profile
    image.save(file, **options)


def write_drawing(path: pathlib.Path, image: Image.Image) -> None:
  """Writes a drawing as PNG, at once or not at all."""
  with files.replacing(path, durable=False) as file:
    image.save(file, format="PNG")


def enlarged(
  values: np.ndarray,
  scale: int,
  rows: slice = slice(None),
  columns: slice = slice(None),
) -> np.ndarray:
  """A part of bicubic up-sampling, as `models.bicubic` does it.

  Args:
    values: [H, W], uint8 or float32.
    scale: whole factor.
    rows: of the result.
    columns: of the result.
  """
  height, width = values.shape
  top, bottom, _ = rows.indices(scale * height)
  left, right, _ = columns.indices(scale * width)
  image = Image.fromarray(np.ascontiguousarray(values))
  # The box chooses what is computed; pixels around it are still seen.
  box = (left / scale, top / scale, right / scale, bottom / scale)
  size = (right - left, bottom - top)
  resized = image.resize(size, Image.Resampling.BICUBIC, box=box)
  return np.asarray(resized)
