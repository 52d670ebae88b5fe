"""Image files of every kind, compared with what Pillow alone reads."""

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from sr2_jax import errors, memory, paths
from sr2_jax.data import image_file

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (7, 9), np.uint8)
COLOR = RNG.integers(0, 256, (7, 9, 3), np.uint8)
ALPHA = RNG.integers(0, 256, (7, 9), np.uint8)
DEEP = RNG.integers(0, 65536, (7, 9), np.uint16)


def read(path, scale=2, max_pixels=10**6):
  return image_file.read(path, scale=scale, max_pixels=max_pixels)


def saved(tmp_path, array, name="a.png", **options):
  image = array if isinstance(array, Image.Image) else Image.fromarray(array)
  image.save(tmp_path / name, **options)
  return tmp_path / name


def problem_of(path, **options):
  with pytest.raises(errors.UserError) as caught:
    read(path, **options)
  text = str(caught.value)
  assert "\n" not in text
  assert text.startswith(paths.shown(path))
  return text


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.pgm", "a.gif"])
def test_gray_is_read_as_it_is(tmp_path, name):
  picture = read(saved(tmp_path, GRAY, name))
  np.testing.assert_array_equal(picture.pixels[..., 0], GRAY)
  assert picture.pixels.dtype == np.uint8
  assert (picture.bits, picture.alpha, picture.notes) == (8, None, ())


def test_the_content_counts_and_not_the_suffix(tmp_path):
  path = saved(tmp_path, GRAY)
  path = path.rename(tmp_path / "a.jpg")
  np.testing.assert_array_equal(read(path).pixels[..., 0], GRAY)


def test_color_stays_unless_it_is_gray(tmp_path):
  np.testing.assert_array_equal(read(saved(tmp_path, COLOR)).pixels, COLOR)
  gray = np.repeat(GRAY[..., None], 3, axis=-1)
  np.testing.assert_array_equal(
    read(saved(tmp_path, gray)).pixels, GRAY[..., None]
  )


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_gray_keeps_its_low_byte(tmp_path, name):
  picture = read(saved(tmp_path, DEEP, name))
  np.testing.assert_array_equal(picture.pixels[..., 0], DEEP)
  assert picture.bits == 16
  assert picture.pixels.dtype == np.uint16


def test_16_bit_of_the_other_byte_order(tmp_path):
  image = Image.frombytes("I;16B", (9, 7), DEEP.astype(">u2").tobytes())
  picture = read(saved(tmp_path, image, "a.tif"))
  np.testing.assert_array_equal(picture.pixels[..., 0], DEEP)


def test_numbers_are_read_if_they_are_in_range(tmp_path):
  picture = read(saved(tmp_path, DEEP.astype(np.int32), "a.tif"))
  np.testing.assert_array_equal(picture.pixels[..., 0], DEEP)
  fractions = RNG.random((7, 9), np.float32)
  picture = read(saved(tmp_path, fractions, "b.tif"))
  np.testing.assert_array_equal(picture.pixels[..., 0], fractions)
  for array in (DEEP.astype(np.int32) + 1000, fractions - 1, 255 * fractions):
    problem = problem_of(saved(tmp_path, array, "c.tif"))
    assert "its values go from" in problem
  fractions[0, 0] = np.nan
  problem_of(saved(tmp_path, fractions, "d.tif"))


def test_16_bit_colors_are_never_read_silently(tmp_path):
  """Pillow has no such mode: it drops the low byte."""
  rows = b"".join(b"\0" + row.tobytes() for row in COLOR.astype(">u2") * 257)

  def chunk(kind, data):
    body = kind + data
    return (
      struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
    )

  path = tmp_path / "a.png"
  path.write_bytes(
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 7, 16, 2, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(rows))
    + chunk(b"IEND", b"")
  )
  picture = read(path)
  np.testing.assert_array_equal(picture.pixels, COLOR)
  assert picture.notes == ("16-bit colors: read with 8 bits",)


def test_alpha_is_kept_and_colors_under_it_too(tmp_path):
  for array in (
    np.dstack([GRAY, ALPHA]),
    np.dstack([COLOR, ALPHA]),
  ):
    picture = read(saved(tmp_path, array))
    np.testing.assert_array_equal(picture.pixels, array[..., :-1])
    np.testing.assert_array_equal(picture.alpha, ALPHA)
  opaque = read(saved(tmp_path, np.dstack([COLOR, np.full_like(ALPHA, 255)])))
  assert opaque.alpha is None


def test_a_transparent_color_becomes_alpha(tmp_path):
  image = Image.fromarray(COLOR).quantize(16)
  path = saved(tmp_path, image, transparency=bytes([0, 128] + [255] * 14))
  picture = read(path)
  index = np.asarray(image)
  np.testing.assert_array_equal(
    picture.alpha, np.where(index == 0, 0, np.where(index == 1, 128, 255))
  )
  expected = np.asarray(image.convert("RGB"))
  np.testing.assert_array_equal(picture.pixels, expected)
  gray = read(saved(tmp_path, GRAY, transparency=int(GRAY[0, 0])))
  np.testing.assert_array_equal(gray.alpha == 0, GRAY[0, 0] == GRAY)
  np.testing.assert_array_equal(gray.pixels[..., 0], GRAY)


