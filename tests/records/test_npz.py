"""Archives of arrays, and what may have their names."""

import io
import os
import zipfile

import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.records import npz


def of(write):
  """The bytes that a function writes."""
  buffer = io.BytesIO()
  write(buffer)
  return buffer.getvalue()


def archive(**arrays):
  return of(lambda file: np.savez(file, **arrays))


def zipped(name, data):
  def write(file):
    with zipfile.ZipFile(file, "w") as found:
      found.writestr(name, data)

  return of(write)


def test_arrays_are_read_back(tmp_path):
  path = tmp_path / "a.npz"
  assert npz.read(path) is None
  path.write_bytes(archive(a=np.arange(3), b=np.array("text")))
  found = npz.read(path)
  assert found is not None
  assert found.keys() == {"a", "b"}
  np.testing.assert_array_equal(found["a"], [0, 1, 2])


GOOD = archive(a=np.arange(1000.0))


@pytest.mark.parametrize(
  "data",
  [
    b"",
    b"text",
    b"PK\x03\x04 and so on",
    of(lambda file: np.save(file, np.zeros(3))),
    GOOD[: len(GOOD) // 2],
    GOOD[:500] + bytes(100) + GOOD[600:],
    archive(a=np.array([{}], object)),
    zipped("a.npy", b"no array"),
    zipped("a.txt", b"no array"),
    zipped("../a.npy", b"\x93NUMPY\x01\x00\xff\xff"),
    # An array of an exabyte.
    zipped(
      "a.npy",
      of(
        lambda file: np.lib.format.write_array_header_1_0(
          file, {"descr": "<f8", "fortran_order": False, "shape": (10**17,)}
        )
      ),
    ),
  ],
)
def test_what_is_no_archive_of_arrays_is_named(tmp_path, data):
  path = tmp_path / "a.npz"
  path.write_bytes(data)
  with pytest.raises(errors.UserError) as caught:
    npz.read(path)
  assert str(caught.value).startswith(f"{path} cannot be read: ")
  assert "\n" not in str(caught.value)


def test_what_is_no_file_is_named(tmp_path):
  (tmp_path / "folder.npz").mkdir()
  os.mkfifo(tmp_path / "fifo.npz")
  for kind in ("folder", "FIFO"):
    with pytest.raises(errors.UserError, match=f"it is a {kind}, not a file"):
      npz.read(tmp_path / f"{kind.lower()}.npz")
