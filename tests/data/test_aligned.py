"""Arrays that a CPU device shares with the host."""

import io

import numpy as np
import pytest

from sr2_jax import parallel
from sr2_jax.data import aligned


def misaligned(array):
  """A copy that starts one element after a multiple of 64 bytes."""
  memory = aligned.empty((array.size + 1,), array.dtype)
  memory[1:] = array.ravel()
  return memory[1:].reshape(array.shape)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(3, 5, 7, 1), (1,), (0, 4), ()])
def test_an_array_like_that_of_numpy(shape, dtype):
  array = aligned.empty(shape, dtype)
  assert (array.shape, array.dtype) == (shape, np.dtype(dtype))
  assert array.flags.c_contiguous
  assert array.flags.writeable
  assert aligned.is_aligned(array) or not array.size


def test_what_is_not_aligned():
  array = aligned.empty((4, 64), np.uint8)
  assert aligned.is_aligned(array[1:])
  assert not aligned.is_aligned(misaligned(array))
  assert not aligned.is_aligned(array.T)
  assert not aligned.is_aligned(object())


@pytest.mark.parametrize("shape", [(200, 28, 28, 1), (7,), (0,)])
def test_an_array_from_a_file(tmp_path, shape):
  path = tmp_path / "arrays"
  first = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
  with path.open("wb") as file:
    file.write(b"before")
    np.save(file, first)
    np.save(file, first + 1)
  with path.open("rb") as file:
    file.read(6)
    loaded, after = aligned.load(file), np.load(file)
  np.testing.assert_array_equal(loaded, first)
  np.testing.assert_array_equal(after, first + 1)
  assert loaded.dtype == first.dtype
  assert aligned.is_aligned(loaded) or not loaded.size


@pytest.mark.parametrize(
  "array", [np.zeros((2, 3), order="F"), np.array([{}], dtype=object)]
)
def test_other_arrays_are_refused(array):
  file = io.BytesIO()
  np.save(file, array)
  file.seek(0)
  with pytest.raises(ValueError, match="not a plain array"):
    aligned.load(file)


def test_a_file_that_is_cut_short_is_refused():
  file = io.BytesIO()
  np.save(file, np.zeros(100))
  file = io.BytesIO(file.getvalue()[:-1])
  with pytest.raises(ValueError, match="cut short"):
    aligned.load(file)
  with pytest.raises(ValueError, match="magic"):
    aligned.load(io.BytesIO(b"no array"))


@pytest.mark.parametrize("num_devices", [1, 2])
def test_devices_of_a_cpu_share_what_is_aligned(num_devices):
  """Guards what JAX does of its own accord."""
  layout = parallel.layout("data", num_devices)
  host = aligned.empty((1000, 8), np.uint8)
  host[:] = 7

  def addresses(array):
    put = layout.put_shared(array)
    return {x.data.unsafe_buffer_pointer() for x in put.addressable_shards}

  assert addresses(host) == {host.ctypes.data}
  other = misaligned(host)
  assert other.ctypes.data not in addresses(other)
