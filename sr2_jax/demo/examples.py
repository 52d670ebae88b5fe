"""Images that a page shows before its user has any; no JAX.

Digits of MNIST's test set ship with the package: for each class the first one
in TensorFlow Datasets' order, side by side in one file. For other images there
are digits in a font, which no network was trained on.
"""

import colorsys
import dataclasses
from importlib import resources

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Of MNIST, in `digits.png`.
_MNIST_SHAPE = (28, 28, 1)
_COUNT = 10


@dataclasses.dataclass(frozen=True)
class Examples:
  """High-resolution images.

  Attributes:
    images: uint8 [N, H, W, C].
    titles: what each shows.
    note: where they come from, a sentence.
  """

  images: np.ndarray
  titles: tuple[str, ...]
  note: str


def of(data: str, shape: tuple[int, int, int]) -> Examples:
  """Examples for a network that was trained on a data set.

  Args:
    data: name of the data set.
    shape: (H, W, C) of its images.
  """
  titles = tuple(map(str, range(_COUNT)))
  if data.startswith("mnist") and shape == _MNIST_SHAPE:
    return Examples(
      _shipped(),
      titles,
      "From MNIST's test set. The network was not trained on them.",
    )
  images = np.stack([_drawn(digit, shape) for digit in range(_COUNT)])
  return Examples(
    images, titles, f"Digits in a font. The network was trained on {data}."
  )


def _shipped() -> np.ndarray:
  file = resources.files("sr2_jax.demo") / "digits.png"
  with file.open("rb") as opened, Image.open(opened) as image:
    digits = np.hsplit(np.asarray(image), _COUNT)
  return np.stack(digits)[..., None]


def _drawn(digit: int, shape: tuple[int, int, int]) -> np.ndarray:
  """A light digit on a dark ground, in colors if there are any."""
  height, width, channels = shape
  hue = digit / _COUNT
  ground, ink = (
    tuple(round(255 * x) for x in colorsys.hsv_to_rgb(hue, *color))
    for color in ((0.6, 0.35), (0.15, 0.95))
  )
  image = Image.new("RGB", (width, height), ground)
  ImageDraw.Draw(image).text(
    (width / 2, height / 2),
    str(digit),
    fill=ink,
    font=ImageFont.load_default(0.75 * min(height, width)),
    anchor="mm",
  )
  if channels == 1:
    image = image.convert("L")
  return np.asarray(image).reshape(shape)
