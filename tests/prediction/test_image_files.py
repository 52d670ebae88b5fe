"""Image files as outputs, read back."""

import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.data import image_file
from sr2_jax.prediction import image_files

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (7, 9, 3), np.uint8)
ALPHA = RNG.integers(0, 256, (7, 9), np.uint8)
DEEP = RNG.integers(0, 65536, (7, 9), np.uint16)


@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_what_is_written_is_read(tmp_path, kind, channels):
  values = np.dstack([COLOR, ALPHA])[..., -channels:]
  path = tmp_path / "out" / "a.img"
  image_files.write(path, values, kind=kind)
  picture = image_file.read(path)
  if channels % 2 == 0:
    np.testing.assert_array_equal(picture.alpha, values[..., -1])
    values = values[..., :-1]
  np.testing.assert_array_equal(picture.pixels, values)
  assert [entry.name for entry in path.parent.iterdir()] == ["a.img"]


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_16_bits_are_written(tmp_path, kind):
  path = tmp_path / "a.img"
  image_files.write(path, DEEP[..., None], kind=kind)
  np.testing.assert_array_equal(image_file.read(path).pixels[..., 0], DEEP)


def test_arrays_and_profiles_are_written(tmp_path):
  values = RNG.normal(size=(3, 4, 3)).astype(np.float32)
  image_files.write(tmp_path / "a.npy", values, kind="npy")
  np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), values)
  image_files.write(tmp_path / "a.png", COLOR, kind="png", profile=b"mine")
  assert image_file.read(tmp_path / "a.png").profile == b"mine"


def test_a_webp_that_cannot_be_written_is_refused():
  image_files.check_writable("webp", 16383, 1)
  image_files.check_writable("png", 99999, 1)
  with pytest.raises(errors.UserError, match="--format"):
    image_files.check_writable("webp", 1, 16384)


def test_bicubic_is_that_of_the_models():
  from sr2_jax.models import bicubic

  values = RNG.random((6, 5), np.float32)
  expected = np.asarray(bicubic.upsample(values[None, ..., None], 4))[0, ..., 0]
  found = image_files.enlarged(values, 4)
  np.testing.assert_allclose(found, expected, atol=1e-5)
  part = image_files.enlarged(values, 4, slice(3, 17), slice(8, 20))
  np.testing.assert_allclose(part, expected[3:17, 8:20], atol=1e-5)
