import json

import ml_collections

from experiments import default
from sr2_jax.config import derived, fields, record


def _config(**changes):
  """The default config with some fields changed, by dotted name."""
  config = default.get_config()
  config.update_from_flattened_dict(changes)
  return config


def _leaves(tree, prefix=""):
  for name, value in tree.items():
    if isinstance(value, (dict, ml_collections.ConfigDict)):
      yield from _leaves(value, f"{prefix}{name}.")
    else:
      yield f"{prefix}{name}"


def test_to_dict_survives_json_in_the_order_of_fields():
  config = derived.resolve(default.get_config())
  as_dict = record.to_dict(config)
  again = json.loads(json.dumps(as_dict, allow_nan=False))
  assert again == as_dict
  assert list(_leaves(again)) == list(fields.CHECKS)
  assert record.difference(again, as_dict) == []


def test_difference():
  old = record.to_dict(default.get_config())
  changes = {
    "joint.loss_weight": (0.11,),
    "model.batch_norm": False,
    "init_from": "runs/other",
    "seed": 3,
  }
  new = record.to_dict(_config(**changes))
  differences = record.difference(old, new)
  assert differences == [
    record.Difference("seed", 0, 3),
    record.Difference("init_from", "", "runs/other"),
    record.Difference("model.batch_norm", True, False),
    record.Difference("joint.loss_weight", (9.0,), (0.11,)),
  ]
  assert list(map(str, differences)) == [
    "seed: 0 -> 3",
    'init_from: "" -> "runs/other"',
    "model.batch_norm: true -> false",
    "joint.loss_weight: (9.0,) -> (0.11,)",
  ]


def test_difference_is_of_a_field_or_a_group():
  difference = record.Difference("eval.clip", False, True)
  assert difference.is_of("seed", "eval")
  assert difference.is_of("eval.clip")
  assert not difference.is_of()
  assert not difference.is_of("eval.cli", "clip", "eval.clip.more", "ev")


def test_difference_of_fields_that_one_side_lacks():
  old = {"a": 1, "group": {"gone": 2}, "same": [1.0]}
  new = {"a": 1, "group": {"come": 3}, "same": (1.0,)}
  assert list(map(str, record.difference(old, new))) == [
    "group.gone: 2 -> nothing",
    "group.come: nothing -> 3",
  ]


def test_fields_that_an_older_run_lacks():
  """Taken from the new config, but for corruptions, which had no levels."""
  new = record.to_dict(
    _config(**{"model.dtype": "bfloat16", "eval.corruptions.jpeg": (50.0,)})
  )
  old = record.to_dict(default.get_config())
  del old["model"]["dtype"], old["eval"]["corruptions"]["jpeg"]
  recorded = record.recorded(old, new)
  assert recorded["model"]["dtype"] == "bfloat16"
  assert record.added_fields(old, new) == {"model.dtype": "bfloat16"}
  assert record.difference(recorded, new) == [
    record.Difference("eval.corruptions.jpeg", (), (50.0,))
  ]


def test_a_corruption_that_a_config_leaves_out_is_recorded():
  config = default.get_config()
  del config.eval.corruptions["jpeg"]
  assert record.to_dict(config) == record.to_dict(default.get_config())


def test_a_record_of_an_older_version_is_completed():
  new = record.to_dict(default.get_config())
  old = record.to_dict(default.get_config())
  del old["data"]["size"], old["augmentation"]["crop"]
  assert record.complete(old) == new
