"""What a run and the pretraining that it starts from have in common."""

import pytest

from experiments import default
from sr2_jax import errors
from sr2_jax.config import record, source_checks


def _config(**changes):
  """The default config with some fields changed, by dotted name."""
  config = default.get_config()
  config.update_from_flattened_dict(changes)
  return config


@pytest.mark.parametrize(
  ("changes", "expected"),
  [
    ({"degradation.scale": 4}, "degradation.scale: 2 -> 4"),
    ({"model.trunk": "wdsr"}, 'model.trunk: "fsrcnn" -> "wdsr"'),
    ({"data.split_seed": 1}, "data.split_seed"),
    ({"num_seeds": 4}, "seeds 5 to 7; this run asks for 5 to 8"),
    ({"seed": 4}, "seeds 5 to 7"),
  ],
)
def test_init_from_another_pretraining(changes, expected):
  source = record.to_dict(_config(seed=5, num_seeds=3))
  config = _config(**{"seed": 5, "num_seeds": 3, "init_from": "a", **changes})
  with pytest.raises(errors.UserError, match=expected.replace("(", r"\(")):
    source_checks.validate_init_from(config, source)


def test_init_from_for_another_wiring_and_loss_weight():
  source = record.to_dict(_config(num_seeds=3))
  changes = {
    "seed": 1,
    "num_seeds": 2,
    "init_from": "runs/a",
    "model.wiring": "sequential",
    "model.classifier_strides": (2, 2, 2),
    "joint.loss_weight": (0.11,),
    "experiment": "sequential",
  }
  source_checks.validate_init_from(_config(**changes), source)


def test_pairs_may_move_but_not_come_or_go():
  source = record.to_dict(_config(**{"data.low_res_path": "small"}))
  moved = {"init_from": "a", "data.low_res_path": "elsewhere"}
  source_checks.validate_init_from(_config(**moved), source)
  with pytest.raises(errors.UserError, match=r"data\.low_res_path"):
    source_checks.validate_init_from(_config(init_from="a"), source)
