import numpy as np
import pytest

from sr2_jax.training import best as best_lib
from sr2_jax.training import checkpoint
from tests.training import test_checkpoint


def make_variables(*values):
  return {"params": {"w": np.asarray(values, np.float32)}}


def read_best(folder):
  return checkpoint.Checkpoints(folder, read_only=True).restore_latest(
    best_lib.abstract_state(make_variables(0.0, 0.0))
  )


def test_best_keeps_each_members_lowest_loss(tmp_path):
  folder = tmp_path / "best"
  best = best_lib.Best(folder, make_variables(0.0, 0.0))
  for step, losses in ((1, (3.0, 3.0)), (2, (1.0, 4.0)), (3, (1.0, 2.0))):
    best.update(step, np.asarray(losses), lambda s=step: make_variables(s, s))
  best.update(4, np.asarray([5.0, np.nan]), pytest.fail)
  best.close()
  step, tree = read_best(folder)
  assert step == 3
  np.testing.assert_array_equal(tree["step"], [2, 3])
  np.testing.assert_array_equal(tree["loss"], [1.0, 2.0])
  np.testing.assert_array_equal(tree["variables"]["params"]["w"], [2, 3])


def test_best_takes_anything_after_a_loss_that_is_no_number(tmp_path):
  folder = tmp_path / "best"
  best = best_lib.Best(folder, make_variables(0.0, 0.0))
  best.update(1, np.asarray([np.nan, 1.0]), lambda: make_variables(1, 1))
  best.update(2, np.asarray([7.0, 2.0]), lambda: make_variables(2, 2))
  best.close()
  assert read_best(folder)[1]["step"].tolist() == [2, 1]


def test_best_goes_on_from_what_it_kept(tmp_path):
  folder = tmp_path / "best"
  for _ in range(2):  # The second time nothing is lower.
    best = best_lib.Best(folder, make_variables(0.0, 0.0))
    best.update(5, np.asarray([1.0, 1.0]), lambda: make_variables(5, 5))
    best.close()
  assert read_best(folder)[0] == 5


def test_best_is_on_disk_after_waiting(tmp_path):
  """So that a checkpoint which is past its validation can follow."""
  folder = tmp_path / "best"
  best = best_lib.Best(folder, make_variables(0.0, 0.0))
  best.wait()  # Nothing to wait for yet.
  best.update(1, np.asarray([3.0, 3.0]), lambda: make_variables(1, 1))
  best.wait()
  assert read_best(folder)[0] == 1
  best.close()


def test_damaged_best_is_named_and_training_goes_on(tmp_path, capfd):
  folder = tmp_path / "best"
  best = best_lib.Best(folder, make_variables(0.0, 0.0))
  best.update(5, np.asarray([1.0, 1.0]), lambda: make_variables(5, 5))
  best.close()
  test_checkpoint.damage_all_data(folder / "00000005", lambda data: b"")
  best = best_lib.Best(folder, make_variables(0.0, 0.0))
  said = capfd.readouterr().err
  assert "damaged checkpoint" in said
  assert f"the best weights in {folder} are lost" in said
  best.update(5, np.asarray([2.0, 2.0]), lambda: make_variables(6, 6))
  best.close()
  assert read_best(folder)[1]["loss"].tolist() == [2.0, 2.0]
