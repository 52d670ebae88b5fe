"""Decoded images in the cache: mapped, verified, and complete or not there."""

import collections
import errno
import os
import shutil
import time

import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.data import duplicates, mapped_images
from tests import shared_cache

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 6, 5, 3), np.uint8)
NOTES = ("2 of 50 images: padded",)


class Decoder:
  """Puts fixed images, last first, and counts how often it was asked."""

  def __init__(self):
    self.calls = 0

  def __call__(self, target):
    self.calls += 1
    target.begin(IMAGES.shape, "uint8")
    for index in reversed(range(len(IMAGES))):
      target.put(index, IMAGES[index])
    return NOTES


@pytest.fixture
def folder(tmp_path, monkeypatch):
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(tmp_path))
  return tmp_path / "data"


def _load(decode, source="copy a"):
  found = mapped_images.kept("folder", source, decode=decode)
  np.testing.assert_array_equal(found.pixels, IMAGES)
  assert found.pixels.dtype == np.uint8
  assert found.notes == NOTES
  assert [x.tobytes() for x in found.digests] == [
    duplicates.digest(image) for image in IMAGES
  ]
  return found


def test_second_load_maps_what_the_first_has_written(folder, capsys):
  decoder = Decoder()
  for found in (_load(decoder), _load(decoder)):
    assert isinstance(found.pixels, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
      found.pixels[0] = 0
  assert decoder.calls == 1
  [entry] = folder.iterdir()
  assert entry.suffix == ".images"
  assert capsys.readouterr().err == ""
  _load(decoder, source="copy b")
  assert decoder.calls == 2


def test_entries_of_the_old_form_are_left_alone(folder):
  folder.mkdir()
  found = _load(Decoder())
  [entry] = folder.iterdir()
  old = entry.with_suffix(".arrays")
  entry.rename(old)
  decoder = Decoder()
  _load(decoder)
  assert decoder.calls == 1
  assert sorted(folder.iterdir()) == [old, entry]
  # What is mapped stays, whatever becomes of the file.
  shutil.rmtree(folder)
  np.testing.assert_array_equal(found.pixels, IMAGES)


@pytest.mark.parametrize("few", [True, False])
def test_a_good_entry_of_other_images_is_not_used(
  folder, capsys, monkeypatch, few
):
  monkeypatch.setattr(mapped_images, "_FEW", 10**6 if few else 100)
  _load(Decoder(), source="copy b")
  [other] = folder.iterdir()
  decoder = Decoder()
  _load(decoder)
  [entry] = set(folder.iterdir()) - {other}
  other.replace(entry)
  _load(decoder)
  assert decoder.calls == 2
  assert "damaged, or not of these images" in capsys.readouterr().err


# The digest, the first header, its shape, a pixel, an image's digest, notes.
PLACES = [3, 36, 32 + 62, 32 + 128 + 1000, -300, -2]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("few", [True, False])
def test_one_flipped_bit_is_detected_and_repaired(
  folder, capsys, monkeypatch, place, few
):
  """Of many images all but the pixels are verified."""
  monkeypatch.setattr(mapped_images, "_FEW", 10**6 if few else 100)
  decoder = Decoder()
  _load(decoder)
  [entry] = folder.iterdir()
  sound = entry.read_bytes()
  damaged = bytearray(sound)
  damaged[place] ^= 1
  entry.write_bytes(damaged)
  if place == PLACES[3] and not few:
    found = mapped_images.kept("folder", "copy a", decode=decoder)
    assert (found.pixels != IMAGES).sum() == 1
    assert decoder.calls == 1
    return
  _load(decoder)
  assert decoder.calls == 2
  [line] = capsys.readouterr().err.splitlines()
  assert str(entry) in line
  assert "damaged" in line
  assert entry.read_bytes() == sound


@pytest.mark.parametrize("length", [0, 10, 32, 100, 500, -1])
@pytest.mark.parametrize("few", [True, False])
def test_truncated_file_is_detected(folder, monkeypatch, length, few):
  monkeypatch.setattr(mapped_images, "_FEW", 10**6 if few else 100)
  decoder = Decoder()
  _load(decoder)
  [entry] = folder.iterdir()
  entry.write_bytes(entry.read_bytes()[:length])
  _load(decoder)
  assert decoder.calls == 2


def _full(*_):
  raise OSError(errno.ENOSPC, "No space left on device")


def test_few_images_do_without_a_cache(folder, monkeypatch, capsys):
  monkeypatch.setattr(os, "pwrite", _full)
  decoder = Decoder()
  found = _load(decoder)
  assert not isinstance(found.pixels, np.memmap)
  assert decoder.calls == 2
  assert list(folder.iterdir()) == []
  [line] = capsys.readouterr().err.splitlines()
  assert "cannot write the data cache" in line
  assert "No space left" in line


@pytest.mark.parametrize("when", ["before", "while"])
def test_many_images_are_refused_in_a_line(folder, monkeypatch, when):
  monkeypatch.setattr(mapped_images, "_FEW", 100)
  if when == "while":
    monkeypatch.setattr(os, "pwrite", _full)
  else:
    usage = collections.namedtuple("usage", "free")(IMAGES.nbytes - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
  decoder = Decoder()
  with pytest.raises(errors.UserError) as caught:
    _load(decoder)
  assert decoder.calls == 1
  message = str(caught.value)
  assert message.startswith(
    f"{folder} cannot take 0.0 GB of decoded images (No"
  )
  assert "SR2_JAX_CACHE_DIR" in message
  assert len(message.splitlines()) == 1
  assert list(folder.iterdir()) == []


def test_where_the_folder_cannot_be_made(tmp_path, monkeypatch, capsys):
  blocker = tmp_path / "file"
  blocker.write_text("")
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(blocker))
  _load(Decoder())
  assert "cannot write the data cache" in capsys.readouterr().err
  monkeypatch.setattr(mapped_images, "_FEW", 100)
  with pytest.raises(errors.UserError, match="cannot take"):
    _load(Decoder())


def test_short_writes_are_completed(folder, monkeypatch):
  pwrite = os.pwrite
  monkeypatch.setattr(
    os, "pwrite", lambda file, data, place: pwrite(file, data[:7], place)
  )
  _load(Decoder())
  _load(Decoder())


def test_an_error_or_interrupt_leaves_nothing_behind(folder):
  def interrupted(target):
    target.begin(IMAGES.shape, "uint8")
    target.put(0, IMAGES[0])
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    _load(interrupted)
  assert list(folder.iterdir()) == []


def test_an_error_of_decoding_is_none_of_the_cache(folder, capsys):
  """As of a terminal that is gone: decoding again would not help."""
  calls = []

  def fails(target):
    calls.append(target)
    target.begin(IMAGES.shape, "uint8")
    raise BrokenPipeError(errno.EPIPE, "Broken pipe")

  with pytest.raises(BrokenPipeError):
    _load(fails)
  assert len(calls) == 1
  assert list(folder.iterdir()) == []
  assert capsys.readouterr().err == ""


def test_any_thread_may_find_the_disk_full(folder, monkeypatch, capsys):
  """The error that decoding ends with need not be the last one."""
  monkeypatch.setattr(os, "pwrite", _full)
  seen = []

  def decode(target):
    target.begin(IMAGES.shape, "uint8")
    for index, image in enumerate(IMAGES):
      try:
        target.put(index, image)
      except OSError as error:
        seen.append(error)
    if seen:
      raise seen.pop(0)
    return NOTES

  def once(target):
    seen.clear()
    return decode(target)

  _load(once)
  assert "cannot write the data cache" in capsys.readouterr().err


def test_what_a_kill_has_left_is_removed(folder, capsys):
  _load(Decoder())
  [entry] = folder.iterdir()
  entry.unlink()
  left, in_use = (folder / f"{entry.name}.{x}.tmp" for x in "ab")
  for path in (left, in_use):
    path.write_bytes(b"")
  old = time.time() - 4000
  os.utime(left, (old, old))
  _load(Decoder())
  assert sorted(folder.iterdir()) == [entry, in_use]
  assert f"removed {left}" in capsys.readouterr().err


def test_one_of_many_processes_decodes_and_the_others_wait(folder):
  program = """
import sys
import numpy as np
from sr2_jax.data import mapped_images
def decode(target):
  print("decoding", flush=True)
  sys.stdin.readline()  # until the other is here
  target.begin((3, 2, 2, 1), "uint16")
  for index in range(3):
    target.put(index, np.full((2, 2, 1), 700, np.uint16))
  return ()
found = mapped_images.kept("both", "same", decode=decode)
assert (found.pixels == 700).all()
"""
  shared_cache.assert_one_decodes(program, folder, count=2)
