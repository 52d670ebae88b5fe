"""An image file, read without losing what it holds; no JAX."""

import contextlib
import dataclasses
import pathlib
import struct
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin

from sr2_jax import errors, memory, paths
from sr2_jax.data import pixels as pixels_lib

# Found by their content, whatever the suffix says.
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF")
# What their names usually end with.
SUFFIXES = frozenset((
  ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".pgm",
  ".ppm", ".pnm", ".avif",
))  # fmt: skip

# Pillow's modes.
_GRAY = ("1", "L", "LA", "La")
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
# Pillow and NumPy each have the pixels, of a byte at least. What needs fewer
# bytes than this is not checked, which takes a tenth of a millisecond.
_LEAST_BYTES, _SMALL = 2, 50_000_000
# EXIF's tag, and its values of images that lie on their side.
_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)


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


class Header(NamedTuple):
  """What an image file says before it is decoded.

  Attributes:
    size: (height, width) in pixels, upright.
    is_color: whether it stores colors, though they may all be gray.
    bits: of a value, 8 or 16, as `read` gives them.
  """

  size: tuple[int, int]
  is_color: bool
  bits: int


def header(path: pathlib.Path) -> Header:
  """The header of an image file.

  Raises:
    UserError: names the file and what is wrong with it, in one line.
  """
  with _opened(path) as image:
    width, height = image.size
    if isinstance(image, TiffImagePlugin.TiffImageFile):
      # Some versions of Pillow have turned a TIFF's size already.
      width, height = image.tag_v2[256], image.tag_v2[257]
    # Pillow would decode a PNG to look for EXIF data behind its pixels.
    knows = image.format != "PNG" or "exif" in image.info
    if knows and image.getexif().get(_ORIENTATION) in _SIDEWAYS:
      width, height = height, width
    deep = image.mode.startswith(("I", "F"))
    is_gray = deep or image.mode in _GRAY
    return Header((height, width), not is_gray, 16 if deep else 8)


def read(
  path: pathlib.Path, *, scale: int = 1, max_pixels: int | None = None
) -> Picture:
  """The first frame of an image file.

  Args:
    path: of a file in one of eight formats.
    scale: of the output.
    max_pixels: most pixels of the output; an image that would make more is
      refused before it is decoded. None leaves the limit to Pillow.

  Raises:
    UserError: names the file and what is wrong with it, in one line.
  """
  with _opened(path) as image:
    if max_pixels is not None:
      _check_size(image, scale, max_pixels)
    width, height = image.size
    check_room((height, width))
    return _decoded(image)


def check_room(size: tuple[int, int], of: str = "") -> None:
  """Refuses an image that memory has no room for; most are not looked at.

  Where a cgroup has a limit, the system would end the process without a word.

  Args:
    size: (height, width).
    of: what a whole sentence begins with.

  Raises:
    UserError: says so; without `of`, for a message that names a file.
  """
  height, width = size
  nbytes = _LEAST_BYTES * height * width
  if nbytes < _SMALL:
    return
  free = memory.of_host()
  if free is not None and nbytes > free.nbytes:
    raise errors.UserError(
      f"{of}{width:,} x {height:,} pixels need {memory.in_words(nbytes)} of "
      f"memory, and {memory.in_words(free.nbytes)} are free"
      f"{'.' if of else ''}"
    )


@contextlib.contextmanager
def named(path: pathlib.Path) -> Iterator[None]:
  """Names a file whose pixels memory has no room for.

  Raises:
    UserError: in one line.
  """
  try:
    yield
  except MemoryError as error:
    raise _too_large(path) from error


def _too_large(path: pathlib.Path) -> errors.UserError:
  return errors.UserError(
    f"{paths.shown(path)}: there is not enough memory for its pixels."
  )


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[ImageFile.ImageFile]:
  """An open file; what goes wrong with it becomes a UserError of one line."""
  try:
    if not path.is_file():
      raise errors.UserError("there is no such file")
    with warnings.catch_warnings():
      # Size is checked elsewhere; other oddities show in the pixels or not.
      warnings.simplefilter("ignore")
      with Image.open(path, formats=_FORMATS) as image:
        yield image
  except errors.UserError as error:
    raise errors.UserError(f"{paths.shown(path)}: {error}.") from error
  except MemoryError as error:
    raise _too_large(path) from error
  # Pillow reports damage in many ways: OSError, SyntaxError, zlib.error ...
  except Exception as error:
    problem = errors.reason(error)
    if isinstance(error, Image.UnidentifiedImageError):
      problem = "empty" if not path.stat().st_size else "none of the formats"
    elif isinstance(error, OSError) and error.strerror:
      problem = error.strerror
    raise errors.UserError(
      f"{paths.shown(path)}: cannot be read as an image ({problem})."
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
  is_gray = image.mode in _GRAY
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
