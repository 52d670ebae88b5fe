"""Networks of configs and of run folders."""

import dataclasses
import functools
import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import default
from sr2_jax import errors, output
from sr2_jax.config import derived
from sr2_jax.data import dataset as dataset_lib
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.records import weights as weights_lib
from sr2_jax.training import network as network_lib
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import population
from tests import tiny_network

SHAPE = (12, 12, 1)
NETWORKS = [
  ("fsrcnn", "none"),
  ("fsrcnn", "parallel"),
  ("fsrcnn", "sequential"),
  ("wdsr", "parallel"),
  ("srmd", "none"),
]


def make_config(**changes):
  config = default.get_config()
  config.experiment = "mine"
  config.data.name = "mnist5k"
  config.degradation.scale = 2
  config.update_from_flattened_dict(
    {name.replace("__", "."): value for name, value in changes.items()}
  )
  return derived.resolve(config)


def of_network(trunk, wiring):
  changes = {"model__trunk": trunk, "model__wiring": wiring}
  return make_config(**changes), "pretrain" if trunk == "srmd" else "joint"


def count(text, op):
  return len(re.findall(rf"stablehlo\.{op}\b", text))


@pytest.mark.parametrize(("trunk", "wiring"), NETWORKS)
def test_a_network_for_another_platform_has_xlas_own_convolutions(
  trunk, wiring
):
  """One convolution for each kernel, whatever the host of the tracing uses."""
  config, phase = of_network(trunk, wiring)
  network = network_lib.build(config, SHAPE, 10, phase=phase, platform="tpu")
  seed = jax.ShapeDtypeStruct((), np.uint32)
  variables = jax.eval_shape(network.init, seed)
  traced = jax.jit(network.apply).trace(
    variables, jax.ShapeDtypeStruct((3, 6, 6, 1), np.float32), jnp.float32(0)
  )
  kernels = {
    jax.tree_util.keystr(path): leaf.ndim
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables["params"])
    if "kernel" in jax.tree_util.keystr(path)
  }
  # FSRCNN multiplies its last kernel, which mixes colors, into the one before.
  mixed = {name for name in kernels if trunk == "fsrcnn" and "output" in name}
  for platform in ("tpu", "cuda", "cpu"):
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert count(text, "convolution") == sum(
      ndim == 4 for name, ndim in kernels.items() if name not in mixed
    )
    in_dense = sum(ndim == 2 for ndim in kernels.values())
    description = int(trunk == "srmd")
    assert count(text, "dot_general") == (
      in_dense + 2 * len(mixed) + description
    )


def test_the_platform_chooses_the_convolution():
  config = make_config()
  chosen = {"cpu": "cpu", "tpu": "tpu", "gpu": "gpu", "METAL": "portable"}
  for platform, convolution in chosen.items():
    network = network_lib.build(config, SHAPE, 10, platform=platform)
    assert network.model.convolution == convolution
  assert network_lib.build(config, SHAPE, 10).model.convolution == "cpu"


