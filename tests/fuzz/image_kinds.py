"""Changes of images: other formats, sizes and modes, and headers that lie."""

import io
import pathlib
import random
import struct
import zlib

import numpy as np
from PIL import Image

_SUFFIXES = (".png", ".jpg", ".tif")


def _pixels(height: int, width: int) -> np.ndarray:
  return np.arange(height * width, dtype=np.uint8).reshape(height, width)


def _saved(image: Image.Image, form: str, **options: object) -> bytes:
  buffer = io.BytesIO()
  image.save(buffer, form, **options)
  return buffer.getvalue()


def _in_mode(mode: str, form: str = "PNG", side: int = 12) -> bytes:
  return _saved(Image.fromarray(_pixels(side, side)).convert(mode), form)


def _frames() -> bytes:
  first, second = (Image.new("L", (12, 12), x) for x in (0, 200))
  return _saved(first, "GIF", save_all=True, append_images=[second])


def _on_its_side() -> bytes:
  image = Image.fromarray(_pixels(8, 6))
  exif = image.getexif()
  exif[0x0112] = 6
  return _saved(image, "JPEG", exif=exif)


def _png(width: int, height: int, *, depth: int = 8, color: int = 0) -> bytes:
  """A PNG whose header says this, whatever comes after it."""

  def chunk(kind: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

  head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
  pixels = zlib.compress(bytes(9 * 8))
  return b"\x89PNG\r\n\x1a\n" + b"".join(
    (chunk(b"IHDR", head), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
  )


def _floats(value: float) -> bytes:
  return _saved(Image.fromarray(np.full((12, 12), value, np.float32)), "TIFF")


def _text_bomb() -> bytes:
  """A PNG with a text of 100 MB, compressed."""
  from PIL import PngImagePlugin

  info = PngImagePlugin.PngInfo()
  info.add_text("Comment", " " * 100_000_000, zip=True)
  return _saved(Image.fromarray(_pixels(12, 12)), "PNG", pnginfo=info)


WAYS = {
  "bilevel": lambda: _in_mode("1"),
  "gray with alpha": lambda: _in_mode("LA"),
  "palette": lambda: _in_mode("P"),
  "RGB": lambda: _in_mode("RGB"),
  "RGBA": lambda: _in_mode("RGBA"),
  "CMYK": lambda: _in_mode("CMYK", "JPEG"),
  "YCbCr": lambda: _in_mode("YCbCr", "JPEG"),
  "16 bits": lambda: _saved(
    Image.fromarray(_pixels(12, 12).astype(np.uint16) * 250), "PNG"
  ),
  "32 bits": lambda: _saved(
    Image.fromarray(np.full((12, 12), 70000, np.int32)), "TIFF"
  ),
  "floats": lambda: _floats(0.5),
  "nan": lambda: _floats(np.nan),
  "out of range": lambda: _floats(300),
  "one pixel": lambda: _in_mode("L", side=1),
  "larger": lambda: _in_mode("L", side=16),
  "a line": lambda: _saved(Image.new("L", (500, 1)), "PNG"),
  "frames": _frames,
  "on its side": _on_its_side,
  "PDF": lambda: _saved(Image.new("L", (12, 12)), "PDF"),
  "ICO": lambda: _saved(Image.new("L", (16, 16)), "ICO"),
  "EPS": lambda: _saved(Image.new("L", (12, 12)), "EPS"),
  "no width": lambda: _png(0, 8),
  "huge": lambda: _png(60_000, 60_000),
  "largest": lambda: _png(2**31 - 1, 2**31 - 1),
  "wrong height": lambda: _png(8, 9),
  "odd depth": lambda: _png(8, 8, depth=3),
  "odd color": lambda: _png(8, 8, color=5),
  "no palette": lambda: _png(8, 8, color=3),
  "a long text": _text_bomb,
  "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>',
  "page": lambda: b"<!DOCTYPE html><html>404</html>",
  "PGM of text": lambda: b"P2 2 2 255 1 2 3 x",
  "PGM of nothing": lambda: b"P5 99999 99999 65535\n",
}


def _draw(rng: random.Random, path: pathlib.Path) -> dict | None:
  if path.suffix not in _SUFFIXES or not path.is_file():
    return None
  return {"to": rng.choice(list(WAYS))}


def _change(path: pathlib.Path, *, to: str) -> None:
  path.write_bytes(WAYS[to]())


KINDS = {"image": (_draw, _change)}
