"""Programs as StableHLO, which JAX reads and runs on any device."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax import export as jax_export

from sr2_jax import files
from sr2_jax.export import programs

PLATFORMS = ("cpu", "cuda", "tpu")


def encode(program: programs.Program, channels: int) -> bytes:
  """A portable program, as `jax.export` serializes it.

  Args:
    program: of `programs.portable`.
    channels: of its images.
  """
  batch, height, width = jax_export.symbolic_shape("batch, height, width")
  images = jax.ShapeDtypeStruct((batch, height, width, channels), np.float32)
  # Names of arguments become part of the file.
  named = jax.jit(lambda low_res: program(low_res))
  with _without_places():
    exported = jax_export.export(named, platforms=PLATFORMS)(images)
  return bytes(exported.serialize())


@contextlib.contextmanager
def _without_places() -> Iterator[None]:
  """Keeps the paths of this machine's source files out of programs."""
  name = "jax_traceback_in_locations_limit"
  before = jax.config.values[name]
  jax.config.update(name, 0)
  try:
    yield
  finally:
    jax.config.update(name, before)


def load(
  path: str | os.PathLike[str],
) -> Callable[[Any], Mapping[str, jax.Array]]:
  """The program in a file: from images [B, h, w, C] to outputs by name.

  Raises:
    OSError: if it is no file, or cannot be read.
    ValueError: if the file is damaged; also when the program is called with
      images of another type or number of channels.
  """
  return decode(files.read(path), os.fspath(path))


def decode(
  data: bytes, name: str, *, options: dict[str, Any] | None = None
) -> Callable[[Any], Mapping[str, jax.Array]]:
  """As `load`, from the bytes of a file and its name.

  Args:
    data: the bytes.
    name: for messages.
    options: of the compiler; None: the usual ones.
  """
  try:
    exported = jax_export.deserialize(bytearray(data))
    [images] = exported.in_avals
    channels = int(images.shape[3])
  except Exception as error:
    # flatbuffers and MLIR raise anything, from struct.error to AttributeError.
    raise ValueError(
      f"{name}: no program of jax.export ({programs.named(error)})."
    ) from error
  call = jax.jit(exported.call, compiler_options=options)

  def program(low_res: Any) -> Mapping[str, jax.Array]:
    shape, dtype = np.shape(low_res), getattr(low_res, "dtype", None)
    if len(shape) != 4 or shape[3] != channels or dtype != np.float32:
      raise ValueError(
        f"{name} takes float32 [batch, height, width, {channels}], not {dtype} "
        f"{list(shape)}."
      )
    return call(low_res)

  return program
