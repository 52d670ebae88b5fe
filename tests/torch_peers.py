"""The networks once more, in PyTorch, and the comparison with ours.

Every layer has the name that it has in our parameters, so weights are copied
by path. Import this inside a fixture: it skips where PyTorch is missing.
"""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip(
  "torch", reason="PyTorch, the reference for our networks, is not installed"
)
nn = torch.nn

# Without optimization a network compiles in nearly half the time.
FAST = {"xla_backend_optimization_level": 0}


def conv(channels, features, size, stride=1):
  return nn.Conv2d(channels, features, size, stride, padding=size // 2)


def norm(features):
  return nn.BatchNorm2d(features, eps=1e-3, momentum=0.01)


def norm_prelu(name, features, batch_norm=True):
  layers = {f"{name}_norm": norm(features)} if batch_norm else {}
  return layers | {f"{name}_prelu": nn.PReLU(features)}


def sequential(layers):
  return nn.Sequential(collections.OrderedDict(layers))


class SameStride2(nn.Conv2d):
  """3x3, stride 2, with TensorFlow's "same" padding."""

  def __init__(self, channels, features):
    super().__init__(channels, features, 3, stride=2)

  def forward(self, x):
    height, width = x.shape[-2:]
    return super().forward(nn.functional.pad(x, (width % 2, 1, height % 2, 1)))


class IdentityMapping(nn.Module):
  def __init__(self, width, expansion=1):
    super().__init__()
    hidden = expansion * width
    self.conv_0_norm = norm(width)
    self.conv_0_prelu = nn.PReLU(width)
    self.conv_0 = conv(width, hidden, 3)
    self.conv_1_norm = norm(hidden)
    self.conv_1_prelu = nn.PReLU(hidden)
    self.conv_1 = conv(hidden, width, 3)

  def forward(self, x):
    y = self.conv_0(self.conv_0_prelu(self.conv_0_norm(x)))
    return x + self.conv_1(self.conv_1_prelu(self.conv_1_norm(y)))


class DownMapping(nn.Module):
  def __init__(self, channels, features):
    super().__init__()
    self.conv_0_norm = norm(channels)
    self.conv_0_prelu = nn.PReLU(channels)
    self.conv_0 = SameStride2(channels, features)
    self.conv_1_norm = norm(features)
    self.conv_1_prelu = nn.PReLU(features)
    self.conv_1 = conv(features, features, 3)
    self.shortcut_norm = norm(channels)
    self.shortcut_prelu = nn.PReLU(channels)
    self.shortcut = SameStride2(channels, features)

  def forward(self, x):
    y = self.conv_0(self.conv_0_prelu(self.conv_0_norm(x)))
    y = self.conv_1(self.conv_1_prelu(self.conv_1_norm(y)))
    return y + self.shortcut(self.shortcut_prelu(self.shortcut_norm(x)))


def fsrcnn_trunk(channels, batch_norm=True):
  return sequential(
    {"feature": conv(channels, 56, 5)} | norm_prelu("feature", 56, batch_norm)
  )


def fsrcnn_head(scale, channels, batch_norm=True, transposed=False):
  layers = {"shrink": conv(56, 12, 1)}
  layers |= norm_prelu("shrink", 12, batch_norm)
  for i in range(4):
    layers[f"map_{i}"] = conv(12, 12, 3)
    layers |= norm_prelu(f"map_{i}", 12, batch_norm)
  layers["expand"] = conv(12, 56, 1)
  layers |= norm_prelu("expand", 56, batch_norm)
  if transposed:
    layers["upsample"] = nn.ConvTranspose2d(
      56, channels, 9, stride=scale, padding=4, output_padding=scale - 1
    )
    return sequential(layers)
  layers["upsample"] = conv(56, 3 * scale**2, 9)
  layers["shuffle"] = nn.PixelShuffle(scale)
  if channels != 3:
    layers["output"] = conv(3, channels, 1)
  return sequential(layers)


def wdsr_trunk(channels, shared_layers=1, expansion=1):
  return sequential(
    {"head": conv(channels, 32, 3)}
    | {
      f"mapping_{i}": IdentityMapping(32, expansion)
      for i in range(shared_layers)
    }
  )


class WdsrHead(nn.Module):
  def __init__(self, scale, channels, shared_layers=1, expansion=1):
    super().__init__()
    self.head = conv(channels=32, features=32, size=3)
    self.mappings = range(shared_layers, 16)
    for i in self.mappings:
      self.add_module(f"mapping_{i}", IdentityMapping(32, expansion))
    for prefix, size in (("", 3), ("skip_", 5)):
      features = 3 * scale**2
      self.add_module(f"{prefix}upsample", conv(32, features, size))
      self.add_module(f"{prefix}upsample_norm", norm(features))
      self.add_module(f"{prefix}upsample_prelu", nn.PReLU(features))
      output = conv(3, channels, 1) if channels != 3 else nn.Identity()
      self.add_module(f"{prefix}output", output)
    self.shuffle = nn.PixelShuffle(scale)

  def forward(self, x):
    skip = main = self.head(x)
    for i in self.mappings:
      main = self.get_submodule(f"mapping_{i}")(main)
    main = self.upsample_prelu(self.upsample_norm(self.upsample(main)))
    skip = self.skip_upsample(skip)
    skip = self.skip_upsample_prelu(self.skip_upsample_norm(skip))
    main = self.output(self.shuffle(main))
    return main + self.skip_output(self.shuffle(skip))


def classifier(channels, num_classes=10):
  return sequential(
    {
      "pool_norm": norm(channels),
      "pool": nn.MaxPool2d(3, stride=1, padding=1),
      "pool_prelu": nn.PReLU(channels),
      "stem": conv(channels, 64, 3),
      **norm_prelu("stem", 64),
      "mapping_0": IdentityMapping(64),
      "mapping_1": IdentityMapping(64),
      "mapping_2": DownMapping(64, 128),
      "mapping_3": IdentityMapping(128),
      "mapping_4": DownMapping(128, 256),
      "mapping_5": IdentityMapping(256),
      "mean": nn.AdaptiveAvgPool2d(1),
      "flatten": nn.Flatten(),
      "dense": nn.Linear(256, 1000),
      "dense_norm": nn.BatchNorm1d(1000, eps=1e-3, momentum=0.01),
      "dense_prelu": nn.PReLU(1000),
      "logits": nn.Linear(1000, num_classes),
    }
  )


class SR2(nn.Module):
  def __init__(self, shared, sr, classifier=None, wiring="none"):
    super().__init__()
    self.shared, self.sr, self.classifier = shared, sr, classifier
    self.wiring = wiring

  def forward(self, low_res):
    features = self.shared(low_res)
    super_res = self.sr(features)
    if self.wiring == "none":
      return {"super_res": super_res}
    seen = features if self.wiring == "parallel" else super_res
    return {"super_res": super_res, "logits": self.classifier(seen)}


_LEAVES = {
  "kernel": "weight",
  "bias": "bias",
  "scale": "weight",
  "negative_slope": "weight",
  "mean": "running_mean",
  "var": "running_var",
}


def _in_torch_layout(path, value, peer):
  """Our array at `path`, in the layout of the peer's tensor of that name."""
  layer, leaf = path[-2:]
  value = np.asarray(value, np.float64)
  transposed = isinstance(
    peer.get_submodule(".".join(path[:-1])), nn.ConvTranspose2d
  )
  if layer.startswith(("upsample", "skip_upsample")) and not transposed:
    # Our depth-to-space has the image's channel last, PyTorch's first.
    order = np.arange(value.shape[-1]).reshape(-1, 3).T.ravel()
    value = value[..., order]
  if leaf == "kernel" and value.ndim == 2:
    return value.T
  if leaf == "kernel" and transposed:
    return value[::-1, ::-1].transpose(2, 3, 0, 1)
  if leaf == "kernel":
    return value.transpose(3, 2, 0, 1)
  return value


def _paths(tree):
  return {
    tuple(entry.key for entry in path): value
    for path, value in jax.tree_util.tree_leaves_with_path(tree)
  }


def copy_weights(variables, peer):
  """Our parameters and running statistics into the peer, all of both."""
  state = {
    name: value
    for name, value in peer.state_dict().items()
    if not name.endswith("num_batches_tracked")
  }
  ours = {
    ".".join((*path[:-1], _LEAVES[path[-1]])): torch.tensor(
      _in_torch_layout(path, value, peer).copy()
    )
    for collection in variables.values()
    for path, value in _paths(collection).items()
  }
  assert ours.keys() == state.keys()
  peer.load_state_dict(ours, strict=False)


def random_variables(model, low_res, rng):
  """Parameters and running statistics as training might leave them."""

  def draw(path, leaf):
    match path[-1].key:
      case "kernel":
        deviation = np.sqrt(2 / np.prod(leaf.shape[:-1]))
        value = rng.normal(0.0, deviation, leaf.shape)
      case "scale":
        value = rng.normal(1.0, 0.1, leaf.shape)
      case "negative_slope":
        value = rng.normal(0.25, 0.1, leaf.shape)
      case "var":
        value = rng.uniform(0.5, 2.0, leaf.shape)
      case "bias" | "mean":
        value = rng.normal(0.0, 0.1, leaf.shape)
    return jnp.asarray(value, leaf.dtype)

  shapes = jax.eval_shape(
    lambda key: model.init(key, low_res, train=False), jax.random.key(0)
  )
  return jax.tree_util.tree_map_with_path(draw, shapes)


def assert_same(model, peer, *, input_shape, train):
  """Ours equals the peer: outputs, and gradients by all parameters and input.

  Gradients in float64: rounding turns the side of a PReLU or the place of a
  maximum now and then, which changes gradients by percents, in PyTorch's
  float32 as well. Outputs in both, float32 as it runs to 1e-4.
  """
  rng = np.random.default_rng(0)
  low_res = jnp.asarray(rng.uniform(size=input_shape), jnp.float32)
  variables = random_variables(model, low_res, rng)
  apply = functools.partial(model.apply, train=train, mutable=["batch_stats"])
  outputs, _ = jax.jit(apply, compiler_options=FAST)(variables, low_res)
  # The loss is a random linear function of the outputs.
  weights = {
    name: rng.normal(size=value.shape) / value.size
    for name, value in outputs.items()
  }

  peer = peer.double().train(train)
  copy_weights(variables, peer)
  expected, expected_gradients = _peer_gradients(peer, low_res, weights)
  assert outputs.keys() == expected.keys()
  for name, value in outputs.items():
    _assert_close(value, expected[name], tolerance=1e-4, name=name)

  outputs, gradients = _our_gradients(
    model, variables, low_res, weights, train=train
  )
  for name, value in outputs.items():
    _assert_close(value, expected[name], tolerance=1e-8, name=name)
  # The gradient of a bias before BatchNorm is zero but for rounding.
  floor = 1e-4 * max(np.abs(x).max() for x in expected_gradients.values())
  for path, value in _paths(gradients).items():
    if path == ("input",):
      name, value = "input", value.transpose(0, 3, 1, 2)
    else:
      name = ".".join((*path[:-1], _LEAVES[path[-1]]))
      value = _in_torch_layout(path, value, peer)
    _assert_close(
      value, expected_gradients.pop(name), 1e-8, name=name, floor=floor
    )
  assert not expected_gradients


def _our_gradients(model, variables, low_res, weights, *, train):
  def loss(differentiated):
    params = dict(differentiated)
    low_res = params.pop("input")
    outputs, _ = model.apply(
      {**variables, "params": params},
      low_res,
      train=train,
      mutable=["batch_stats"],
    )
    return sum(jnp.sum(outputs[k] * w) for k, w in weights.items()), outputs

  with jax.enable_x64(True):
    variables = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), variables)
    grad = jax.jit(jax.grad(loss, has_aux=True), compiler_options=FAST)
    gradients, outputs = grad(
      {**variables["params"], "input": jnp.asarray(low_res, jnp.float64)}
    )
  return outputs, jax.tree.map(np.asarray, gradients)


def _peer_gradients(peer, low_res, weights):
  low_res = torch.tensor(np.asarray(low_res, np.float64))
  low_res = low_res.permute(0, 3, 1, 2).requires_grad_()
  outputs = {
    name: value.permute(0, 2, 3, 1) if value.ndim == 4 else value
    for name, value in peer(low_res).items()
  }
  sum(
    (outputs[k] * torch.tensor(w)).sum() for k, w in weights.items()
  ).backward()
  gradients = {name: x.grad.numpy() for name, x in peer.named_parameters()}
  outputs = {name: value.detach().numpy() for name, value in outputs.items()}
  return outputs, gradients | {"input": low_res.grad.numpy()}


def _assert_close(ours, expected, tolerance, *, name, floor=0.0):
  """Largest error against the largest entry, or `floor` where this is more."""
  ours = np.asarray(ours, np.float64)
  assert ours.shape == expected.shape, name
  scale = max(np.abs(expected).max(), floor)
  assert scale > 0, name
  error = np.abs(ours - expected).max() / scale
  assert error <= tolerance, f"{name}: relative error {error:.1e}"
