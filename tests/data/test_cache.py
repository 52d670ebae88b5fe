"""The cache returns what was decoded, and never anything else."""

import os

import numpy as np
import pytest

from sr2_jax.data import cache
from tests import shared_cache

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 6, 5, 3), np.uint8)
LABELS = np.arange(50, dtype=np.int32)


class Decoder:
  """Returns fixed arrays and counts how often it was asked."""

  def __init__(self):
    self.calls = 0

  def __call__(self):
    self.calls += 1
    return IMAGES, LABELS


@pytest.fixture
def folder(tmp_path, monkeypatch):
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(tmp_path))
  return tmp_path / "data"


def _load(decode, name="digits-1.0-train", source="copy a"):
  images, labels = cache.decoded(name, source, decode=decode)
  np.testing.assert_array_equal(images, IMAGES)
  np.testing.assert_array_equal(labels, LABELS)
  assert images.dtype == np.uint8
  assert images.flags.c_contiguous
  assert labels.dtype == np.int32


def test_second_load_does_not_decode(folder, capsys):
  decoder = Decoder()
  _load(decoder)
  _load(decoder)
  assert decoder.calls == 1
  (entry,) = folder.iterdir()
  assert entry.name.startswith("digits-1.0-train-")
  assert capsys.readouterr().err == ""


def test_name_and_source_are_told_apart(folder):
  decoder = Decoder()
  _load(decoder)
  _load(decoder, name="digits-1.0-test")
  _load(decoder, source="copy b")
  assert decoder.calls == 3
  assert len(list(folder.iterdir())) == 3


# The digest, the first .npy header, a pixel, a label.
@pytest.mark.parametrize("position", [3, 40, 32 + 128 + 1000, -2])
def test_one_flipped_bit_is_detected_and_repaired(folder, capsys, position):
  decoder = Decoder()
  _load(decoder)
  (entry,) = folder.iterdir()
  sound = entry.read_bytes()
  damaged = bytearray(sound)
  damaged[position] ^= 1
  entry.write_bytes(damaged)

  _load(decoder)
  assert decoder.calls == 2
  error_lines = capsys.readouterr().err.splitlines()
  assert len(error_lines) == 1
  assert str(entry) in error_lines[0]
  assert "damaged" in error_lines[0]
  assert entry.read_bytes() == sound

  _load(decoder)
  assert decoder.calls == 2


@pytest.mark.parametrize("length", [0, 10, 32, 500, -1])
def test_truncated_file_is_detected(folder, length):
  decoder = Decoder()
  _load(decoder)
  (entry,) = folder.iterdir()
  entry.write_bytes(entry.read_bytes()[:length])
  _load(decoder)
  assert decoder.calls == 2


def test_goes_on_where_the_folder_cannot_be_made(tmp_path, monkeypatch, capsys):
  blocker = tmp_path / "file"
  blocker.write_text("")
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(blocker))
  decoder = Decoder()
  _load(decoder)
  _load(decoder)
  assert decoder.calls == 2
  assert "cannot write the data cache" in capsys.readouterr().err


def test_full_disk_leaves_nothing_behind(folder, monkeypatch, capsys):
  def full(file, array, allow_pickle):
    file.write(array.tobytes()[:100])
    raise OSError(28, "No space left on device")

  with monkeypatch.context() as patch:
    patch.setattr(np, "save", full)
    _load(Decoder())
  assert list(folder.iterdir()) == []
  assert "No space left" in capsys.readouterr().err


def test_interrupted_write_leaves_nothing_behind(folder, monkeypatch):
  def interrupted(file, array, allow_pickle):
    raise KeyboardInterrupt

  monkeypatch.setattr(np, "save", interrupted)
  with pytest.raises(KeyboardInterrupt):
    _load(Decoder())
  assert list(folder.iterdir()) == []


def test_one_of_many_processes_decodes_and_the_others_wait(folder):
  program = """
import sys
import numpy as np
from sr2_jax.data import cache
def decode():
  print("decoding", flush=True)
  sys.stdin.readline()  # until the others are here
  return np.full((500, 32, 32, 3), 7, np.uint8), np.arange(500, dtype=np.int32)
images, labels = cache.decoded("both", "same", decode=decode)
assert (images == 7).all() and (labels == np.arange(500)).all()
"""
  shared_cache.assert_one_decodes(program, folder, count=3)

  def never():
    raise AssertionError("the entry is not usable")

  images, _ = cache.decoded("both", "same", decode=never)
  assert (images == 7).all()


@pytest.mark.parametrize(
  ("name", "source"),
  [("digits-1.0-test", "copy a"), ("digits-1.0-train", "copy b")],
)
def test_a_good_entry_of_other_images_is_not_used(folder, name, source, capsys):
  cache.decoded(name, source, decode=lambda: (IMAGES + 1, LABELS + 1))
  (other,) = folder.iterdir()
  decoder = Decoder()
  _load(decoder)
  (entry,) = set(folder.iterdir()) - {other}
  other.replace(entry)
  _load(decoder)
  assert decoder.calls == 2
  assert "damaged, or not of these images" in capsys.readouterr().err


def test_an_entry_that_is_no_file_is_not_waited_for(folder):
  _load(Decoder())
  (entry,) = folder.iterdir()
  entry.unlink()
  os.mkfifo(entry)
  _load(Decoder())
  assert entry.is_file()
