"""Lists of layers run in float64, written for another hand than network.js."""

import numpy as np


def run(made, image):
  """Outputs of a `layer_list.LayerList` for an image [H, W, C]."""
  values = [np.float64(image)]
  for layer in made.layers:
    settings = {
      name: made.tensors[value].astype(np.float64)
      if name in _TENSORS
      else value
      for name, value in layer.items()
      if name not in ("kind", "from")
    }
    inputs = [values[number] for number in layer["from"]]
    values.append(_KINDS[layer["kind"]](*inputs, **settings))
  outputs = {"super_res": values[made.super_res]}
  if made.logits is not None:
    outputs["logits"] = values[made.logits][0, 0]
  return outputs


def _conv(x, *, kernel, bias, size, stride, spread):
  height, width, channels = x.shape
  kernel = kernel.reshape(-1, size, size, channels)
  if spread > 1:  # A transposed convolution, by what each input adds.
    full = np.zeros((*(n * spread + size for n in (height, width)), len(bias)))
    for y in range(height):
      for c in range(width):
        full[
          y * spread : y * spread + size, c * spread : c * spread + size
        ] += np.einsum("fyxc,c->yxf", kernel[:, ::-1, ::-1], x[y, c])
    half = size // 2
    return full[half:, half:][: height * spread, : width * spread] + bias
  pads = []
  for n in (height, width):
    total = max((-(-n // stride) - 1) * stride + size - n, 0)
    pads.append((total // 2, total - total // 2))
  padded = np.pad(x, (*pads, (0, 0)))
  windows = np.lib.stride_tricks.sliding_window_view(
    padded, (size, size), axis=(0, 1)
  )[::stride, ::stride]
  return np.einsum("hwcyx,fyxc->hwf", windows, kernel, optimize=True) + bias


def _activate(x, *, gain, offset, slope):
  y = x * gain + offset
  return np.where(y > 0, y, y * slope)


def _depth_to_space(x, *, scale):
  height, width, _ = x.shape
  x = x.reshape(height, width, scale, scale, -1).transpose(0, 2, 1, 3, 4)
  return x.reshape(height * scale, width * scale, -1)


def _max_pool(x, *, size):
  half = size // 2
  padded = np.pad(
    x, ((half, half), (half, half), (0, 0)), constant_values=-np.inf
  )
  windows = np.lib.stride_tricks.sliding_window_view(
    padded, (size, size), axis=(0, 1)
  )
  return windows.max(axis=(-2, -1))


_KINDS = {
  "conv": _conv,
  "activate": _activate,
  "add": np.add,
  "depth_to_space": _depth_to_space,
  "max_pool": _max_pool,
  "mean": lambda x: x.mean(axis=(0, 1), keepdims=True),
}
_TENSORS = {"kernel", "bias", "gain", "offset", "slope"}
