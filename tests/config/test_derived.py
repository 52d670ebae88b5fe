import pytest

from experiments import default
from sr2_jax.config import checks, derived, record


def _config(**changes):
  """The default config with some fields changed, by dotted name."""
  config = default.get_config()
  config.update_from_flattened_dict(changes)
  return config


@pytest.mark.parametrize(
  ("changes", "expected"),
  [
    ({}, ("pretrain", "joint")),
    ({"model.wiring": "none"}, ("pretrain", "joint")),
    ({"joint.num_epochs": 0}, ("pretrain",)),
    ({"pretrain.num_epochs": 0}, ("joint",)),
    ({"init_from": "runs/other"}, ("joint",)),
    ({"init_from": "runs/other", "joint.num_epochs": 0}, ()),
  ],
)
def test_phases(changes, expected):
  assert derived.phases(_config(**changes)) == expected


@pytest.mark.parametrize(
  ("trunk", "wiring", "after_pretrain", "after_joint"),
  [
    ("fsrcnn", "parallel", "fsrcnn", "sr2_fsrcnn"),
    ("fsrcnn", "sequential", "fsrcnn", "sequential_fsrcnn"),
    ("wdsr", "parallel", "wdsr", "sr2_wdsr"),
    ("wdsr", "sequential", "wdsr", "sequential_wdsr"),
    ("fsrcnn", "none", "fsrcnn", "sr_continued_fsrcnn"),
    ("wdsr", "none", "wdsr", "sr_continued_wdsr"),
  ],
)
def test_method_name(trunk, wiring, after_pretrain, after_joint):
  config = _config(**{"model.trunk": trunk, "model.wiring": wiring})
  assert derived.method(config, "pretrain").key == after_pretrain
  assert derived.method(config, "joint").key == after_joint


@pytest.mark.parametrize(
  ("dataset", "fill", "expected"),
  [
    ("mnist", "auto", "zero"),
    ("mnist5k", "auto", "zero"),
    ("svhn_cropped", "auto", "edge"),
    ("folder", "auto", "edge"),
    ("mnist", "edge", "edge"),
    ("svhn_cropped", "zero", "zero"),
  ],
)
def test_resolve_fill(dataset, fill, expected):
  config = _config(**{"data.name": dataset, "augmentation.fill": fill})
  resolved = derived.resolve(config)
  assert resolved.augmentation.fill == expected
  assert config.augmentation.fill == fill


def test_resolve_freezes_and_makes_floats():
  resolved = derived.resolve(_config(**{"joint.loss_weight": (9, 0)}))
  assert [type(x) for x in resolved.joint.loss_weight] == [float, float]
  with pytest.raises(AttributeError):
    resolved.seed = 1
  checks.validate(resolved)
  assert record.to_dict(derived.resolve(resolved)) == (record.to_dict(resolved))


def test_resolve_makes_floats_of_corruptions():
  config = _config(**{"eval.corruptions.jpeg": (50, 10)})
  levels = derived.resolve(config).eval.corruptions
  assert [type(x) for x in levels.jpeg] == [float, float]
  assert levels.blur == ()


def test_resolve_fills_in_what_a_config_leaves_out():
  config = default.get_config()
  del config.eval.corruptions["jpeg"]
  assert derived.resolve(config) == derived.resolve(default.get_config())
  assert "jpeg" not in config.eval.corruptions


def test_corruption_levels_come_corruption_by_corruption():
  changes = {
    "eval.corruptions.speckle": (0.2,),
    "eval.corruptions.jpeg": (50, 10),
  }
  assert derived.corruption_levels(default.get_config()) == ()
  resolved = derived.resolve(_config(**changes))
  assert derived.corruption_levels(resolved) == (
    ("jpeg", 50.0),
    ("jpeg", 10.0),
    ("speckle", 0.2),
  )


@pytest.mark.parametrize(
  ("size", "changes", "expected"),
  [
    ((28, 28), {}, 3),
    ((32, 32), {}, 3),
    ((32, 16), {}, 2),
    ((64, 96), {}, 7),
    ((16, 16), {"augmentation.crop": 16}, 0),
    ((16, 16), {"augmentation.crop": 16, "augmentation.max_shift": 1}, 1),
    ((64, 64), {"augmentation.max_shift": 3}, 3),
    ((64, 64), {"augmentation.max_shift": 0}, 0),
  ],
)
def test_shifts_go_with_the_size_unless_set(size, changes, expected):
  assert derived.max_shift(_config(**changes), *size) == expected


@pytest.mark.parametrize("name", ["mnist", "mnist5k", "svhn_cropped"])
def test_the_shift_of_known_images_is_recorded_as_ever(name):
  resolved = derived.resolve(_config(**{"data.name": name}))
  assert resolved.augmentation.max_shift == 3


def test_an_open_shift_is_that_of_an_earlier_start():
  config = derived.resolve(_config(**{"data.name": "folder"}))
  assert config.augmentation.max_shift == -1
  assert derived.open_fields(config) == ("augmentation.max_shift",)
  assert derived.with_shift(config, None) is config
  earlier = derived.with_shift(config, {"max_shift": 3})
  assert earlier.augmentation.max_shift == 3
  assert derived.open_fields(earlier) == ()
  assert derived.with_shift(earlier, {"max_shift": 5}) is earlier


@pytest.mark.parametrize(
  ("changes", "expected"),
  [
    ({}, True),
    ({"model.wiring": "none"}, False),
    ({"joint.num_epochs": 0}, False),
  ],
)
def test_who_needs_classes(changes, expected):
  assert derived.classifies(_config(**changes)) == expected


def test_crops_of_pairs_are_counted_in_low_resolution_pixels():
  config = _config(**{"degradation.scale": 4, "augmentation.crop": 32})
  assert (derived.pair_scale(config), derived.crop_in_memory(config)) == (0, 32)
  config.data.low_res_path = "small"
  assert (derived.pair_scale(config), derived.crop_in_memory(config)) == (4, 8)
