"""Image files, read and written without losing what they hold; no JAX."""

import dataclasses
import pathlib
import struct
import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin

from sr2_jax import errors, files
from sr2_jax.prediction import pixels as pixels_lib

# Found by their content, whatever the suffix says.
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF")
# Files with other suffixes are ignored in a folder.
SUFFIXES = frozenset((
  ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".pgm",
  ".ppm", ".pnm", ".avif",
))  # fmt: skip

# What can be written: suffix, and how Pillow is asked for it.
WRITTEN: dict[str, tuple[str, dict[str, Any]]] = {
  "png": (".png", {"format": "PNG"}),
  "webp": (".webp", {"format": "WEBP", "lossless": True, "exact": True}),
  "tiff": (".tiff", {"format": "TIFF", "compression": "tiff_adobe_deflate"}),
  "npy": (".npy", {}),
}
_LONGEST_WEBP = 16383  # pixels of a side

_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")


@dataclasses.dataclass(frozen=True)
class Picture:
  """The content of an image file, upright.

  Attributes:
    pixels: [H, W, 1] or [H, W, 3], uint8, uint16, or float32 in [0, 1]; gray
      if all channels are equal. Colors are as stored, under any alpha.
    alpha: uint8 [H, W], or None if all is opaque.
    bits: of a value, 8 or 16.
    profile: color profile (ICC), or None.
    notes: what was not read as it is in the file.
  """

  pixels: np.ndarray
  alpha: np.ndarray | None = None
  bits: int = 8
  profile: bytes | None = None
  notes: tuple[str, ...] = ()


def shown(path: pathlib.Path | str) -> str:
  """A path in one line, whatever characters it has."""
  text = str(path)
  return text if text.isprintable() else ascii(text)


def read(path: pathlib.Path, *, scale: int, max_pixels: int) -> Picture:
  """The first frame of an image file.

  Args:
    path: of a file in one of eight formats.
    scale: of the output.
    max_pixels: most pixels of the output; an image that would make more is
      refused before it is decoded.

  Raises:
    UserError: names the file and what is wrong with it, in one line.
  """
  try:
    if not path.is_file():
      raise errors.UserError("there is no such file")
    with warnings.catch_warnings():
      # Size is checked below; other oddities show in the pixels or not at all.
      warnings.simplefilter("ignore")
      with Image.open(path, formats=_FORMATS) as image:
        _check_size(image, scale, max_pixels)
        return _decoded(image)
  except errors.UserError as error:
    raise errors.UserError(f"{shown(path)}: {error}.") from error
  # Pillow reports damage in many ways: OSError, SyntaxError, zlib.error ...
  except Exception as error:
    problem = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, Image.UnidentifiedImageError):
      problem = "empty" if not path.stat().st_size else "none of the formats"
    elif isinstance(error, OSError) and error.strerror:
      problem = error.strerror
    raise errors.UserError(
      f"{shown(path)}: cannot be read as an image ({problem[:200]})."
    ) from error


def _check_size(image: Image.Image, scale: int, max_pixels: int) -> None:
  width, height = (scale * side for side in image.size)
  if width * height > max_pixels:
    raise errors.UserError(
      f"it would become {width:,} x {height:,} pixels; "
      f"--max-pixels={width * height} allows that"
    )


def _decoded(file: ImageFile.ImageFile) -> Picture:
  notes = []
  if getattr(file, "n_frames", 1) > 1 and file.format != "MPO":
    notes.append("several frames: only the first")
  has_more_bits = _bits_in_file(file) > 8
  profile = file.info.get("icc_profile")
  is_transparent = "transparency" in file.info
  image = ImageOps.exif_transpose(file)
  mode = image.mode
  if mode.startswith("I;16"):
    array = np.asarray(image).astype(np.uint16)
    return Picture(array[..., None], None, 16, profile, tuple(notes))
  if mode in ("I", "F"):
    return Picture(_of_numbers(image)[..., None], None, 16, None, tuple(notes))
  if has_more_bits:
    notes.append("16-bit colors: read with 8 bits")
  if mode not in ("1", "L", "P", "RGB", *_WITH_ALPHA):
    notes.append(f"{mode} colors: converted without their profile")
    profile = None
  array, alpha = _of_bytes(image, is_transparent)
  if array.shape[-1] == 3 and pixels_lib.is_gray(array):
    array, profile = array[..., :1], None
  return Picture(array, alpha, 8, profile, tuple(notes))


def _of_numbers(image: Image.Image) -> np.ndarray:
  """16-bit integers, or floats in [0, 1], of a file that may hold others."""
  array = np.asarray(image)
  highest = 65535 if image.mode == "I" else 1
  lowest_found, highest_found = array.min(), array.max()
  if not 0 <= lowest_found <= highest_found <= highest:
    raise errors.UserError(
      f"its values go from {lowest_found:.6g} to {highest_found:.6g}, not from "
      f"0 to {highest}"
    )
  return array.astype(np.uint16 if image.mode == "I" else np.float32)


def _of_bytes(
  image: Image.Image, is_transparent: bool
) -> tuple[np.ndarray, np.ndarray | None]:
  """Colors [H, W, C] and alpha [H, W] of an 8-bit image."""
  is_gray = image.mode in ("1", "L", "LA", "La")
  if not is_transparent and image.mode not in _WITH_ALPHA:
    array = np.asarray(image.convert("L" if is_gray else "RGB"))
    return (array[..., None] if is_gray else array), None
  array = np.asarray(image.convert("LA" if is_gray else "RGBA"))
  alpha = array[..., -1]
  return array[..., :-1], None if alpha.min() == 255 else alpha


def _bits_in_file(image: ImageFile.ImageFile) -> int:
  """Bits of a value as stored; Pillow gives 8 of 16-bit colors unasked."""
  if isinstance(image, TiffImagePlugin.TiffImageFile):
    return max(image.tag_v2.get(258, (8,)))
  file = image.fp
  if image.format != "PNG" or file is None:
    return 8
  place = file.tell()
  file.seek(24)  # Bit depth, in the header that each PNG begins with.
  (bits,) = struct.unpack("B", file.read(1))
  file.seek(place)
  return bits


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
