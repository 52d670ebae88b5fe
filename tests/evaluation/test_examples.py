"""Example images: what is kept of each method, and the picture of them."""

import dataclasses

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from sr2_jax.evaluation import evaluate, examples
from sr2_jax.models import bicubic
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import folder as folder_lib
from sr2_jax.training import steps
from tests import tiny_network

SCALE, VARIANCES = tiny_network.SCALE, tiny_network.VARIANCES
UNTRAINED = [{"seed": None, "l2": None, "loss_weight": None, "step": 0}]
# The first member of the others is the second here.
TRUNKS = [
  {"seed": seed, "l2": 0.01, "loss_weight": None, "step": 3} for seed in (1, 0)
]


def upsample(variables, low_res, noise_variance):
  del variables, noise_variance
  return {"super_res": bicubic.upsample(low_res, SCALE)}


def gain(variables, low_res, noise_variance):
  """Repeats pixels, and is told the noise."""
  repeated = jnp.repeat(jnp.repeat(low_res, SCALE, 1), SCALE, 2)
  return {"super_res": repeated * variables + noise_variance}


def write(run, phase, apply, variables, method, members):
  examples.write(run, phase, apply, variables, method=method, members=members)


def keep(run):
  """Bicubic interpolation and four members of a joint network."""
  phase = tiny_network.tiny_phase(run)
  variables = evaluate.variables_of(tiny_network.make_state(phase))
  write(run, phase, upsample, np.zeros(1), "bicubic", UNTRAINED)
  members = [
    {**phase.population.fields(member), "step": 5 + member}
    for member in range(4)
  ]
  apply = steps.inference(phase.model)
  write(run, phase, apply, variables, phase.method, members)
  return phase, variables


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
  run = tiny_network.make_run(
    tmp_path_factory.mktemp("run"), pretrain__num_epochs=0
  )
  return run, *keep(run)


@pytest.fixture
def with_pretrain(tmp_path):
  """The same, of a run that has a `pretrain` phase."""
  run = tiny_network.make_run(tmp_path / "run")
  phase, _ = keep(run)
  return run, phase


