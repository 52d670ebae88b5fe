"""A picture of some images of each class."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from sr2_jax import files, paths
from sr2_jax.data import image_file, own_images, pixels

# Rows, images in a row, and pixels of an image, of the gap and of the text.
_MOST_CLASSES = 40
_MOST_IMAGES = 12
_CELL = 64
_GAP = 6
_TEXT = 14


def write(path: Path, plan: own_images.Plan, usable: Sequence[int]) -> None:
  """Writes a PNG with a row for each class, and its first images in order.

  Images keep their aspect, and are not in the size that a run gives them.

  Args:
    path: of the picture.
    plan: the images.
    usable: indices of those that can be read.
  """
  rows = []
  for label, name in enumerate((plan.class_names or ("",))[:_MOST_CLASSES]):
    own = [index for index in usable if plan.labels[index] == label]
    # Without classes there is room for more.
    most = _MOST_IMAGES if plan.class_names else 4 * _MOST_IMAGES
    chosen = own[:: max(1, len(own) // most)][:most]
    for start in range(0, len(chosen), _MOST_IMAGES):
      text = f"{paths.shown(name)} ({len(own):,})" if not start else ""
      rows.append((text, chosen[start : start + _MOST_IMAGES]))
  step = _TEXT + _CELL + _GAP
  size = (
    _GAP + _MOST_IMAGES * (_CELL + _GAP),
    _GAP + max(1, len(rows)) * step,
  )
  sheet = Image.new("RGB", size, "white")
  draw, font = ImageDraw.Draw(sheet), _font()
  for row, (text, chosen) in enumerate(rows):
    top = _GAP + row * step
    draw.text((_GAP, top), text, fill="black", font=font)
    for column, index in enumerate(chosen):
      left = _GAP + column * (_CELL + _GAP)
      sheet.paste(_small(plan.files[index]), (left, top + _TEXT))
  with files.replacing(path) as file:
    sheet.save(file, format="PNG")


def _font() -> ImageFont.FreeTypeFont:
  """Matplotlib's: Pillow's own has hardly a letter beyond English."""
  spec = importlib.util.find_spec("matplotlib")
  assert spec is not None
  assert spec.origin is not None
  fonts = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
  return ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), _TEXT - 3)


def _small(path: Path) -> Image.Image:
  """An image that fits into a cell; small ones in whole, larger pixels."""
  values = pixels.to_float(image_file.read(path).pixels)
  image = Image.fromarray(pixels.quantized(pixels.with_channels(values, 3), 8))
  longest = max(image.size)
  if longest > _CELL:
    image.thumbnail((_CELL, _CELL))
    return image
  zoom = _CELL // longest
  size = (zoom * image.width, zoom * image.height)
  return image.resize(size, Image.Resampling.NEAREST)
