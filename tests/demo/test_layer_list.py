"""Lists of layers, run in NumPy, against the networks that they stand for."""

import functools

import jax
import numpy as np
import pytest
from flax import traverse_util

from sr2_jax import errors
from sr2_jax.demo import layer_list
from sr2_jax.models import sr2
from tests.demo import numpy_layers, random_network

# Without optimization a network compiles in nearly half the time.
FAST = {"xla_backend_optimization_level": 0}

NETWORKS = {
  "parallel": {"trunk": "fsrcnn", "wiring": "parallel", "scale": 4},
  "original": {
    "trunk": "fsrcnn", "wiring": "none", "scale": 3, "channels": 3,
    "batch_norm": False, "transposed_convolution": True,
  },
  "sequential": {
    "trunk": "wdsr", "wiring": "sequential", "scale": 2, "channels": 3,
  },
  "wide": {
    "trunk": "wdsr", "wiring": "parallel", "scale": 2, "shared_layers": 4,
    "expansion": 2,
  },
  "strided": {
    "trunk": "fsrcnn", "wiring": "parallel", "scale": 2,
    "classifier_strides": (2, 1, 2),
  },
  "rgb": {"trunk": "fsrcnn", "wiring": "none", "scale": 2, "channels": 3},
}  # fmt: skip
SIZE = (5, 7)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_list_is_the_network(name):
  model = sr2.SR2(**{"channels": 1, **NETWORKS[name]})
  arrays = layer_list.rounded(random_network.arrays_of(model))
  rng = np.random.default_rng(1)
  image = rng.random((*SIZE, model.channels), np.float32)
  made = layer_list.of(model, arrays)
  found = numpy_layers.run(made, image)

  apply = jax.jit(
    functools.partial(model.apply, train=False), compiler_options=FAST
  )
  expected = apply(traverse_util.unflatten_dict(arrays, sep="/"), image[None])
  assert found.keys() == expected.keys()
  for output, (value,) in expected.items():
    assert found[output].shape == value.shape
    error = np.abs(found[output] - value).max() / np.abs(value).max()
    assert error < 1e-5, output


def test_kernels_take_two_bytes_and_nothing_else_is_rounded():
  model = sr2.SR2("fsrcnn", "none", 2, 3)
  arrays = random_network.arrays_of(model)
  stored = layer_list.rounded(arrays)
  assert stored.keys() == arrays.keys()
  for name, x in stored.items():
    assert x.dtype == np.float32
    is_kernel = name.endswith("kernel")
    assert np.array_equal(x, np.float32(arrays[name])) != is_kernel
    if is_kernel:
      np.testing.assert_array_equal(x, np.float16(arrays[name]))
  tensors = layer_list.of(model, stored).tensors
  assert {x.dtype for x in tensors if x.ndim == 2} == {np.dtype("float16")}
  assert {x.dtype for x in tensors if x.ndim == 1} == {np.dtype("float32")}


def test_a_trunk_without_a_list_is_refused():
  for trunk in sr2.TRUNKS.keys() - {"fsrcnn", "wdsr"}:
    with pytest.raises(errors.UserError, match=f"the trunk {trunk}"):
      layer_list.of(sr2.SR2(trunk, "none", 2, 1), {})
