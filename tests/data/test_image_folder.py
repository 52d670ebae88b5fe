"""Folders of images are read as they are, and faults name the file."""

import numpy as np
import pytest
from PIL import Image

from sr2_jax import errors, memory
from sr2_jax.data import fitting, image_folder

RANDOM = np.random.default_rng(0)


def _save(path, pixels, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(pixels).save(path, **options)


def _gray(height=6, width=5):
  return RANDOM.integers(0, 256, (height, width), np.uint8)


def _rgb(height=6, width=5):
  return RANDOM.integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
  """Two classes, `a` with two gray files and `b` with one."""
  for name in ("a/1.png", "a/2.png", "b/1.png"):
    _save(tmp_path / name, _gray())
  return tmp_path


def _read(folder, **form):
  files = sorted(folder.rglob("*.*"))
  return image_folder.read(files, image_folder.Form(**form), source="photos")


@pytest.mark.parametrize("leads_to", ["nowhere", "2.png"])
def test_links_that_lead_nowhere_are_named(folder, leads_to):
  path = folder / "a/2.png"
  path.unlink()
  path.symlink_to(leads_to)
  (folder / "b/1.png").unlink()
  (folder / "b/1.png").symlink_to("nowhere")
  problem = _problem(folder)
  assert problem.startswith(f"{path}: there is no such file.")
  assert f"And 1 more of 3 files: {folder}/b/1.png." in problem


def _problem(folder, **form):
  with pytest.raises(errors.UserError) as caught:
    _read(folder, **form)
  assert len(str(caught.value).splitlines()) <= 2
  return str(caught.value)


def test_gray_pixels_in_order(folder):
  found = _read(folder)
  expected = [np.asarray(Image.open(x)) for x in sorted(folder.rglob("*.png"))]
  np.testing.assert_array_equal(found.pixels[..., 0], expected)
  assert found.pixels.dtype == np.uint8
  assert found.pixels.flags.c_contiguous
  assert found.notes == ()


def test_second_read_comes_from_the_cache(folder, capsys):
  _save(folder / "b/2.png", _rgb())
  first = _read(folder)
  assert capsys.readouterr().err == "decoding photos: 4 images ...\n"
  second = _read(folder)
  assert capsys.readouterr().err == ""
  np.testing.assert_array_equal(second.pixels, first.pixels)
  assert second.notes == first.notes
  assert len(first.notes) == 1

  changed = _rgb()
  _save(folder / "b/2.png", changed)
  third = _read(folder)
  np.testing.assert_array_equal(third.pixels[3], changed)
  np.testing.assert_array_equal(third.pixels[:3], first.pixels[:3])


@pytest.mark.parametrize(
  ("form", "shape"),
  [
    ({}, (3, 6, 5, 1)),
    ({"size": (4, 4), "fit": "crop"}, (3, 4, 4, 1)),
    ({"fit": "crop", "multiple_of": 4}, (3, 4, 4, 1)),
    ({"fit": "crop", "multiple_of": 2}, (3, 6, 4, 1)),
    ({"size": (8, 8), "fit": "pad"}, (3, 8, 8, 1)),
    ({"size": (3, 4), "fit": "resize"}, (3, 3, 4, 1)),
    ({"channels": "3"}, (3, 6, 5, 3)),
  ],
)
def test_the_cache_tells_forms_apart(folder, form, shape):
  _read(folder)
  assert _read(folder, **form).pixels.shape == shape


def test_runs_of_several_scales_share_what_is_decoded(folder, capsys):
  """Unless images are cut to a multiple of the scale."""
  for scale in (2, 4):
    _read(folder, multiple_of=scale)
    _read(folder, multiple_of=scale, size=(4, 4), fit="crop")
  assert len(capsys.readouterr().err.splitlines()) == 2
  for scale, size in ((4, (4, 4)), (2, (6, 4))):
    found = _read(folder, multiple_of=scale, fit="crop")
    assert found.pixels.shape[1:3] == size


def test_one_color_file_makes_all_rgb(folder):
  color = _rgb()
  _save(folder / "b/2.png", color)
  images, notes, _ = _read(folder)
  assert images.shape == (4, 6, 5, 3)
  np.testing.assert_array_equal(images[3], color)
  np.testing.assert_array_equal(images[0][..., 0], images[0][..., 2])
  assert notes == (
    "1 of 4 images: stored in color, which makes all of them RGB",
  )


def test_gray_stored_as_rgb_is_rgb(folder):
  """As ever: a set keeps its number of channels, and a run its bits."""
  gray = _gray()
  _save(folder / "b/2.png", np.repeat(gray[..., None], 3, axis=-1))
  images, *_ = _read(folder)
  assert images.shape == (4, 6, 5, 3)
  np.testing.assert_array_equal(images[3, ..., 1], gray)


def test_channels_can_be_chosen(folder):
  color = _rgb()
  _save(folder / "b/2.png", color)
  images, notes, _ = _read(folder, channels="1")
  assert images.shape == (4, 6, 5, 1)
  luma = color.astype(np.float64) @ [0.299, 0.587, 0.114]
  assert np.abs(images[3, ..., 0] - luma).max() <= 0.501
  assert notes == ("1 of 4 images: in color: only their luma",)


@pytest.mark.parametrize("suffix", ["webp", "tif", "bmp", "jpg"])
def test_formats_are_read_by_their_content(folder, suffix):
  gray = _gray()
  options = {"webp": {"lossless": True}, "jpg": {"quality": 95}}.get(suffix, {})
  _save(folder / f"b/2.{suffix}", gray, **options)
  (folder / f"b/2.{suffix}").rename(folder / "b/2.dat")
  images, *_ = _read(folder, channels="1")
  error = np.abs(images[3, ..., 0].astype(int) - gray).max()
  assert error <= (40 if suffix == "jpg" else 0)


def test_16_bits_stay_and_8_bits_keep_their_value(folder):
  deep = RANDOM.integers(0, 65536, (6, 5), np.uint16)
  _save(folder / "b/2.png", deep)
  images, notes, _ = _read(folder)
  assert images.dtype == np.uint16
  np.testing.assert_array_equal(images[3, ..., 0], deep)
  shallow = np.asarray(Image.open(folder / "a/1.png"))
  np.testing.assert_array_equal(images[0, ..., 0], shallow.astype(int) * 257)
  assert notes == ("1 of 4 images: of 16 bits, which makes all of them so",)
  alone = _read(folder / "b", size=(2, 2), fit="crop")
  np.testing.assert_array_equal(alone.pixels[1, ..., 0], deep[2:4, 1:3])


def test_alpha_leaves_colors_as_they_are_stored(folder):
  color = RANDOM.integers(0, 256, (6, 5, 4), np.uint8)
  _save(folder / "b/2.png", color)
  gray = RANDOM.integers(0, 256, (6, 5, 2), np.uint8)
  _save(folder / "b/3.png", gray)
  images, notes, _ = _read(folder)
  np.testing.assert_array_equal(images[3], color[..., :3])
  np.testing.assert_array_equal(images[4, ..., 2], gray[..., 0])
  assert "2 of 5 images: transparent: with their colors as stored" in notes


def test_palette_and_one_bit_files(folder):
  color = np.zeros((6, 5, 3), np.uint8)
  color[:3] = (200, 10, 30)
  Image.fromarray(color).quantize(4).save(folder / "b/2.png")
  bits = np.zeros((6, 5), np.uint8)
  bits[2:] = 255
  Image.fromarray(bits).convert("1").save(folder / "b/3.png")
  images, *_ = _read(folder)
  np.testing.assert_array_equal(images[3], color)
  np.testing.assert_array_equal(images[4][..., 1], bits)


@pytest.mark.parametrize("form", [{}, {"size": (6, 5), "fit": "resize"}])
def test_jpeg_is_read_upright(folder, form):
  color = np.zeros((6, 5, 3), np.uint8)
  color[0] = 255
  sideways = Image.fromarray(np.rot90(color).copy())
  exif = Image.Exif()
  exif[0x0112] = 6  # Orientation: turn by 90 degrees clockwise to show it
  sideways.save(folder / "b/2.jpeg", exif=exif, quality=95)
  images, notes, _ = _read(folder, **form)
  upright = images[3].astype(int)
  assert upright.shape == (6, 5, 3)
  assert upright[0].mean() > 150
  assert upright[3:].mean() < 60
  assert len(notes) == 1  # Its size was the right one.


def test_sizes_that_differ_are_named_and_counted(folder):
  _save(folder / "b/odd.png", _gray(6, 7))
  _save(folder / "b/other.png", _gray(2, 9))
  problem = _problem(folder)
  assert problem.startswith(
    "2 of 5 images are not of 6x5 px (height x width), the most frequent size: "
  )
  assert "b/odd.png (6x7), " in problem
  assert "config.data.size=6x5" in problem


@pytest.mark.parametrize(
  ("fit", "problem", "way_out"),
  [
    ("refuse", "1 of 4 images are not of config.data.size=6x5 px", "crop, pad"),
    (
      "crop",
      "1 of 4 images are smaller than config.data.size",
      "pad or resize",
    ),
    ("pad", "1 of 4 images are larger than config.data.size", "crop or resize"),
  ],
)
def test_a_size_that_does_not_fit_says_which_way_does(
  folder, fit, problem, way_out
):
  _save(folder / "b/odd.png", _gray(5, 7))
  message = _problem(folder, size=(6, 5), fit=fit)
  assert message.startswith(problem)
  assert "b/odd.png (5x7)" in message
  assert way_out in message


def test_what_was_done_to_sizes_is_counted(folder):
  _save(folder / "b/2.png", _gray(12, 10))
  _save(folder / "b/3.png", _gray(3, 5))
  images, notes, _ = _read(folder, size=(6, 5), fit="resize")
  assert images.shape == (5, 6, 5, 1)
  assert notes == (
    "1 of 5 images: made smaller",
    "1 of 5 images: padded",
  )
  _save(folder / "b/2.png", _gray(12, 9))
  notes = _read(folder, size=(6, 5), fit="resize").notes
  assert "2 of 5 images: padded" in notes
  _save(folder / "b/3.png", _gray(3, 2))
  notes = _read(folder, size=(6, 5), fit="resize").notes
  assert "1 of 5 images: enlarged, which adds no detail" in notes


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("keep", [0, 20, 0.6])
def test_truncated_file_is_named(folder, suffix, keep):
  path = folder / f"b/cut.{suffix}"
  _save(path, _gray())
  content = path.read_bytes()
  length = keep if isinstance(keep, int) else int(len(content) * keep)
  path.write_bytes(content[:length])
  problem = _problem(folder)
  assert f"b/cut.{suffix}: cannot be read as an image" in problem
  assert "move it away" in problem


def test_all_files_that_cannot_be_read_are_named(folder):
  (folder / "a/0.png").write_text("text")
  (folder / "b/notes.txt").write_text("")
  problem = _problem(folder)
  assert "a/0.png: cannot be read as an image (none of the formats)." in problem
  assert "And 1 more of 5 files: " in problem
  assert "b/notes.txt" in problem


def test_flipped_bit_in_a_png_is_named(folder):
  path = folder / "a/2.png"
  content = bytearray(path.read_bytes())
  content[content.index(b"IDAT") + 12] ^= 4
  path.write_bytes(content)
  assert "a/2.png: cannot be read as an image" in _problem(folder)


def test_a_size_that_memory_has_no_room_for(folder, monkeypatch):
  """Before anything is decoded; a cgroup's limit would kill the process."""
  monkeypatch.setattr(memory, "of_host", lambda: memory.Room(10**9))
  problem = _problem(folder, size=(50_000, 60_000), fit="pad")
  assert problem == (
    "config.data.size=50000x60000: 60,000 x 50,000 pixels need 6.0 GB of "
    "memory, and 1.0 GB are free."
  )


def test_memory_that_ends_while_images_are_made(folder, monkeypatch):
  def fail(*_, **__):
    raise MemoryError

  monkeypatch.setattr(fitting, "fitted", fail)
  problem = _problem(folder, size=(8, 8), fit="resize")
  assert "a/1.png: there is not enough memory for its pixels. And" in problem