# The others' convolutions are of the same kinds, and compiling them takes long.
@pytest.mark.parametrize(
  ("trunk", "wiring"), [("fsrcnn", "parallel"), ("wdsr", "none")]
)
def test_both_convolutions_compute_the_same(trunk, wiring):
  config, phase = of_network(trunk, wiring)
  outputs = []
  for platform in ("cpu", "tpu"):
    network = network_lib.build(
      config, SHAPE, 10, phase=phase, platform=platform
    )
    variables = jax.jit(network.init)(np.uint32(1))
    low_res = np.random.default_rng(0).random((2, 6, 6, 1), np.float32)
    apply = jax.jit(network.apply)
    outputs.append(apply(variables, low_res, jnp.float32(1e-3)))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
    *outputs,
  )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A run whose folder has the weights of an untrained population of four."""
  config = make_config(num_seeds=2, joint__loss_weight=(0.11, 9.0))
  folder = folder_lib.RunFolder(tmp_path_factory.mktemp("run"))
  split = dataset_lib.Split(
    np.zeros((64, *SHAPE), np.uint8), np.zeros(64, np.int32)
  )
  made = dataclasses.replace(
    tiny_network.make_run(folder.path), config=config, folder=folder
  )
  made = dataclasses.replace(
    made, dataset=dataclasses.replace(made.dataset, train=split)
  )
  for name in ("pretrain", "joint"):
    phase = made.phase(name)
    state = phase.create_state()
    variables = state.variables
    statistics = jax.tree.map(lambda x: x + 1, variables["batch_stats"])
    of_kinds = {
      "reestimated": {**variables, "batch_stats": statistics},
      "running": variables,
    }
    output.store_weights(
      made, phase, "last", of_kinds, [5] * phase.population.size
    )
  return made


def test_a_loaded_network_is_the_one_that_was_trained(run):
  phase = run.phase("joint")
  members = phase.population.members
  assert [x.member for x in network_lib.load(run.folder.path).origins] == [
    *members
  ]
  trained = network_lib.load(
    run.folder.path, members=members[2:3], batch_norm="running"
  )
  assert trained.origins[0].method == "sr2_fsrcnn"
  low_res = np.random.default_rng(0).random((3, 6, 6, 1), np.float32)
  outputs = trained.apply(low_res)
  assert outputs["super_res"].shape == (1, 3, 12, 12, 1)
  assert outputs["logits"].shape == (1, 3, 4)
  expected = jax.jit(phase.network.apply)(
    population.take(phase.create_state().variables, 2),
    low_res,
    jnp.float32(0),
  )
  for name, value in outputs.items():
    np.testing.assert_allclose(value[0], expected[name], atol=1e-5)


def test_statistics_are_those_asked_for(run):
  """Re-estimated ones by default."""
  load = functools.partial(network_lib.load, run.folder.path)
  found = load().variables["batch_stats"]
  for batch_norm, more in ((None, 0), ("reestimated", 0), ("running", 1)):
    other = load(batch_norm=batch_norm).variables["batch_stats"]
    jax.tree.map(
      lambda a, b, more=more: np.testing.assert_array_equal(a, b + more),
      found,
      other,
    )


def test_weights_of_an_older_version_have_only_running_statistics(
  run, tmp_path
):
  shutil.copytree(run.folder.path / "weights", tmp_path / "weights")
  for path in tmp_path.glob("weights/joint_*/*/last.safetensors"):
    arrays, origin = weights_lib.read(path)
    old = {k: x for k, x in arrays.items() if "running" not in k}
    origin = dataclasses.asdict(origin)
    del origin["batch_norm"]
    origin["config"]["eval"] = {
      k: x for k, x in origin["config"]["eval"].items() if "batch" not in k
    } | {"batch_size": 4}
    origin["member"] = rows_lib.Member(**origin["member"])
    weights_lib.write(path, old, weights_lib.Origin(**origin))
  for batch_norm in (None, "running"):
    trained = network_lib.load(tmp_path, batch_norm=batch_norm)
    assert trained.origins[0].batch_norm == "running"
  with pytest.raises(errors.UserError, match="batch_norm=reestimated"):
    network_lib.load(tmp_path, batch_norm="reestimated")


def test_members_are_those_asked_for(run):
  wanted = [
    rows_lib.Member(seed=1, l2=0.01, loss_weight=9.0),
    rows_lib.Member(seed=0, l2=0.01, loss_weight=0.11),
  ]
  trained = network_lib.load(run.folder.path, "sr2_fsrcnn", members=wanted)
  assert [x.member for x in trained.origins] == wanted
  everything = network_lib.load(run.folder.path)
  jax.tree.map(
    lambda some, all_: np.testing.assert_array_equal(some, all_[[3, 0]]),
    trained.variables,
    everything.variables,
  )


def test_an_earlier_phase_is_loaded_by_its_method(run):
  """And takes images of another size, which the weights do not depend on."""
  trained = network_lib.load(run.folder.path, "fsrcnn")
  assert [x.member.seed for x in trained.origins] == [0, 1]
  outputs = trained.apply(np.zeros((1, 5, 3, 1), np.float32))
  assert outputs.keys() == {"super_res"}
  assert outputs["super_res"].shape == (2, 1, 10, 6, 1)


@pytest.mark.parametrize(
  ("arguments", "expected"),
  [
    ({"method": "sr2_wdsr"}, "has no sr2_wdsr; it has fsrcnn, sr2_fsrcnn"),
    ({"checkpoint": "best"}, "has no best weights.\n.*--mode=eval"),
    ({"members": [rows_lib.Member(seed=7)]}, "has no .*seed=7.*\n.*seed=0"),
  ],
)
def test_what_is_not_there_is_named(run, arguments, expected):
  with pytest.raises(errors.UserError, match=expected):
    network_lib.load(run.folder.path, **arguments)


def test_a_folder_without_weights_is_named(tmp_path):
  with pytest.raises(errors.UserError, match="has no trained networks"):
    network_lib.load(tmp_path)


def without(arrays):
  arrays.pop("params/sr/expand/kernel")


def with_one_more(arrays):
  arrays["params/sr/other/kernel"] = np.zeros((1, 1), np.float32)


def misshapen(arrays):
  arrays["params/sr/expand/kernel"] = np.zeros((3, 3), np.float32)


def not_finite(arrays):
  arrays["params/sr/expand/kernel"].flat[7] = np.nan


@pytest.mark.parametrize(
  ("damage", "problem"),
  [
    (without, r"params/sr/expand/kernel has the shape None; .* needs \("),
    (with_one_more, r"params/sr/other/kernel has the shape \(1, 1\); .* None"),
    (misshapen, r"params/sr/expand/kernel has the shape \(3, 3\); .* needs"),
    (not_finite, "params/sr/expand/kernel has numbers that are not finite"),
  ],
)
def test_arrays_that_are_not_the_networks_are_named(
  run, tmp_path, damage, problem
):
  """As after a wrong copy: the file's own config and arrays disagree."""
  place = ("pretrain", "fsrcnn")
  source = weights_lib.network_folder(run.folder.path, *place)
  arrays, origin = weights_lib.read(source / "seed_0" / "last.safetensors")
  arrays = {name: array.copy() for name, array in arrays.items()}
  damage(arrays)
  target = weights_lib.network_folder(tmp_path, *place)
  weights_lib.write(target / "seed_0" / "last.safetensors", arrays, origin)
  with pytest.raises(errors.UserError, match=problem):
    network_lib.load(tmp_path)


