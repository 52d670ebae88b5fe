"""Fields by which a run's memory grows; what they do to it: test_footprint."""

from sr2_jax.training import growth
from tests import tiny_network


def of(tmp_path, **changes):
  return growth.Growth(tiny_network.make_run(tmp_path, **changes), "joint")


def test_members_have_several_fields_and_wdsr_one_more(tmp_path):
  found = of(tmp_path, num_seeds=5, joint__loss_weight=(1.0, 2.0, 3.0))
  assert found.members == {
    "num_seeds": 5, "loss.l2": 1, "joint.loss_weight": 3,
  }  # fmt: skip
  wide = of(tmp_path, model__trunk="wdsr", model__expansion=4)
  assert wide.members["model.expansion"] == 4


def test_a_step_has_a_batch_of_each_member(tmp_path):
  found = of(tmp_path, batch_size=6)
  assert found.step == {"batch_size": 6, **found.members}


def test_an_evaluation_does_not_grow_with_the_members(tmp_path):
  """They come one after another; how large one is counts all the same."""
  found = of(
    tmp_path,
    num_seeds=5,
    eval__batch_size=7,
    model__trunk="wdsr",
    model__expansion=4,
  )
  assert found.evaluation("eval.noise_variances", 9) == {
    "eval.batch_size": 7, "eval.noise_variances": 9, "model.expansion": 4,
  }  # fmt: skip
