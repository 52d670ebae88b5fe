"""Example images: which ones, and the outputs of each member."""

import jax
import jax.numpy as jnp
import numpy as np

from sr2_jax.evaluation import examples, methods
from sr2_jax.models import bicubic
from tests import tiny_network

SCALE, VARIANCES = tiny_network.SCALE, tiny_network.VARIANCES


def test_two_images_of_each_class_are_kept(tmp_path):
  """They come with the outputs of every member at every variance."""
  run = tiny_network.make_run(tmp_path)
  phase = tiny_network.tiny_phase(run)
  variables = tiny_network.make_state(phase).variables
  (bicubic_method,) = methods.untrained(run)
  other = examples.of_method(run, bicubic_method)
  network = examples.of_method(
    run,
    methods.of_phase(
      run,
      phase,
      variables,
      steps_done=tiny_network.STEPS,
      batch_norm="running",
    ),
  )
  assert network.members == tiny_network.FOUR_MEMBERS
  assert network.steps == tiny_network.STEPS
  assert network.batch_norm == "running"
  assert other.members == bicubic_method.members
  split = run.dataset.test
  chosen = [
    position
    for label in np.unique(split.labels)
    for position in np.flatnonzero(split.labels == label)[:2]
  ]
  for name in ("positions", "labels", "high_res", "low_res"):
    np.testing.assert_array_equal(getattr(network, name), getattr(other, name))
  assert network.positions.dtype == network.labels.dtype == np.int64
  np.testing.assert_array_equal(network.positions, chosen)
  np.testing.assert_array_equal(network.labels, split.labels[chosen])
  np.testing.assert_allclose(
    network.high_res, split.images[chosen] / 255, rtol=1e-6
  )
  size, num = tiny_network.SIZE, len(chosen)
  assert network.low_res.shape == (2, num, size // SCALE, size // SCALE, 1)
  assert network.super_res.shape == (4, 2, num, size, size, 1)
  assert network.super_res.dtype == network.low_res.dtype == np.float32
  assert other.super_res.shape == (1, 2, num, size, size, 1)
  assert other.predicted is None
  repeated = np.repeat(np.repeat(network.low_res, SCALE, 2), SCALE, 3)
  for member, level in np.ndindex(4, 2):
    np.testing.assert_allclose(
      other.super_res[0, level],
      bicubic.upsample(jnp.asarray(network.low_res[level]), SCALE),
      atol=1e-5,
    )
    one = jax.tree.map(lambda x, member=member: x[member], variables)
    np.testing.assert_allclose(
      network.super_res[member, level],
      repeated[level] * one["params"]["gain"] + one["batch_stats"]["shift"],
      atol=1e-5,
    )
    expected = tiny_network.reference(
      variables, member, split, variance=VARIANCES[level]
    )
    np.testing.assert_array_equal(
      network.predicted[member, level], expected["predicted"][chosen]
    )


def test_of_one_class_more_images_are_kept():
  one = np.zeros(9, np.int32)
  assert examples._positions(one).tolist() == [0, 1, 2, 3, 4, 5]
  two = np.array([0, 0, 0, 1], np.int32)
  assert examples._positions(two).tolist() == [0, 1, 3]
