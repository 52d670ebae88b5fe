"""Characters of licence plates: your own images, worked through.

This draws 20,000 images of 36 classes, A to Z and 0 to 9, in 16 s on two cores:

  python -m experiments.plates --out=data/plates

SR2_FSRCNN at x4 on them, three seeds, then its control from the same
pretraining. docs/own-data.md goes on from there, and has the numbers:

  python -m sr2_jax.main --config=experiments/plates.py
  python -m sr2_jax.main --config=experiments/plates.py \\
      --config.experiment=plates_control --config.init_from=runs/plates \\
      --config.model.wiring=none

An image has 32x16 pixels: a character and the edges of its neighbors, on a
plate with a rim, seen at an angle, with dirt, shadows, blur and noise. Nothing
is of a real plate. The faces are DejaVu's, which come with Matplotlib under a
free license; --fonts takes a folder of others.

An image depends on the seed and its number alone, not on how many processes
draw. Another version of Pillow or kind of processor may round differently.
"""

import argparse
import concurrent.futures
import functools
import importlib.util
import itertools
import multiprocessing
import os
import pathlib
import string
import sys
import tempfile
from collections.abc import Sequence

import ml_collections
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from experiments import default

CLASSES = string.ascii_uppercase + string.digits
HEIGHT, WIDTH = 32, 16
# Of every ten images the last is for the test.
_TEST_SHARE = 10

# Letters are drawn this much larger, and reduced at the end.
_FINE = 4
_CAP_HEIGHT = 23 * _FINE
_FACES = (
  "DejaVuSans-Bold.ttf", "DejaVuSansMono-Bold.ttf", "DejaVuSans.ttf",
  "DejaVuSansMono.ttf",
)  # fmt: skip
# Plate and letters, RGB in [0, 1].
_PALETTES = (
  ((0.92, 0.92, 0.90), (0.08, 0.08, 0.10)),
  ((0.92, 0.92, 0.90), (0.10, 0.16, 0.42)),
  ((0.93, 0.75, 0.16), (0.09, 0.08, 0.08)),
  ((0.11, 0.24, 0.55), (0.92, 0.93, 0.92)),
  ((0.10, 0.38, 0.24), (0.90, 0.92, 0.88)),
  ((0.10, 0.10, 0.11), (0.86, 0.86, 0.84)),
)
_MUD = (0.36, 0.30, 0.23)


