"""Bicubic, the released SRMD, and the networks of a phase."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from sr2_jax import rng
from sr2_jax.evaluation import evaluate, methods
from sr2_jax.imaging import noise
from sr2_jax.models import sr2, srmd_weights
from tests import tiny_network

# As on the devices here; XLA's own would take many times as long.
SR2 = functools.partial(sr2.SR2, convolution="cpu")


def value_of(rows, **fields):
  (row,) = [
    row
    for row in rows
    if all(getattr(row, name) == value for name, value in fields.items())
  ]
  return row.value


def with_released_srmd(run):
  """A run whose released SRMD is a network of random weights, and its model."""
  random = np.random.default_rng(3)
  model = SR2("srmd", "none", tiny_network.SCALE, 1)
  shapes = jax.eval_shape(
    lambda key: model.init(
      key, jnp.zeros((1, 6, 6, 1)), jnp.zeros((1, 16)), train=False
    ),
    jax.random.key(0),
  )
  params = jax.tree.map(
    lambda x: random.normal(0, 0.05, x.shape).astype(np.float32),
    shapes["params"],
  )
  basis = random.normal(0, 1, (15, 225)).astype(np.float32)
  released = srmd_weights.Released(params, basis)
  return model, dataclasses.replace(run, released_srmd=released)


@pytest.mark.parametrize("clip", [False, True])
def test_released_srmd_gets_the_blur_and_each_noise_level(tmp_path, clip):
  model, run = with_released_srmd(
    tiny_network.make_run(
      tmp_path, eval__splits=("test",), eval__max_images=3, eval__clip=clip
    )
  )
  bicubic_method, method = methods.untrained(run)
  assert bicubic_method.name.key == "bicubic"
  evaluation = evaluate.evaluate(run, method)
  rows = evaluation.rows
  assert {
    (r.method, r.phase, r.seed, r.loss_weight, r.shared_layers, r.step, r.n)
    for r in rows
  } == {("srmd", "none", None, None, None, 0, 3)}
  # At x2: the blur of 1 px, combined with that of 0.5 px against aliasing.
  kernel = scipy.ndimage.gaussian_filter(
    np.eye(15)[7][:, None] * np.eye(15)[7], np.sqrt(1.25), radius=7
  )
  released = run.released_srmd
  coefficients = released.basis @ kernel.ravel(order="F")
  high_res = np.float32(run.dataset.test.images[:3] / 255)
  clean = np.einsum(
    "ij,bjkc,lk->bilc", tiny_network.OPERATOR, high_res, tiny_network.OPERATOR
  )
  keys = rng.per_image(rng.stream(7, "noise"), jnp.arange(3))
  for variance in tiny_network.VARIANCES:
    draws = noise.draw(keys, clean.shape[1:])
    low_res = noise.apply(jnp.asarray(clean), draws, variance)
    told = np.float32([*coefficients, np.sqrt(variance)])
    outputs = model.apply(
      {"params": released.params}, low_res, np.stack([told] * 3), train=False
    )
    super_res = np.asarray(outputs["super_res"])
    if clip:
      super_res = np.clip(super_res, 0, 1)
    found = value_of(rows, noise_variance=variance, metric="loss_sr")
    expected = np.mean((super_res - high_res) ** 2)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
  assert evaluation.per_image.keys() == {"test"}
  kept = evaluation.examples
  for level, variance in enumerate(tiny_network.VARIANCES):
    told = np.float32([*coefficients, np.sqrt(variance)])
    outputs = model.apply(
      {"params": released.params},
      kept.low_res[level],
      np.stack([told] * len(kept.labels)),
      train=False,
    )
    np.testing.assert_allclose(
      kept.super_res[0, level], outputs["super_res"], atol=1e-5
    )


def test_no_released_srmd_unless_it_is_named(tmp_path):
  run = tiny_network.make_run(tmp_path)
  assert [m.name.key for m in methods.untrained(run)] == ["bicubic"]


def test_a_phase_has_the_weights_of_its_members(tmp_path):
  run = tiny_network.make_run(tmp_path)
  phase = tiny_network.tiny_phase(run)
  variables = tiny_network.make_state(phase).variables
  method = methods.of_phase(
    run,
    phase,
    variables,
    steps_done=tiny_network.STEPS,
    batch_norm="running",
  )
  assert method.name.key == "sr2_fsrcnn"
  assert (method.phase, method.shared_layers) == ("joint", 1)
  assert method.members == tiny_network.FOUR_MEMBERS
  assert method.steps == tiny_network.STEPS
  assert method.places == (0, 1, 2, 3)
  assert method.layout == run.layout.of(4)
  assert method.batch_norm == "running"
  assert method.epochs == tuple(step / 2 for step in tiny_network.STEPS)
  some = methods.of_phase(
    run,
    phase,
    variables,
    steps_done=tiny_network.STEPS,
    batch_norm=None,
    places=(0, 3),
  )
  assert some.places == (0, 3)
  assert some.members == tiny_network.FOUR_MEMBERS[::3]
  assert some.steps == tiny_network.STEPS[::3]
  assert some.epochs == method.epochs[::3]


def test_epochs_of_pretraining_are_those_of_the_run_started_from(tmp_path):
  run = tiny_network.make_run(tmp_path / "own", pretrain__num_epochs=7)
  assert methods._pretrain_epochs(run.config, "joint") == 7
  assert methods._pretrain_epochs(run.config, "pretrain") is None
  other = tmp_path / "other"
  run = tiny_network.make_run(tmp_path / "own", init_from=str(other))
  assert methods._pretrain_epochs(run.config, "joint") is None
  other.mkdir()
  record = {"config": {"pretrain": {"num_epochs": 3}}}
  (other / "config.json").write_text(json.dumps(record))
  assert methods._pretrain_epochs(run.config, "joint") == 3
  (other / "config.json").write_text('{"torn')
  assert methods._pretrain_epochs(run.config, "joint") is None
