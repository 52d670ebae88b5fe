"""Pictures for people: images side by side, and where seeds disagree; no JAX.

Drawn with Pillow alone. A disagreement has one fixed scale in all pictures, so
that two of them can be compared.
"""

import dataclasses
import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

# The standard deviation, for images in [0, 1], that has the lightest color.
FULL_SCALE = 0.25
CAUTION = (
  "Where seeds agree they can agree on something that is not there: "
  "low disagreement is no evidence."
)
# Fewer seeds say little about a single pixel.
_ENOUGH_SEEDS = 5

# Sides of a panel: small images are enlarged, large ones reduced.
_LEAST_SIDE, _MOST_SIDE = 224, 1024
_MARGIN, _LINE, _TEXT_SIZE = 12, 20, 14
_LOW, _MIDDLE, _HIGH = "#000004", "#b6377a", "#fcfdbf"
_INK, _PAPER = "#222222", "#ffffff"


@dataclasses.dataclass(frozen=True)
class Panel:
  """An image with a title, in a row of others.

  Attributes:
    title: above it.
    image: to draw.
    caption: below it.
  """

  title: str
  image: Image.Image
  caption: str = ""


def of_values(values: np.ndarray) -> Image.Image:
  """An image of uint8 [H, W, C], without alpha."""
  gray = values.shape[-1] < 3
  return Image.fromarray(values[..., 0] if gray else values[..., :3])


def heat(spread: np.ndarray) -> Image.Image:
  """Colors for a standard deviation [H, W], averaged over 3 x 3 pixels."""
  padded = np.pad(spread, 1, mode="edge")
  height, width = spread.shape
  shifted = [
    padded[y : y + height, x : x + width] for y in range(3) for x in range(3)
  ]
  smooth = np.mean(shifted, axis=0) / FULL_SCALE
  gray = np.rint(255 * np.clip(smooth, 0, 1)).astype(np.uint8)
  return _colored(Image.fromarray(gray))


def _colored(gray: Image.Image) -> Image.Image:
  return ImageOps.colorize(gray, black=_LOW, mid=_MIDDLE, white=_HIGH)


def disagreement(spread: np.ndarray, *, seeds: int) -> Image.Image:
  """The map of a standard deviation [H, W], with its scale and its meaning."""
  drawn = heat(spread)
  drawn = _resized(drawn, drawn.size)
  few = f" ({_ENOUGH_SEEDS} or more say more)" if seeds < _ENOUGH_SEEDS else ""
  row = _row([Panel(f"disagreement of {seeds} seeds{few}", drawn, "")])
  bar = Image.linear_gradient("L").rotate(180).resize((16, drawn.height))
  bar = _colored(bar)
  ticks = (f"{FULL_SCALE} or more", "0")
  right = drawn.width + 2 * _MARGIN + 22 + max(map(_text_width, ticks))
  lines = _wrapped(CAUTION, max(row.width, right))
  width = max(row.width, right, _MARGIN + max(map(_text_width, lines)))
  height = row.height + _LINE * len(lines) + _MARGIN
  page = Image.new("RGB", (width + _MARGIN, height), _PAPER)
  page.paste(row)
  left, top = drawn.width + 2 * _MARGIN, _MARGIN + _LINE
  page.paste(bar, (left, top))
  pen = ImageDraw.Draw(page)
  for place, text in enumerate(ticks):
    y = top + place * (drawn.height - _TEXT_SIZE - 2)
    pen.text((left + 22, y), text, _INK, _font())
  for number, line in enumerate(lines):
    pen.text((_MARGIN, row.height + _LINE * number), line, _INK, _font())
  return page


def side_by_side(panels: Sequence[Panel]) -> Image.Image:
  """Panels in a row, all of the size of the second (the first is low-res)."""
  size = panels[1].image.size
  return _row(
    [
      dataclasses.replace(panel, image=_resized(panel.image, size))
      for panel in panels
    ]
  )


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
  """An image at a size that one can look at, its pixels as squares."""
  longest = max(size)
  factor = max(1, -(-_LEAST_SIDE // longest))
  if longest <= _MOST_SIDE:
    width, height = (factor * side for side in size)
    return image.resize((width, height), Image.Resampling.NEAREST)
  width, height = (max(1, side * _MOST_SIDE // longest) for side in size)
  return image.resize((width, height), Image.Resampling.BOX)


def _row(panels: Sequence[Panel]) -> Image.Image:
  panels = [
    dataclasses.replace(
      panel, title=plain(panel.title), caption=plain(panel.caption)
    )
    for panel in panels
  ]
  widths = [
    max(panel.image.width, *map(_text_width, (panel.title, panel.caption)))
    for panel in panels
  ]
  height = max(panel.image.height for panel in panels)
  has_caption = any(panel.caption for panel in panels)
  page = Image.new(
    "RGB",
    (
      sum(widths) + _MARGIN * (len(panels) + 1),
      height + _LINE * (1 + has_caption) + 2 * _MARGIN,
    ),
    _PAPER,
  )
  pen = ImageDraw.Draw(page)
  left = _MARGIN
  for panel, width in zip(panels, widths, strict=True):
    pen.text((left, _MARGIN - 4), panel.title, _INK, _font())
    page.paste(panel.image.convert("RGB"), (left, _MARGIN + _LINE))
    below = _MARGIN + _LINE + height + 6
    pen.text((left, below), panel.caption, _INK, _font())
    left += width + _MARGIN
  return page


def plain(text: str) -> str:
  """A text in the characters that Pillow's own font has."""
  parts = unicodedata.normalize("NFKD", text)
  letters = "".join(c for c in parts if not unicodedata.combining(c))
  return letters.encode("ascii", "replace").decode()


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
  return ImageFont.load_default(_TEXT_SIZE)


def _text_width(text: str) -> int:
  return int(_font().getlength(text)) + 1


def _wrapped(text: str, width: int) -> list[str]:
  """Lines of at most this many pixels, where words allow it."""
  lines = [""]
  for word in text.split():
    longer = f"{lines[-1]} {word}".strip()
    if lines[-1] and _text_width(longer) > width:
      lines.append(word)
    else:
      lines[-1] = longer
  return lines