def test_other_modes_have_the_right_colors(tmp_path):
  bits = read(saved(tmp_path, Image.fromarray(GRAY > 99)))
  np.testing.assert_array_equal(bits.pixels[..., 0], 255 * (GRAY > 99))
  assert bits.notes == ()
  cmyk = Image.fromarray(COLOR).convert("CMYK")
  picture = read(saved(tmp_path, cmyk, "a.tif"))
  assert np.abs(picture.pixels.astype(int) - COLOR).max() <= 2
  assert picture.notes == ("CMYK colors: converted without their profile",)
  palette = Image.fromarray(COLOR).quantize(255)
  picture = read(saved(tmp_path, palette))
  np.testing.assert_array_equal(
    picture.pixels, np.asarray(palette.convert("RGB"))
  )


def test_images_are_upright(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6  # To be turned clockwise.
  path = saved(tmp_path, GRAY, exif=exif)
  np.testing.assert_array_equal(read(path).pixels[..., 0], np.rot90(GRAY, -1))


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_of_an_animation_the_first_frame_is_read(tmp_path, name):
  frames = [Image.fromarray(GRAY), Image.fromarray(255 - GRAY)]
  options = {"save_all": True, "append_images": frames[1:]}
  if name == "a.webp":
    options["lossless"] = True
  picture = read(saved(tmp_path, frames[0], name, **options))
  np.testing.assert_array_equal(picture.pixels[..., 0], GRAY)
  assert picture.notes == ("several frames: only the first",)


def test_damage_is_named(tmp_path):
  whole = saved(tmp_path, RNG.integers(0, 256, (99, 99), np.uint8))
  for name, data in {
    "empty.png": b"",
    "text.png": b"hello",
    "half.png": whole.read_bytes()[:2000],
  }.items():
    (tmp_path / name).write_bytes(data)
    assert "cannot be read as an image" in problem_of(tmp_path / name)
  jpeg = saved(tmp_path, COLOR.repeat(40, 0).repeat(40, 1), "a.jpg")
  jpeg.write_bytes(jpeg.read_bytes()[:900])
  problem_of(jpeg)
  (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
  assert "no such file" in problem_of(tmp_path / "link.png")
  (tmp_path / "new\nline.png").write_bytes(b"")
  problem_of(tmp_path / "new\nline.png")


def test_a_bomb_is_refused_by_its_header(tmp_path):
  path = tmp_path / "bomb.bmp"
  Image.new("L", (100, 100)).save(path)
  data = bytearray(path.read_bytes())
  for side, size in (
    (9_000, "--max-pixels=324000000 allows"),
    (50_000, "decompression bomb"),
  ):
    struct.pack_into("<ii", data, 18, side, side)
    path.write_bytes(data)
    assert size in problem_of(path)
  small = saved(tmp_path, GRAY)
  assert read(small, max_pixels=252).pixels.shape == (7, 9, 1)
  problem = problem_of(small, max_pixels=251)
  assert "become 18 x 14 pixels; --max-pixels=252 allows" in problem


def test_an_image_without_room_is_named(tmp_path, monkeypatch):
  """Before it is decoded, or by the error where nobody could tell."""
  path = saved(tmp_path, Image.new("L", (8000, 4000)))
  monkeypatch.setattr(memory, "of_host", lambda: memory.Room(10**7))
  assert problem_of(path, max_pixels=None).endswith(
    "a.png: 8,000 x 4,000 pixels need 0.1 GB of memory, and 0.010 GB are free."
  )
  small = saved(tmp_path, GRAY, "b.png")
  assert read(small).pixels.shape == (7, 9, 1)

  def fail(*_):
    raise MemoryError

  monkeypatch.setattr(memory, "of_host", lambda: None)
  monkeypatch.setattr(image_file, "_decoded", fail)
  for file in (path, small):
    problem = problem_of(file, max_pixels=None)
    assert problem.endswith("there is not enough memory for its pixels.")


def test_warnings_of_pillow_do_not_reach_the_user(tmp_path):
  """Between one and two times Pillow's limit it only warns."""
  path = tmp_path / "bomb.bmp"
  Image.new("L", (10, 10)).save(path)
  data = bytearray(path.read_bytes())
  struct.pack_into("<ii", data, 18, 10_000, 10_000)
  path.write_bytes(data)
  with warnings.catch_warnings(record=True) as caught:
    problem_of(path)
  assert not caught


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
@pytest.mark.parametrize("turn", [1, 2, 5, 6, 7, 8])
def test_a_header_has_the_size_of_the_upright_image(tmp_path, name, turn):
  exif = Image.Exif()
  exif[0x0112] = turn
  path = saved(tmp_path, COLOR, name, exif=exif)
  assert image_file.header(path).size == read(path).pixels.shape[:2]


@pytest.mark.parametrize(
  ("array", "name", "is_color", "bits"),
  [
    (GRAY, "a.png", False, 8),
    (COLOR, "a.bmp", True, 8),
    (np.repeat(GRAY[..., None], 3, axis=-1), "a.png", True, 8),
    (np.dstack([GRAY, ALPHA]), "a.png", False, 8),
    (np.dstack([COLOR, ALPHA]), "a.webp", True, 8),
    (DEEP, "a.png", False, 16),
    (DEEP.astype(np.float32) / 65535, "a.tif", False, 16),
  ],
)
def test_a_header_tells_colors_and_bits(tmp_path, array, name, is_color, bits):
  path = saved(tmp_path, array, name)
  assert image_file.header(path) == ((7, 9), is_color, bits)
  assert read(path).bits == bits


def test_a_header_of_what_is_no_image_is_an_error(tmp_path):
  (tmp_path / "a.png").write_text("no image")
  with pytest.raises(errors.UserError, match=r"a\.png.*none of the formats"):
    image_file.header(tmp_path / "a.png")
