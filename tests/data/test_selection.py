"""A selection is an array for all who read it, and copies what is asked for."""

import mmap

import numpy as np
import pytest

from sr2_jax.data import mapped_images, selection

RANDOM = np.random.default_rng(0)
ROWS = np.array([5, 0, 3, 3, 6])


@pytest.fixture(params=["memory", "file"])
def source(request, tmp_path):
  """Seven images; those in a file begin at an odd byte, on several pages."""
  images = RANDOM.integers(0, 65536, (7, 60, 50, 3), np.uint16)
  if request.param == "memory":
    return images
  (tmp_path / "images").write_bytes(bytes(34) + images.tobytes())
  with (tmp_path / "images").open("rb") as file:
    return mapped_images.mapped(file, images.shape, dtype=np.uint16, first=34)


def test_it_reads_as_the_array_would(source):
  chosen, array = selection.Selection(source, ROWS), np.array(source)[ROWS]
  for name in ("shape", "ndim", "dtype", "nbytes"):
    assert getattr(chosen, name) == getattr(array, name)
  assert len(chosen) == 5
  np.testing.assert_array_equal(chosen, array)
  index = np.array([[4, 0], [1, 4]])
  np.testing.assert_array_equal(chosen[index], array[index])
  assert type(chosen[index]) is not selection.Selection
  np.testing.assert_array_equal(chosen[1:4], array[1:4])
  assert isinstance(chosen[1:4], selection.Selection)
  assert chosen[1:4].source is chosen.source


def test_the_middle_is_cut_when_it_is_looked_at(source):
  middle = selection.Selection(source, ROWS).middle((20, 11))
  assert middle.shape == (5, 20, 11, 3)
  assert np.shares_memory(middle.source, source)
  found = middle[np.array([4, 1])]
  assert found.flags.c_contiguous
  np.testing.assert_array_equal(found, np.array(source)[[6, 0], 20:40, 19:30])


def test_squares_from_anywhere(source):
  chosen = selection.Selection(source, ROWS)
  # In the corners as well.
  places = np.array([[[0, 0, 0], [4, 43, 33]], [[2, 43, 0], [1, 7, 12]]])
  found = chosen.squares(places, 17)
  assert found.shape == (2, 2, 17, 17, 3)
  assert found.flags.c_contiguous
  for place in np.ndindex(2, 2):
    row, top, left = places[place]
    expected = source[ROWS[row], top : top + 17, left : left + 17]
    np.testing.assert_array_equal(found[place], expected)


def test_portions_are_all_images_in_order(monkeypatch):
  images = RANDOM.integers(0, 256, (10, 4, 4, 1), np.uint8)
  monkeypatch.setattr(selection, "_PORTION", 3 * 16)
  for of in (images, selection.of(images)):
    found = list(selection.portions(of))
    assert [len(x) for x in found] == [3, 3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(found), images)
  np.testing.assert_array_equal(np.asarray(selection.of(images)), images)
  assert selection.of(selection.of(images)).source is images


def test_what_is_read_next_is_asked_for_at_once(tmp_path):
  """The pages of each square, and not beyond the file."""
  images = RANDOM.integers(0, 256, (7, 100, 100, 3), np.uint8)
  (tmp_path / "images").write_bytes(images.tobytes())
  asked = []

  class Recorded(mmap.mmap):
    def madvise(self, option, start=0, length=0):
      asked.append((option, start, length))
      raise OSError(22, "Invalid argument")  # As advice, it may fail.

  with (tmp_path / "images").open("rb") as file:
    array = mapped_images.mapped(file, images.shape, dtype=np.uint8)
    array._mmap = Recorded(file.fileno(), 0, access=mmap.ACCESS_READ)
  address = np.frombuffer(array._mmap, np.uint8)
  source = address.reshape(images.shape).view(np.memmap)
  source._mmap = array._mmap
  chosen = selection.Selection(source, np.arange(7))
  found = chosen.squares(np.array([[6, 90, 0]]), 10)
  np.testing.assert_array_equal(found[0], images[6, 90:, :10])
  [(option, start, length)] = asked
  first = 6 * 30_000 + 90 * 300
  assert option == mmap.MADV_WILLNEED
  assert start == first - first % mmap.PAGESIZE
  assert start + length == images.nbytes
