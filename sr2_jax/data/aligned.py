"""Arrays that a CPU device shares with the host; no JAX.

JAX copies an array to a CPU device, unless it starts where the device's own
arrays do. So a data set that does is in memory once, and not twice.
"""

import math
import typing
from typing import Any

import numpy as np

# Bytes that XLA aligns its arrays to.
_BYTES = 64


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
  """As `np.empty`; devices of a CPU take the array as it is."""
  nbytes = math.prod(shape) * np.dtype(dtype).itemsize
  memory = np.empty(nbytes + _BYTES, np.uint8)
  first = -memory.ctypes.data % _BYTES
  return memory[first : first + nbytes].view(dtype).reshape(shape)


def is_aligned(array: Any) -> bool:
  """Whether a CPU device takes an array as it is; False for no array."""
  return (
    isinstance(array, np.ndarray)
    and array.flags.c_contiguous
    and array.ctypes.data % _BYTES == 0
  )


def load(file: typing.BinaryIO) -> np.ndarray:
  """An aligned array from an .npy file that `np.save` has written.

  Args:
    file: open at the beginning of the array; read up to its end.

  Raises:
    ValueError: if it is not such a file, or is cut short.
  """
  if np.lib.format.read_magic(file) != (1, 0):
    raise ValueError("not a plain array")
  shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
  if is_fortran or dtype.hasobject:
    raise ValueError("not a plain array")
  array = empty(shape, dtype)
  # `readinto` may give less than there is, but only at the end of a file.
  if file.readinto(array.reshape(-1).view(np.uint8)) != array.nbytes:  # pyright: ignore
    raise ValueError("the array is cut short")
  return array
