"""Bytes of a member against those of its arrays."""

import jax
import numpy as np
import pytest

from sr2_jax.training import member_bytes
from tests import tiny_network


def nbytes(tree):
  return sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(tree))


def make(folder, **changes):
  return tiny_network.make_run(folder, **changes)


@pytest.mark.parametrize(
  ("name", "changes"),
  [
    ("joint", {}),
    ("pretrain", {"model__trunk": "wdsr"}),
    ("pretrain", {"model__trunk": "srmd", "model__wiring": "none"}),
  ],
)
def test_a_member_has_the_bytes_of_its_arrays(tmp_path, name, changes):
  run = make(tmp_path, **changes)
  found = member_bytes.of_phase(run, name)
  # Two seeds, and in `joint` two loss weights.
  phase = run.phase(name)
  state = jax.tree.map(
    lambda x: np.zeros(x.shape[1:], x.dtype), phase.abstract_state()
  )
  assert found.params == nbytes(state.params)
  assert found.stats == nbytes(state.batch_stats)
  # Adam's count is a number of each member.
  assert found.state == nbytes(state)
  assert 2.9 * found.params < found.state < 3.1 * found.params + 2 * found.stats


def test_any_number_of_members_takes_no_longer(tmp_path):
  """A population of so many could not even be listed."""
  run = make(tmp_path, num_seeds=10**9)
  assert member_bytes.of_phase(run, "joint").params > 0


def test_maps_are_those_of_layers(tmp_path):
  """By hand, for FSRCNN on 12 x 12 pixels at x2."""
  of_pretrain = member_bytes.of_phase(make(tmp_path), "pretrain")
  # Feature extraction, shrinking, four mappings and expanding, each with a
  # BatchNorm; up-sampling returns its parameters alone.
  features = 56 + 5 * 12 + 56
  assert of_pretrain.maps == 4 * 6 * 6 * 2 * features
  assert of_pretrain.largest == 4 * 6 * 6 * 56
  half = make(tmp_path, model__dtype="bfloat16")
  assert member_bytes.of_phase(half, "pretrain").maps == of_pretrain.maps / 2
