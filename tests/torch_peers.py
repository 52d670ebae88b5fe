"""Compares our networks with those in PyTorch, `benchmarks.peers`.

Import this inside a fixture: it skips where PyTorch is missing.
"""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip(
  "torch", reason="PyTorch, the reference for our networks, is not installed"
)
nn = torch.nn
# Only now: it needs PyTorch.
networks = importlib.import_module("benchmarks.peers")

# Without optimization a network compiles in nearly half the time.
FAST = {"xla_backend_optimization_level": 0}

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


def random_variables(model, inputs, rng):
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
    lambda key: model.init(key, *inputs, train=False), jax.random.key(0)
  )
  return jax.tree_util.tree_map_with_path(draw, shapes)


def assert_same(model, peer, *, input_shape, train, description=None):
  """Ours equals the peer: outputs, and gradients by all parameters and input.

  Gradients in float64: rounding turns the side of a PReLU or the place of a
  maximum now and then, which changes gradients by percents, in PyTorch's
  float32 as well. Outputs in both, float32 as it runs to 1e-4. `description`
  is of SRMD, float32 [B, 16].
  """
  rng = np.random.default_rng(0)
  low_res = jnp.asarray(rng.uniform(size=input_shape), jnp.float32)
  given = () if description is None else (jnp.asarray(description),)
  variables = random_variables(model, (low_res, *given), rng)
  apply = functools.partial(model.apply, train=train, mutable=["batch_stats"])
  outputs, _ = jax.jit(apply, compiler_options=FAST)(variables, low_res, *given)
  # The loss is a random linear function of the outputs.
  weights = {
    name: rng.normal(size=value.shape) / value.size
    for name, value in outputs.items()
  }

  peer = peer.double().train(train)
  copy_weights(variables, peer)
  expected, expected_gradients = _peer_gradients(
    peer, (low_res, *given), weights
  )
  assert outputs.keys() == expected.keys()
  for name, value in outputs.items():
    _assert_close(value, expected[name], tolerance=1e-4, name=name)

  outputs, gradients = _our_gradients(
    model, variables, (low_res, *given), weights, train=train
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


def _our_gradients(model, variables, inputs, weights, *, train):
  low_res, *description = inputs

  def loss(differentiated):
    params = dict(differentiated)
    low_res = params.pop("input")
    outputs, _ = model.apply(
      {**variables, "params": params},
      low_res,
      *description,
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


def _peer_gradients(peer, inputs, weights):
  low_res, *description = (
    torch.tensor(np.asarray(x, np.float64)) for x in inputs
  )
  low_res = low_res.permute(0, 3, 1, 2).requires_grad_()
  outputs = {
    name: value.permute(0, 2, 3, 1) if value.ndim == 4 else value
    for name, value in peer(low_res, *description).items()
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