@pytest.mark.parametrize(
  ("model", "problem"),
  [
    ({"trunk": "wdsr"}, "its network needs"),
    ({"expansion": 64}, "config.model.expansion has to be 1"),
    ({"shared_layers": 16}, "config.model.shared_layers has to be 1"),
    ({"trunk": "wdsr", "batch_norm": False}, "config.model.batch_norm"),
  ],
)
def test_a_file_that_names_another_network_is_refused(
  run, tmp_path, model, problem
):
  source = weights_lib.network_folder(run.folder.path, "pretrain", "fsrcnn")
  arrays, origin = weights_lib.read(source / "seed_0" / "last.safetensors")
  config = {**origin.config, "model": {**origin.config["model"], **model}}
  other = dataclasses.replace(origin, config=config)
  weights_lib.write(tmp_path / "a.safetensors", arrays, other)
  with pytest.raises(errors.UserError, match=problem):
    network_lib.from_files([tmp_path / "a.safetensors"])


def with_strides(run, path, strides):
  """A copy of the first member's joint weights, of other strides or none."""
  file = sorted(run.folder.path.glob("weights/joint_*/*/last.safetensors"))[0]
  arrays, origin = weights_lib.read(file)
  config = json.loads(json.dumps(dict(origin.config)))
  if strides is None:  # As older versions wrote it.
    del config["model"]["classifier_strides"]
  else:
    config["model"]["classifier_strides"] = strides
  path.parent.mkdir()
  weights_lib.write(path, arrays, dataclasses.replace(origin, config=config))
  return path


def test_strides_are_those_of_the_file(run, tmp_path):
  """Shapes do not tell them; a folder with several is refused in one line."""
  old, strided = (
    with_strides(run, tmp_path / name / "last.safetensors", strides)
    for name, strides in (("old", None), ("strided", [2, 2, 2]))
  )
  found = [network_lib.from_files([path]) for path in (old, strided)]
  strides = [x.network.model.classifier_strides for x in found]
  assert strides == [(1, 2, 2), (2, 2, 2)]
  low_res = np.random.default_rng(0).random(
    (2, *found[0].network.low_res_shape)
  )
  a, b = (x.apply(low_res)["logits"] for x in found)
  assert np.abs(a - b).max() > 1e-3 * np.abs(a).max()
  with pytest.raises(errors.UserError) as caught:
    network_lib.from_files([old, strided])
  message = str(caught.value)
  assert "classifier_strides (1, 2, 2) and (2, 2, 2) differ" in message
  assert "\n" not in message


def test_a_phase_trains_the_network_of_its_config():
  config = make_config()
  phase = phase_lib.create(
    config, "joint", image_shape=SHAPE, num_train_images=64, num_classes=10
  )
  assert phase.network == network_lib.build(config, SHAPE, 10)


def test_a_network_is_told_the_noise_of_its_level():
  """`describe` gets the level's variance once for every image of the batch."""

  class Told:
    def apply(self, variables, low_res, description, *, train):
      assert not train
      return {"super_res": variables * low_res + description[..., None, None]}

  def describe(noise_variances):
    return jnp.sqrt(noise_variances)[:, None]

  apply = network_lib.Network(Told(), (2, 2, 1), describe).apply
  low_res = np.ones((3, 2, 2, 1), np.float32)
  over_levels = jax.vmap(apply, in_axes=(None, None, 0))
  outputs = over_levels(2.0, low_res, jnp.asarray([0.0, 0.25]))
  np.testing.assert_array_equal(outputs["super_res"][0], 2 * low_res)
  np.testing.assert_array_equal(outputs["super_res"][1], 2 * low_res + 0.5)
