"""A trained network as a list of layers, for a program that knows no JAX.

It says again what `models` says, layer by layer and in the same order, so that
the two can be read side by side; a test compares their results. Value 0 is the
image [H, W, C], value i + 1 the result of layer i. `network.js` runs it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sr2_jax import errors
from sr2_jax.models import batch_norm, wdsr

if TYPE_CHECKING:
  from sr2_jax.models import sr2

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class LayerList:
  """A network.

  Attributes:
    layers: each with its "kind", the numbers of its inputs, "from", and
      numbers of tensors or settings under other names.
    tensors: float16 or float32, one axis or [features, inputs].
    super_res: number of the super-resolved image [scale H, scale W, C].
    logits: number of the logits, or None.
  """

  layers: list[dict[str, Any]]
  tensors: list[np.ndarray]
  super_res: int
  logits: int | None


def rounded(arrays: Arrays) -> dict[str, np.ndarray]:
  """Float32 arrays with all kernels rounded to what float16 can hold."""
  return {
    name: (x.astype(np.float16) if _is_kernel(name) else x).astype(np.float32)
    for name, x in arrays.items()
  }


def _is_kernel(name: str) -> bool:
  return name.rpartition("/")[2] == "kernel"


def of(model: "sr2.SR2", arrays: Arrays) -> LayerList:
  """The list of a network.

  Args:
    model: what it is built from; any trunk but srmd.
    arrays: its `rounded` variables, as "params/sr/map_0/kernel".

  Raises:
    UserError: for a trunk whose list is not written.
  """
  layers = _Layers(arrays)
  if model.trunk not in _TRUNKS:
    raise errors.UserError(
      f"The page cannot run the trunk {model.trunk}.\n"
      "sr2_jax/demo/layer_list.py needs its list of layers."
    )
  trunk, head = _TRUNKS[model.trunk]
  features = trunk(layers.inside("shared"), 0, model)
  super_res = head(layers.inside("sr"), features, model)
  logits = None
  if model.wiring != "none":
    given = features if model.wiring == "parallel" else super_res
    logits = _resnet(
      layers.inside("classifier"), given, model.classifier_strides
    )
  return LayerList(layers.made, layers.tensors, super_res, logits)


class _Layers:
  """Adds layers to a list, as `models.layers.Layers` makes them."""

  def __init__(self, arrays: Arrays) -> None:
    self._arrays = arrays
    self._path = ""
    self.made: list[dict[str, Any]] = []
    self.tensors: list[np.ndarray] = []

  def inside(self, name: str) -> "_Layers":
    """For the layers of a module; they go into the same list."""
    inner = _Layers(self._arrays)
    inner._path = f"{self._path}{name}/"
    inner.made, inner.tensors = self.made, self.tensors
    return inner

  def add(self, kind: str, *inputs: int, **settings: Any) -> int:
    self.made.append({"kind": kind, "from": inputs, **settings})
    return len(self.made)

  def conv(self, x: int, name: str, *, stride: int = 1, spread: int = 1) -> int:
    kernel = self._param(name, "kernel")
    # It has been rounded already.
    return self._convolved(
      x, kernel.astype(np.float16), self._param(name, "bias"), stride, spread
    )

  def upsample(self, x: int, name: str, output: str, *, scale: int) -> int:
    """`Layers.upsample`: two linear maps with nothing between them as one."""
    kernel, bias = self._param(name, "kernel"), self._param(name, "bias")
    if f"params/{self._path}{output}/kernel" in self._arrays:
      mix = self._param(output, "kernel")[0, 0].astype(np.float64)
      each = np.kron(np.eye(scale**2), mix)  # [3 scale², C scale²]
      offset = np.tile(self._param(output, "bias"), scale**2)
      # A product of float16 numbers needs more digits.
      kernel = (kernel @ each).astype(np.float32)
      bias = bias @ each + offset
    else:
      kernel = kernel.astype(np.float16)
    x = self._convolved(x, kernel, bias, 1, 1)
    return self.add("depth_to_space", x, scale=scale)

  def _convolved(
    self, x: int, kernel: np.ndarray, bias: np.ndarray, stride: int, spread: int
  ) -> int:
    features = kernel.shape[-1]
    return self.add(
      "conv",
      x,
      kernel=self._tensor(kernel.reshape(-1, features).T),
      bias=self._tensor(bias),
      size=kernel.shape[0],
      stride=stride,
      spread=spread,
    )

  def norm_prelu(self, x: int, name: str) -> int:
    return self._activated(x, f"{name}_norm", f"{name}_prelu")

  def norm(self, x: int, name: str) -> int:
    return self._activated(x, name, None)

  def prelu(self, x: int, name: str) -> int:
    return self._activated(x, None, name)

  def _activated(self, x: int, norm: str | None, prelu: str | None) -> int:
    values: dict[str, np.ndarray] = {}
    # Some networks have no BatchNorm.
    if norm and f"params/{self._path}{norm}/scale" in self._arrays:
      stats = f"batch_stats/{self._path}{norm}"
      variance = self._arrays[f"{stats}/var"].astype(np.float64)
      gain = self._param(norm, "scale") / np.sqrt(variance + batch_norm.EPSILON)
      offset = self._param(norm, "bias") - self._arrays[f"{stats}/mean"] * gain
      values |= {"gain": gain, "offset": offset}
    if prelu:
      values["slope"] = self._param(prelu, "negative_slope")
    [length] = {len(x) for x in values.values()}
    neutral = {"gain": 1.0, "offset": 0.0, "slope": 1.0}
    numbers = {
      name: self._tensor(values.get(name, np.full(length, value)))
      for name, value in neutral.items()
    }
    return self.add("activate", x, **numbers)

  def dense(self, x: int, name: str) -> int:
    """A convolution of the one pixel that a mean is."""
    kernel = self._param(name, "kernel").astype(np.float16)[None, None]
    return self._convolved(x, kernel, self._param(name, "bias"), 1, 1)

  def _param(self, name: str, leaf: str) -> np.ndarray:
    return self._arrays[f"params/{self._path}{name}/{leaf}"]

  def _tensor(self, values: np.ndarray) -> int:
    dtype = np.float16 if values.dtype == np.float16 else np.float32
    self.tensors.append(np.ascontiguousarray(values, dtype))
    return len(self.tensors) - 1


def _fsrcnn_trunk(layers: _Layers, image: int, model: "sr2.SR2") -> int:
  x = layers.conv(image, "feature")
  return layers.norm_prelu(x, "feature")


def _fsrcnn_head(layers: _Layers, x: int, model: "sr2.SR2") -> int:
  x = layers.conv(x, "shrink")
  x = layers.norm_prelu(x, "shrink")

  for i in range(4):
    x = layers.conv(x, f"map_{i}")
    x = layers.norm_prelu(x, f"map_{i}")

  x = layers.conv(x, "expand")
  x = layers.norm_prelu(x, "expand")

  if model.transposed_convolution:
    return layers.conv(x, "upsample", spread=model.scale)
  return layers.upsample(x, "upsample", "output", scale=model.scale)


def _wdsr_trunk(layers: _Layers, image: int, model: "sr2.SR2") -> int:
  x = layers.conv(image, "head")
  for i in range(model.shared_layers):
    x = _identity_mapping(layers.inside(f"mapping_{i}"), x)
  return x


def _wdsr_head(layers: _Layers, x: int, model: "sr2.SR2") -> int:
  x = layers.conv(x, "head")

  main = x
  for i in range(model.shared_layers, wdsr.NUM_MAPPINGS):
    main = _identity_mapping(layers.inside(f"mapping_{i}"), main)
  main = _wdsr_upsample(layers, main, model, prefix="")

  skip = _wdsr_upsample(layers, x, model, prefix="skip_")
  return layers.add("add", main, skip)


def _wdsr_upsample(
  layers: _Layers, x: int, model: "sr2.SR2", *, prefix: str
) -> int:
  x = layers.conv(x, f"{prefix}upsample")
  x = layers.norm_prelu(x, f"{prefix}upsample")
  x = layers.add("depth_to_space", x, scale=model.scale)
  return x if model.channels == 3 else layers.conv(x, f"{prefix}output")


_TRUNKS = {
  "fsrcnn": (_fsrcnn_trunk, _fsrcnn_head),
  "wdsr": (_wdsr_trunk, _wdsr_head),
}


def _identity_mapping(layers: _Layers, x: int) -> int:
  y = layers.norm_prelu(x, "conv_0")
  y = layers.conv(y, "conv_0")
  y = layers.norm_prelu(y, "conv_1")
  y = layers.conv(y, "conv_1")
  return layers.add("add", x, y)


def _down_mapping(layers: _Layers, x: int, stride: int) -> int:
  main = layers.norm_prelu(x, "conv_0")
  main = layers.conv(main, "conv_0", stride=stride)
  main = layers.norm_prelu(main, "conv_1")
  main = layers.conv(main, "conv_1")

  shortcut = layers.norm_prelu(x, "shortcut")
  shortcut = layers.conv(shortcut, "shortcut", stride=stride)
  return layers.add("add", main, shortcut)


def _resnet(layers: _Layers, x: int, strides: Sequence[int]) -> int:
  first, second, third = strides
  x = layers.norm(x, "pool_norm")
  x = layers.add("max_pool", x, size=3)
  x = layers.prelu(x, "pool_prelu")
  x = layers.conv(x, "stem", stride=first)
  x = layers.norm_prelu(x, "stem")

  x = _identity_mapping(layers.inside("mapping_0"), x)
  x = _identity_mapping(layers.inside("mapping_1"), x)
  x = _down_mapping(layers.inside("mapping_2"), x, second)
  x = _identity_mapping(layers.inside("mapping_3"), x)
  x = _down_mapping(layers.inside("mapping_4"), x, third)
  x = _identity_mapping(layers.inside("mapping_5"), x)

  x = layers.add("mean", x)
  x = layers.dense(x, "dense")
  x = layers.norm_prelu(x, "dense")
  return layers.dense(x, "logits")