def test_two_images_of_each_class_are_kept(kept):
  """By every member at every variance."""
  run, _, variables = kept
  network = arrays_lib.read(run.folder.path / "examples" / "sr2_fsrcnn.npz")
  other = arrays_lib.read(run.folder.path / "examples" / "bicubic.npz")
  tiny_network.assert_members(network, *tiny_network.FOUR_MEMBERS)
  tiny_network.assert_members(other, [-1], [np.nan], [np.nan], [0])
  split = run.dataset.test
  chosen = [
    position
    for label in np.unique(split.labels)
    for position in np.flatnonzero(split.labels == label)[:2]
  ]
  for name in ("positions", "labels", "high_res", "low_res"):
    np.testing.assert_array_equal(network[name], other[name])
  assert network["positions"].dtype == network["labels"].dtype == np.int64
  np.testing.assert_array_equal(network["positions"], chosen)
  np.testing.assert_array_equal(network["labels"], split.labels[chosen])
  np.testing.assert_allclose(
    network["high_res"], split.images[chosen] / 255, rtol=1e-6
  )
  size, num = tiny_network.SIZE, len(chosen)
  assert network["low_res"].shape == (2, num, size // SCALE, size // SCALE, 1)
  assert network["super_res"].shape == (4, 2, num, size, size, 1)
  assert network["super_res"].dtype == network["low_res"].dtype == np.float32
  assert other["super_res"].shape == (1, 2, num, size, size, 1)
  assert "predicted" not in other
  repeated = np.repeat(np.repeat(network["low_res"], SCALE, 2), SCALE, 3)
  for member, level in np.ndindex(4, 2):
    np.testing.assert_allclose(
      other["super_res"][0, level],
      bicubic.upsample(jnp.asarray(network["low_res"][level]), SCALE),
      atol=1e-5,
    )
    one = jax.tree.map(lambda x, member=member: x[member], variables)
    np.testing.assert_allclose(
      network["super_res"][member, level],
      repeated[level] * one["params"]["gain"] + one["batch_stats"]["shift"],
      atol=1e-5,
    )
    expected = tiny_network.reference(
      variables, member, split, variance=VARIANCES[level]
    )
    np.testing.assert_array_equal(
      network["predicted"][member, level], expected["predicted"][chosen]
    )


def test_picture_shows_the_first_image_of_each_class(kept):
  """In the order of the split, by the first member at its noise."""
  run, phase, variables = kept
  found = examples.picture(run, phase)
  split = run.dataset.test
  firsts = sorted(
    int(np.flatnonzero(split.labels == label)[0])
    for label in np.unique(split.labels)
  )
  np.testing.assert_array_equal(found.labels, split.labels[firsts])
  np.testing.assert_allclose(
    found.high_res, split.images[firsts] / 255, rtol=1e-6
  )
  np.testing.assert_array_equal(found.noise_variances, VARIANCES)
  assert list(found.columns) == ["bicubic", "sr2_fsrcnn"]
  assert list(found.predictions) == ["sr2_fsrcnn"]
  assert found.class_names == ("a", "b", "c", "d")
  for level, variance in enumerate(VARIANCES):
    expected = tiny_network.reference(variables, 0, split, variance=variance)
    np.testing.assert_array_equal(
      found.predictions["sr2_fsrcnn"][level], expected["predicted"][firsts]
    )
    np.testing.assert_allclose(
      found.columns["bicubic"][level],
      bicubic.upsample(jnp.asarray(found.low_res[level]), SCALE),
      atol=1e-5,
    )
  repeated = np.repeat(np.repeat(found.low_res, SCALE, 2), SCALE, 3)
  one = jax.tree.map(lambda x: x[0], variables)
  np.testing.assert_allclose(
    found.columns["sr2_fsrcnn"],
    repeated * one["params"]["gain"] + one["batch_stats"]["shift"],
    atol=1e-5,
  )


@pytest.mark.parametrize("where", ["own", "init_from"])
def test_picture_shows_the_baseline_of_the_same_seed(
  with_pretrain, tmp_path, where
):
  run, phase = with_pretrain
  other = run
  if where == "init_from":
    folder = folder_lib.RunFolder(tmp_path / "other")
    other = dataclasses.replace(run, folder=folder)
    config = ml_collections.ConfigDict(run.config)
    config.init_from = str(folder.path)
    run = dataclasses.replace(run, config=config)
  write(other, phase, gain, np.array([2.0, 3.0]), "fsrcnn", TRUNKS)
  found = examples.picture(run, phase)
  assert list(found.columns) == ["bicubic", "fsrcnn", "sr2_fsrcnn"]
  repeated = np.repeat(np.repeat(found.low_res, SCALE, 2), SCALE, 3)
  variances = np.reshape(VARIANCES, (-1, 1, 1, 1, 1))
  np.testing.assert_allclose(
    found.columns["fsrcnn"], repeated * 3 + variances, atol=1e-5
  )


def test_picture_shows_the_released_srmd(with_pretrain, capsys):
  """And does without a baseline, aloud."""
  run, phase = with_pretrain
  write(run, phase, gain, np.array([2.0]), "srmd", UNTRAINED)
  found = examples.picture(run, phase)
  assert list(found.columns) == ["bicubic", "srmd", "sr2_fsrcnn"]
  assert "no fsrcnn in the picture" in capsys.readouterr().err


def _other_noise(path):
  arrays = arrays_lib.read(path)
  np.savez(path, **arrays | {"low_res": arrays["low_res"] + 0.1})


@pytest.mark.parametrize(
  "change",
  [
    lambda path: path.write_bytes(b"no archive"),
    lambda path: np.savez(path, something=np.zeros(3)),
    _other_noise,
  ],
  ids=["damaged", "something else", "of other inputs"],
)
def test_what_cannot_be_shown_is_left_out(with_pretrain, change, capsys):
  run, phase = with_pretrain
  write(run, phase, gain, np.array([2.0, 3.0]), "fsrcnn", TRUNKS)
  change(arrays_lib.examples_path(run.folder.path, "fsrcnn"))
  found = examples.picture(run, phase)
  assert list(found.columns) == ["bicubic", "sr2_fsrcnn"]
  assert "no fsrcnn in the picture" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("variances", "expected"),
  [
    ((0.0,), (0.0,)),
    ((1e-2, 0.0), (0.0, 1e-2)),
    ((1e-3, 0.0, 1e-2), (0.0, 1e-3, 1e-2)),
    ((0.0, 1e-5, 1e-4, 1e-3, 1e-2), (0.0, 1e-4, 1e-2)),
  ],
)
def test_levels_shown_span_the_variances(variances, expected):
  chosen = examples._levels_shown(np.array(variances))
  np.testing.assert_array_equal(np.array(variances)[chosen], expected)
