"""Programs for all devices, and files that are none."""

import pathlib
import re

import jax
import numpy as np
import pytest
from jax import export as jax_export

from sr2_jax.export import programs, stablehlo
from tests import random_network

pytest.importorskip("flatbuffers")

# Every trunk and wiring; scales and channels in turn.
NETWORKS = [
  ("fsrcnn", "none", 2, 3),
  ("fsrcnn", "parallel", 4, 1),
  ("fsrcnn", "sequential", 2, 1),
  ("wdsr", "none", 4, 1),
  ("wdsr", "parallel", 2, 1),
  ("wdsr", "sequential", 4, 3),
]


def encode(trained):
  model = trained.network.model
  program = programs.portable(model, programs.variables_of(trained, 0))
  return stablehlo.encode(program, model.channels)


def kernels(trained):
  """Ranks of the kernels, by name."""
  found = {}
  for subtree, layers in trained.variables["params"].items():
    for path, leaf in jax.tree_util.tree_leaves_with_path(layers):
      name = f"{subtree}{jax.tree_util.keystr(path)}"
      if "kernel" in name:
        found[name] = leaf.ndim - 1
  return found


def count(text, operation):
  return len(re.findall(rf"stablehlo\.{operation}\b", text))


@pytest.mark.parametrize("names", NETWORKS)
def test_every_network_is_xlas_own_on_every_platform(names):
  """The forms for this machine's CPU would show as products of matrices."""
  trunk, _, scale, channels = names
  trained = random_network.make(*names)
  exported = jax_export.deserialize(bytearray(encode(trained)))
  assert exported.platforms == ("cpu", "cuda", "tpu")
  [images] = exported.in_avals
  assert [*map(str, images.shape[:3])] == ["batch", "height", "width"]
  [super_res] = [x for x in exported.out_avals if len(x.shape) == 4]
  assert [*map(str, super_res.shape)] == (
    f"batch {scale}*height {scale}*width {channels}".split()
  )
  text = exported.mlir_module()
  ranks = kernels(trained)
  # FSRCNN multiplies its last kernel, which mixes colors, into the one before.
  mixed = [name for name in ranks if trunk == "fsrcnn" and "output" in name]
  ranks = {name: rank for name, rank in ranks.items() if name not in mixed}
  # JAX lowers both operations once for each platform. A convolution with stride
  # 2 is dynamic, because its padding depends on the size.
  in_maps = sum(rank == 4 for rank in ranks.values())
  assert count(text, "(convolution|dynamic_conv)") == 3 * in_maps
  in_dense = sum(rank == 2 for rank in ranks.values())
  assert count(text, "dot_general") == 3 * (in_dense + 2 * len(mixed))


def test_a_program_equals_the_network_at_every_size():
  trained = random_network.make("fsrcnn", "none", 4, 1)
  run = stablehlo.decode(
    encode(trained), "a.stablehlo", options=programs.COMPILED_ONCE
  )
  cases = programs.Reference(trained).cases(programs.variables_of(trained, 0))
  assert len(cases) == 8
  assert 0 < programs.check("a.stablehlo", run, cases, compiles=True) < 1e-5


@pytest.fixture(scope="module")
def data():
  return encode(random_network.make("fsrcnn", "none", 2, 1))


def test_no_path_of_this_machine_is_in_a_file(data):
  """They would also make the bytes depend on who called."""
  assert str(pathlib.Path(programs.__file__).parent).encode() not in data
  assert b".py" not in data


@pytest.mark.parametrize("kind", ["empty", "zeros", "cut", "text", "half"])
def test_damage_is_named(data, tmp_path, kind):
  path = tmp_path / "a.stablehlo"
  path.write_bytes(
    {
      "empty": b"",
      "zeros": bytes(len(data)),
      "cut": data[:-4000],
      "text": b"a program, so to speak",
      "half": data[: len(data) // 2],
    }[kind]
  )
  with pytest.raises(ValueError, match=r"a\.stablehlo: no program of") as error:
    stablehlo.load(path)
  assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
  "images",
  [
    np.zeros((2, 7, 7, 3), np.float32),
    np.zeros((7, 7, 1), np.float32),
    np.zeros((2, 7, 7, 1), np.uint8),
    np.zeros((2, 7, 7, 1)),
  ],
)
def test_other_images_are_refused_in_a_line(data, tmp_path, images):
  path = tmp_path / "a.stablehlo"
  path.write_bytes(data)
  program = stablehlo.load(path)
  with pytest.raises(ValueError, match=r"takes float32 \[batch, heig") as error:
    program(images)
  assert len(str(error.value).splitlines()) == 1
