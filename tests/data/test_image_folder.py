"""Folders of images are read as they are, and faults name the file."""

import numpy as np
import pytest
from PIL import Image

from sr2_jax import errors
from sr2_jax.data import image_folder

RANDOM = np.random.default_rng(0)


def _save(path, pixels, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(pixels).save(path, **options)


def _gray(height=6, width=5):
  return RANDOM.integers(0, 256, (height, width), np.uint8)


def _rgb(height=6, width=5):
  return RANDOM.integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
  cache = tmp_path_factory.mktemp("cache")
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(cache))


@pytest.fixture
def folder(tmp_path):
  """Two classes, `a` with two gray files and `b` with one."""
  for name in ("a/1.png", "a/2.png", "b/1.png"):
    _save(tmp_path / name, _gray())
  return tmp_path


def test_gray_pixels_in_order_of_names(tmp_path):
  files = {
    "cat/10.png": _gray(),
    "cat/2.PNG": _gray(),
    "ant/z.png": _gray(),
    "dog/.hidden.png": _rgb(9, 9),
    "dog/a.png": _gray(),
  }
  for name, pixels in files.items():
    _save(tmp_path / name, pixels)
  (tmp_path / ".git").mkdir()

  found = image_folder.read(tmp_path)
  assert found.class_names == ("ant", "cat", "dog")
  assert found.labels.tolist() == [0, 1, 1, 2]
  assert found.labels.dtype == np.int32
  expected = ["ant/z.png", "cat/10.png", "cat/2.PNG", "dog/a.png"]
  np.testing.assert_array_equal(
    found.images, np.stack([files[name][..., None] for name in expected])
  )
  assert found.images.dtype == np.uint8
  assert found.images.flags.c_contiguous


def test_second_read_comes_from_the_cache(folder, capsys):
  first = image_folder.read(folder)
  assert "3 images" in capsys.readouterr().err
  second = image_folder.read(folder)
  assert capsys.readouterr().err == ""
  np.testing.assert_array_equal(second.images, first.images)
  np.testing.assert_array_equal(second.labels, first.labels)
  assert second.class_names == first.class_names

  changed = _gray()
  _save(folder / "a/2.png", changed)
  third = image_folder.read(folder)
  np.testing.assert_array_equal(third.images[1, ..., 0], changed)
  np.testing.assert_array_equal(third.images[2], first.images[2])


def test_one_color_file_makes_all_rgb(folder):
  color = _rgb()
  _save(folder / "b/2.png", color)
  images = image_folder.read(folder).images
  assert images.shape == (4, 6, 5, 3)
  np.testing.assert_array_equal(images[3], color)
  np.testing.assert_array_equal(images[0][..., 0], images[0][..., 2])


def test_palette_and_one_bit_files(folder):
  color = np.zeros((6, 5, 3), np.uint8)
  color[:3] = (200, 10, 30)
  Image.fromarray(color).quantize(4).save(folder / "b/2.png")
  bits = np.zeros((6, 5), np.uint8)
  bits[2:] = 255
  Image.fromarray(bits).convert("1").save(folder / "b/3.png")
  images = image_folder.read(folder).images
  np.testing.assert_array_equal(images[3], color)
  np.testing.assert_array_equal(images[4][..., 1], bits)


def test_jpeg_is_read_upright(folder):
  color = np.zeros((6, 5, 3), np.uint8)
  color[0] = 255
  sideways = Image.fromarray(np.rot90(color).copy())
  exif = Image.Exif()
  exif[0x0112] = 6  # Orientation: turn by 90 degrees clockwise to show it
  sideways.save(folder / "b/2.jpeg", exif=exif, quality=95)
  upright = image_folder.read(folder).images[3].astype(int)
  assert upright.shape == (6, 5, 3)
  assert upright[0].mean() > 150
  assert upright[3:].mean() < 60


def test_size_that_differs_is_named(folder):
  _save(folder / "b/odd.png", _gray(6, 7))
  with pytest.raises(errors.UserError, match=r"b/odd\.png has 7x6.*5x6"):
    image_folder.read(folder)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("keep", [0, 20, 0.6])
def test_truncated_file_is_named(folder, suffix, keep):
  path = folder / f"b/cut.{suffix}"
  _save(path, _gray())
  content = path.read_bytes()
  length = keep if isinstance(keep, int) else int(len(content) * keep)
  path.write_bytes(content[:length])
  with pytest.raises(errors.UserError, match=rf"b/cut\.{suffix} cannot be dec"):
    image_folder.read(folder)


def test_flipped_bit_in_a_png_is_named(folder):
  path = folder / "a/2.png"
  content = bytearray(path.read_bytes())
  content[content.index(b"IDAT") + 12] ^= 4
  path.write_bytes(content)
  with pytest.raises(errors.UserError, match=r"a/2\.png cannot be decoded"):
    image_folder.read(folder)


@pytest.mark.parametrize("mode", ["RGBA", "I;16", "LA"])
def test_other_modes_are_named(folder, mode):
  Image.new(mode, (5, 6)).save(folder / "b/2.png")
  with pytest.raises(errors.UserError, match=r"b/2\.png is neither 8-bit"):
    image_folder.read(folder)


def test_transparent_color_is_an_error(folder):
  Image.new("L", (5, 6)).save(folder / "b/2.png", transparency=0)
  with pytest.raises(errors.UserError, match="transparent"):
    image_folder.read(folder)


def test_what_is_no_image_is_never_ignored(folder):
  (folder / "b/notes.txt").write_text("")
  with pytest.raises(errors.UserError, match=r"notes\.txt is not a PNG"):
    image_folder.read(folder)


def test_file_beside_the_classes(folder):
  (folder / "labels.csv").write_text("")
  with pytest.raises(errors.UserError, match=r"labels\.csv is not a folder"):
    image_folder.read(folder)


def test_too_few_classes(tmp_path):
  with pytest.raises(errors.UserError, match="has 0 class folders"):
    image_folder.read(tmp_path)
  _save(tmp_path / "a/1.png", _gray())
  with pytest.raises(errors.UserError, match="has 1 class folders"):
    image_folder.read(tmp_path)


def test_class_without_images(folder):
  (folder / "c").mkdir()
  with pytest.raises(errors.UserError, match="c has no PNG or JPEG"):
    image_folder.read(folder)


def test_missing_folder(tmp_path):
  with pytest.raises(errors.UserError, match=r"nowhere \(No such file"):
    image_folder.read(tmp_path / "nowhere")