def get_config() -> ml_collections.ConfigDict:
  """SR2_FSRCNN at x4 on the images in data/plates, made short."""
  config = default.get_config()
  config.experiment = "plates"
  config.num_seeds = 3
  config.data.name = "folder"
  config.data.path = "data/plates"
  config.data.validation_fraction = 0.1
  # The images are 16 pixels wide, and already tilted.
  config.augmentation.max_shift = 1
  config.augmentation.max_rotation = 3.0
  config.degradation.scale = 4

  # As in experiments/quickstart.py: the paper's are for 180,000 steps.
  config.loss.l2 = (1e-5,)
  config.model.batch_norm_momentum = 0.9
  config.pretrain.num_epochs = 3
  config.joint.num_epochs = 2
  config.joint.learning_rate.shared = 1e-3
  config.joint.learning_rate.sr = 1e-3
  config.joint.learning_rate.classifier = 1e-3
  config.joint.loss_weight = (0.1,)

  config.eval.noise_variances = (0.0, 1e-4, 1e-3, 1e-2)
  config.eval.validation_noise_variances = (0.0,)
  config.eval.every_epochs = 1
  config.eval.splits = ("test",)
  config.checkpoint.every_steps = 500
  return config


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command that draws the images; returns its exit code."""
  parser = argparse.ArgumentParser(
    prog="python -m experiments.plates",
    description="Draws characters of licence plates as PNG files of "
    f"{HEIGHT}x{WIDTH} pixels, OUT/train/CLASS/*.png and OUT/test/CLASS/*.png.",
  )
  parser.add_argument("--out", default="data/plates", help="a new folder")
  parser.add_argument("--images", type=int, default=20_000)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
  parser.add_argument("--fonts", help="a folder of .ttf or .otf files")
  flags = parser.parse_args(arguments)
  out = pathlib.Path(flags.out)
  least = len(CLASSES) * _TEST_SHARE
  if flags.images < least:
    parser.error(f"--images={flags.images}: {least} or more.")
  if flags.seed < 0 or flags.workers < 1:
    parser.error("--seed is 0 or more, --workers is 1 or more.")
  if out.exists():
    parser.error(f"{out} is there already: remove it, or take another --out.")
  fonts = find_fonts(flags.fonts)
  if not fonts:
    parser.error(f"--fonts={flags.fonts}: no .ttf or .otf files there.")
  settings = {"seed": flags.seed, "workers": flags.workers, "fonts": fonts}
  try:
    write(out, num_images=flags.images, **settings)
  except OSError as error:
    parser.error(f"{error.filename or out}: {error.strerror or error}.")
  print(f"{flags.images:,} images of {len(CLASSES)} classes are in {out}.")
  return 0


def find_fonts(folder: str | None = None) -> list[str]:
  """Paths of the fonts in a folder, or of those that Matplotlib has."""
  if folder is None:
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    fonts = pathlib.Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    return [str(fonts / name) for name in _FACES]
  return sorted(map(str, pathlib.Path(folder).glob("*.[to]tf")))


def write(
  out: pathlib.Path,
  *,
  num_images: int,
  seed: int,
  workers: int,
  fonts: Sequence[str],
) -> None:
  """Draws all images; the folder appears once they are complete."""
  out.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=out.parent, prefix=".plates-") as made:
    root = pathlib.Path(made, "images")
    for split, name in itertools.product(("train", "test"), CLASSES):
      (root / split / name).mkdir(parents=True)
    draw_some = functools.partial(_write_some, root, seed=seed, fonts=fonts)
    numbers = [range(k, num_images, 64) for k in range(min(64, num_images))]
    if workers == 1:
      for some in numbers:
        draw_some(some)
    else:
      # A process that is forked from one with threads can hang.
      context = multiprocessing.get_context("spawn")
      with concurrent.futures.ProcessPoolExecutor(workers, context) as pool:
        list(pool.map(draw_some, numbers))
    root.rename(out)


def _write_some(
  root: pathlib.Path, numbers: range, *, seed: int, fonts: Sequence[str]
) -> None:
  for number in numbers:
    turn, label = divmod(number, len(CLASSES))
    split = "train" if (turn + 1) % _TEST_SHARE else "test"
    image = draw(CLASSES[label], number=number, seed=seed, fonts=fonts)
    path = root / split / CLASSES[label] / f"{number:06d}.png"
    Image.fromarray(image).save(path)


class _Draws:
  """Random numbers of one image.

  From the raw stream of a bit generator, which is the same with every version
  of NumPy (NEP 19); what distributions make of it is not.
  """

  def __init__(self, seed: int, number: int) -> None:
    self._bits = np.random.PCG64(np.random.SeedSequence([seed, number]))

  def array(self, *shape: int) -> np.ndarray:
    """Uniform in [-1, 1)."""
    raw = np.asarray(self._bits.random_raw(shape), np.uint64)
    return (raw >> np.uint64(11)) * 2.0**-52 - 1

  def between(self, low: float, high: float) -> float:
    """Uniform."""
    return low + (high - low) * (float(self.array(1)[0]) + 1) / 2

  def below(self, count: int) -> int:
    """One of 0 to count - 1."""
    return int(self.between(0, count))

  def happens(self, chance: float) -> bool:
    """True with this probability."""
    return self.between(0, 1) < chance


def draw(
  character: str, *, number: int, seed: int, fonts: Sequence[str]
) -> np.ndarray:
  """The image with this number, uint8 [32, 16, 3]."""
  draws = _Draws(seed, number)
  ink, relief, rim = _seen_from_the_side(_plate(character, draws, fonts), draws)
  ground, letters = map(np.asarray, _PALETTES[draws.below(len(_PALETTES))])
  tint = 0.05 * draws.array(3)
  scene = ground + tint + (letters - ground - tint) * ink[..., None]
  scene += draws.between(0, 0.5) * relief[..., None]
  scene += (draws.between(0.05, 0.5) - scene) * rim[..., None]
  scene = _lit(_dirty(scene, draws), draws)
  # Of a sensor: a little noise.
  scene += draws.between(0.002, 0.02) * draws.array(*scene.shape)
  return np.round(255 * np.clip(scene, 0, 1)).astype(np.uint8)


def _plate(character: str, draws: _Draws, fonts: Sequence[str]) -> Image.Image:
  """Three characters on a plate, twice as large as what is seen of it.

  The channels are ink, relief (128 where the metal is flat) and what is not
  plate: its rim and beyond.
  """
  font = fonts[draws.below(len(fonts))]
  width = draws.between(0.68, 0.95)
  gap = round(draws.between(1.0, 3.0) * _FINE)
  size = (2 * WIDTH * _FINE, 2 * HEIGHT * _FINE)
  top = (size[1] - _CAP_HEIGHT) // 2
  ink = Image.new("L", size)
  own = _glyph(font, character, width)
  left = (size[0] - own.width) // 2
  ink.paste(own, (left, top), own)
  for side in (-1, 1):
    # Plates have groups of characters: at times there is no neighbor.
    other = _glyph(font, CLASSES[draws.below(len(CLASSES))], width)
    if draws.happens(0.75):
      place = left - gap - other.width if side < 0 else left + own.width + gap
      ink.paste(other, (place, top), other)
  stamped = np.asarray(ink, np.int16)
  light = np.roll(stamped, (_FINE // 2, _FINE // 2), (0, 1))
  relief = Image.fromarray((128 + (stamped - light) // 2).astype(np.uint8))
  rim = Image.new("L", size)
  space = [round(draws.between(2.0, 6.0) * _FINE) for _ in range(2)]
  edges = (top - space[0], top + _CAP_HEIGHT + space[1])
  pen = ImageDraw.Draw(rim)
  pen.rectangle((0, 0, size[0], edges[0]), fill=255)
  pen.rectangle((0, edges[1], size[0], size[1]), fill=255)
  return Image.merge("RGB", (ink, relief, rim))


@functools.lru_cache(maxsize=4096)
def _face(path: str) -> ImageFont.FreeTypeFont:
  """The font, as large as its capitals have to be."""
  box = ImageFont.truetype(path, 200).getbbox("H", anchor="ls")
  return ImageFont.truetype(path, round(200 * _CAP_HEIGHT / -box[1]))


@functools.lru_cache(maxsize=4096)
def _wide_glyph(path: str, character: str) -> Image.Image:
  """A character, cropped at its sides, with room below for a Q's tail."""
  left, _, right, _ = _face(path).getbbox(character, anchor="ls")
  glyph = Image.new("L", (round(right - left), _CAP_HEIGHT + 5 * _FINE))
  place = (-left, _CAP_HEIGHT)
  ImageDraw.Draw(glyph).text(
    place, character, font=_face(path), fill=255, anchor="ls"
  )
  return glyph


