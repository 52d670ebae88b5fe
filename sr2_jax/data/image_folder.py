"""A user's own images: a folder with a subfolder of PNG or JPEG per class."""

import json
import os
import sys
from concurrent import futures
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from sr2_jax import errors
from sr2_jax.data import cache

_SUFFIXES = (".png", ".jpg", ".jpeg")
# Pillow's modes that lose nothing as 8-bit gray or as 8-bit RGB.
_GRAY_MODES = ("1", "L")
_COLOR_MODES = ("P", "RGB")


class Images(NamedTuple):
  """The content of a folder, in the order of class names, then file names.

  `images` is uint8 [N, H, W, 1], or [N, H, W, 3] if any file has color.
  `labels`, int32 [N], index `class_names`.
  """

  images: np.ndarray
  labels: np.ndarray
  class_names: tuple[str, ...]


def read(folder: Path) -> Images:
  """Reads <folder>/<class>/*.png and *.jpg; hidden files are left out.

  Raises:
    UserError: names the folder or file that is missing, damaged, neither 8-bit
      gray nor RGB, or differs in size from the first.
  """
  classes = _visible(folder)
  for entry in classes:
    if not entry.is_dir():
      raise errors.UserError(
        f"{entry} is not a folder: config.data.path needs one subfolder of "
        "images per class, <path>/<class>/*.png."
      )
  if len(classes) < 2:
    raise errors.UserError(
      f"{folder} has {len(classes)} class folders; a classifier needs two: "
      "<path>/<class>/*.png."
    )
  files = [_image_files(entry) for entry in classes]
  paths = [path for group in files for path in group]
  counts = [len(group) for group in files]
  labels = np.repeat(np.arange(len(classes), dtype=np.int32), counts)
  images, labels = cache.images_and_labels(
    "folder",
    _identity(paths),
    decode=lambda: (_decode_all(paths, folder), labels),
  )
  return Images(images, labels, tuple(entry.name for entry in classes))


def _visible(folder: Path) -> list[Path]:
  """The entries of a folder, sorted by name, without hidden ones."""
  try:
    entries = sorted(folder.iterdir())
  except OSError as error:
    raise errors.UserError(
      f"config.data.path: cannot read the folder {folder} ({error.strerror})."
    ) from error
  return [entry for entry in entries if not entry.name.startswith(".")]


def _image_files(folder: Path) -> list[Path]:
  """The images of one class; any other file there is an error."""
  files = _visible(folder)
  for file in files:
    if file.suffix.lower() not in _SUFFIXES or not file.is_file():
      raise errors.UserError(
        f"{file} is not a PNG or JPEG file: convert it or move it away "
        "(expected <path>/<class>/*.png)."
      )
  if not files:
    raise errors.UserError(f"{folder} has no PNG or JPEG images.")
  return files


def _identity(paths: list[Path]) -> str:
  """Names, sizes and times of the files, in place of their content."""
  facts = [(path.absolute(), path.stat()) for path in paths]
  return json.dumps(
    [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in facts]
  )


def _decode_all(paths: list[Path], folder: Path) -> np.ndarray:
  """The pixels of all files, uint8 [N, H, W, C]."""
  print(f"decoding {folder}: {len(paths):,} images ...", file=sys.stderr)
  first = _decode(paths[0])
  images = np.empty((len(paths), *first.shape[:2], 3), np.uint8)
  colored = np.empty(len(paths), bool)

  def place(index: int) -> None:
    pixels = _decode(paths[index])
    if pixels.shape[:2] != first.shape[:2]:
      raise errors.UserError(
        f"{paths[index]} has {_size(pixels)} pixels, {paths[0]} has "
        f"{_size(first)}: all images must have one size."
      )
    images[index] = pixels
    colored[index] = pixels.shape[2] == 3

  # Pillow releases the GIL while it decodes.
  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    list(pool.map(place, range(len(paths))))
  return images if colored.any() else np.ascontiguousarray(images[..., :1])


def _decode(path: Path) -> np.ndarray:
  """Pixels of one file, upright, uint8 [H, W, 1] or [H, W, 3]."""
  try:
    with Image.open(path, formats=("PNG", "JPEG")) as image:
      mode = image.mode
      transparent = "transparency" in image.info
      if mode in _GRAY_MODES and not transparent:
        pixels = np.asarray(ImageOps.exif_transpose(image).convert("L"))
        return pixels[..., None]
      if mode in _COLOR_MODES and not transparent:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
  # Pillow reports damage in many ways: OSError, SyntaxError, zlib.error ...
  except Exception as error:
    raise errors.UserError(
      f"{path} cannot be decoded as PNG or JPEG ({error}): replace it or "
      "remove it."
    ) from error
  raise errors.UserError(
    f"{path} is neither 8-bit gray nor RGB, or is transparent (Pillow's mode "
    f"{mode}): save it as 8-bit gray or RGB."
  )


def _size(pixels: np.ndarray) -> str:
  height, width, _ = pixels.shape
  return f"{width}x{height}"