def _glyph(path: str, character: str, width: float) -> Image.Image:
  """A character, narrowed; none is wider than what is seen of a plate."""
  glyph = _wide_glyph(path, character)
  narrow = min(round(glyph.width * width), round(0.85 * WIDTH * _FINE))
  return glyph.resize((narrow, glyph.height), Image.Resampling.BILINEAR)


def _seen_from_the_side(
  plate: Image.Image, draws: _Draws
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Ink in [0, 1], relief in [-1, 1] and rim in [0, 1], [32, 16] each."""
  zoom, turn = draws.between(0.92, 1.1), draws.between(-0.1, 0.1)
  lean, squeeze = draws.between(-0.12, 0.12), draws.between(0.9, 1.1)
  # The farther side is smaller.
  far_x, far_y = 0.18 * draws.array(2) / (WIDTH * _FINE, HEIGHT * _FINE)
  shift = draws.array(2) * (1.0 * _FINE, 1.5 * _FINE)
  center = np.divide(plate.size, 2) + shift
  seen = np.array([[zoom * squeeze, lean - turn], [turn, zoom]])
  # Of a place relative to the picture's center: (seen @ place) / (1 + far @
  # place) relative to the plate's. Pillow counts from the corner.
  far = np.array([far_x, far_y])
  middle = np.array([WIDTH, HEIGHT]) * _FINE / 2
  matrix = seen + np.outer(center, far)
  constant = center - matrix @ middle
  scale = 1 - far @ middle
  data = np.concatenate(
    (matrix[0], constant[:1], matrix[1], constant[1:], far)
  ) / scale  # fmt: skip
  picture = plate.transform(
    (WIDTH * _FINE, HEIGHT * _FINE),
    Image.Transform.PERSPECTIVE,
    tuple(map(float, data)),
    Image.Resampling.BILINEAR,
  )
  # Out of focus.
  blur = ImageFilter.GaussianBlur(draws.between(0.1, 0.9) * _FINE)
  channels = np.asarray(picture.filter(blur).reduce(_FINE), np.float64)
  ink, relief, rim = np.moveaxis(channels, 2, 0)
  return ink / 255, (relief - 128) / 127, rim / 255


def _cloud(draws: _Draws, cells: tuple[int, int]) -> np.ndarray:
  """Smooth noise [32, 16], about in [-1, 1], with so many cells."""
  coarse = Image.fromarray(draws.array(*cells).astype(np.float32))
  return np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def _dirty(scene: np.ndarray, draws: _Draws) -> np.ndarray:
  """A film of mud, more of it at some places, and a few specks."""
  amount = draws.between(-0.6, 0.5)
  film = np.clip(_cloud(draws, (6, 3)) + amount, 0, 1) * 0.75
  specks = np.clip(3 * (_cloud(draws, (16, 8)) - draws.between(0.6, 1.3)), 0, 1)
  cover = np.maximum(film, 0.6 * specks)[..., None]
  return scene + (np.asarray(_MUD) - scene) * cover


def _lit(scene: np.ndarray, draws: _Draws) -> np.ndarray:
  """Brightness that falls off to a side, at times the edge of a shadow."""
  y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -0.5 : 0.5 : WIDTH * 1j]
  slope_x, slope_y, edge_x, edge_y = draws.array(4)
  light = draws.between(0.55, 1.1) * (1 + 0.3 * (slope_x * x + slope_y * y))
  if draws.happens(0.2):
    distance = (edge_x * x + edge_y * y) / np.hypot(edge_x, edge_y)
    shadow = 1 / (1 + np.exp(-draws.between(6, 20) * distance))
    light *= 1 - draws.between(0.3, 0.6) * shadow
  # Of the sun or of a lamp.
  color = 1 + 0.08 * draws.between(-1, 1) * np.array([1.0, 0.1, -1.0])
  haze = draws.between(0, 0.12)
  return haze + (1 - haze) * scene * light[..., None] * color


if __name__ == "__main__":
  sys.exit(main())
