"""Files of arrays: their contents, and the weights that they are for."""

import dataclasses

import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import rows as rows_lib

MEMBERS = (
  rows_lib.Member(seed=3, l2=0.01, loss_weight=0.5),
  rows_lib.Member(seed=4, l2=0.0, loss_weight=None),
)
SCORES = {
  "ssim": np.arange(12.0).reshape(2, 2, 3),
  "accuracy": np.ones((2, 2, 3)),
  "loss_sr": np.ones((2, 2, 3)),
}


def load(path):
  with np.load(path, allow_pickle=False) as arrays:
    return dict(arrays)


def write(
  folder,
  *,
  members=MEMBERS,
  steps=(8, 6),
  scores=SCORES,
  levels=(0.0, 1e-3),
  batch_norm="reestimated",
  **classes,
):
  per_image = arrays_lib.PerImage(
    members=members,
    steps=steps,
    batch_norm=batch_norm,
    noise_variances=np.array(levels),
    scores=scores,
    **classes,
  )
  arrays_lib.write_per_image(folder, per_image, method="fsrcnn", split="test")
  return load(folder / "per_image" / "fsrcnn_test.npz")


def read(folder):
  return arrays_lib.read_per_image(folder, "fsrcnn", "test")


def test_scores_are_stored_without_losses(tmp_path):
  arrays = write(tmp_path)
  assert arrays.keys() == {
    "members_seed", "members_l2", "members_loss_weight", "step",
    "batch_norm", "noise_variances", "ssim", "accuracy",
  }  # fmt: skip
  np.testing.assert_array_equal(arrays["members_seed"], [3, 4])
  np.testing.assert_array_equal(arrays["members_l2"], [0.01, 0.0])
  np.testing.assert_array_equal(arrays["members_loss_weight"], [0.5, np.nan])
  np.testing.assert_array_equal(arrays["step"], [8, 6])
  np.testing.assert_array_equal(arrays["noise_variances"], [0.0, 1e-3])
  np.testing.assert_array_equal(arrays["ssim"], SCORES["ssim"])
  assert arrays["ssim"].dtype == np.float32
  assert [path.name for path in (tmp_path / "per_image").iterdir()] == [
    "fsrcnn_test.npz"
  ]


def test_classes_are_stored_and_older_files_know_none(tmp_path):
  """Levels of an older file stay, without the classes that were read."""
  assert write(tmp_path).keys() & {"labels", "predicted"} == set()
  assert read(tmp_path).predicted is None
  predicted = np.arange(6).reshape(2, 1, 3)
  classes = {"labels": np.array([0, 1, 5]), "predicted": predicted}
  one_level = {name: x[:, :1] for name, x in SCORES.items()}
  arrays = write(tmp_path, levels=(1e-2,), scores=one_level, **classes)
  assert arrays["predicted"].dtype == arrays["labels"].dtype == np.int32
  found = read(tmp_path)
  np.testing.assert_array_equal(found.labels, [0, 1, 5])
  np.testing.assert_array_equal(found.noise_variances, [0, 1e-3, 1e-2])
  np.testing.assert_array_equal(found.predicted[:, 2:], predicted)
  assert (found.predicted[:, :2] == -1).all()
  assert found.scores["ssim"].shape == (2, 3, 3)


def test_the_same_arrays_are_the_same_bytes(tmp_path):
  write(tmp_path)
  path = tmp_path / "per_image" / "fsrcnn_test.npz"
  before = path.read_bytes()
  write(tmp_path)
  assert path.read_bytes() == before


@pytest.mark.parametrize("step", [5, 8, 9])
def test_only_the_same_or_later_weights_replace_a_file(tmp_path, step):
  write(tmp_path)
  scores = {"ssim": SCORES["ssim"] + 1}
  again = write(tmp_path, steps=(step, 6), scores=scores)
  changes = step >= 8
  assert again["ssim"][0, 0, 0] == changes
  assert again["step"][0] == (step if changes else 8)
  assert ("accuracy" in again) != changes


def test_running_statistics_do_not_replace_reestimated_ones(tmp_path):
  higher = {name: value + 1 for name, value in SCORES.items()}
  write(tmp_path, batch_norm="running")
  assert read(tmp_path).batch_norm == "running"
  write(tmp_path, scores=higher)
  write(tmp_path, batch_norm="running", levels=(0.0, 1e-2))
  kept = read(tmp_path)
  assert kept.batch_norm == "reestimated"
  np.testing.assert_array_equal(kept.scores["ssim"], higher["ssim"])
  # Of later weights they do.
  write(tmp_path, batch_norm="running", steps=(9, 6))
  assert read(tmp_path).batch_norm == "running"


def test_older_files_have_running_statistics(tmp_path):
  arrays = write(tmp_path, batch_norm="running")
  path = tmp_path / "per_image" / "fsrcnn_test.npz"
  del arrays["batch_norm"]
  np.savez(path, **arrays)
  assert read(tmp_path).batch_norm == "running"
  # Another level of the same weights is added to it.
  write(tmp_path, batch_norm="running", levels=(1e-2,))
  assert len(read(tmp_path).noise_variances) == 3
  np.savez(path, **(arrays | {"step": np.zeros(2, np.int64)}))
  assert read(tmp_path).batch_norm is None


def test_other_levels_of_the_same_weights_are_added(tmp_path):
  """Levels are sorted; one that is measured again replaces the old."""
  before = write(tmp_path)
  changed = {name: value[:, ::-1] + 1 for name, value in SCORES.items()}
  both = write(tmp_path, scores=changed, levels=(1e-3, 1e-4))
  np.testing.assert_array_equal(both["noise_variances"], [0.0, 1e-4, 1e-3])
  for name in ("ssim", "accuracy"):
    expected = (before[name][:, :1], changed[name][:, ::-1])
    np.testing.assert_array_equal(both[name], np.concatenate(expected, axis=1))


@pytest.mark.parametrize("other", ["members", "step", "images", "metrics"])
def test_other_levels_of_something_else_replace_the_old(tmp_path, other):
  write(tmp_path)
  members, steps, scores = MEMBERS, (8, 6), SCORES
  if other == "members":
    members = (dataclasses.replace(MEMBERS[0], seed=5), MEMBERS[1])
  if other == "step":
    steps = (9, 6)
  if other == "images":
    scores = {name: value[..., :2] for name, value in SCORES.items()}
  if other == "metrics":
    scores = {"ssim": SCORES["ssim"]}
  new = write(
    tmp_path,
    members=members,
    steps=steps,
    scores=scores,
    levels=(1e-3, 1e-4),
  )
  np.testing.assert_array_equal(new["noise_variances"], [1e-3, 1e-4])
  np.testing.assert_array_equal(new["ssim"], scores["ssim"])


@pytest.mark.parametrize("damage", [b"", b"PK", b"no archive", "truncated"])
def test_a_damaged_file_is_replaced(tmp_path, damage):
  write(tmp_path)
  path = tmp_path / "per_image" / "fsrcnn_test.npz"
  if damage == "truncated":
    damage = path.read_bytes()[:-100]
  path.write_bytes(damage)
  assert write(tmp_path).keys() >= {"ssim"}


@pytest.mark.parametrize("classifies", [False, True])
def test_examples_hold_inputs_and_outputs(tmp_path, classifies):
  examples = arrays_lib.Examples(
    members=MEMBERS,
    steps=(8, 6),
    noise_variances=np.array([0.0, 1e-2, 1e-3]),
    positions=np.array([7, 9]),
    labels=np.array([0, 1]),
    high_res=np.full((2, 4, 4, 1), 0.5, np.float32),
    low_res=np.full((3, 2, 2, 2, 1), 0.25, np.float32),
    super_res=np.full((2, 3, 2, 4, 4, 1), 0.75),
    predicted=np.ones((2, 3, 2), np.int32) if classifies else None,
  )
  arrays_lib.write_examples(tmp_path, examples, method="wdsr")
  arrays = load(tmp_path / "examples" / "wdsr.npz")
  assert arrays.keys() - {"predicted"} == {
    "members_seed", "members_l2", "members_loss_weight", "step",
    "batch_norm", "noise_variances", "positions", "labels", "high_res",
    "low_res", "super_res",
  }  # fmt: skip
  assert ("predicted" in arrays) == classifies
  assert arrays["super_res"].dtype == np.float32
  if classifies:
    assert arrays["predicted"].dtype == np.int64
  found = arrays_lib.read_examples(tmp_path, "wdsr")
  assert (found.members, found.steps) == (MEMBERS, (8, 6))
  for name in ("positions", "labels", "high_res", "low_res", "super_res"):
    np.testing.assert_array_equal(getattr(found, name), getattr(examples, name))
  assert (found.predicted is not None) == classifies


def test_scores_are_read_as_they_were_written(tmp_path):
  write(tmp_path)
  found = read(tmp_path)
  assert (found.members, found.steps) == (MEMBERS, (8, 6))
  assert found.scores.keys() == {"ssim", "accuracy"}
  np.testing.assert_array_equal(found.scores["ssim"], SCORES["ssim"])
  assert found.level(1e-3 * (1 + 1e-9)) == 1
  assert found.level(2e-3) is None


def test_a_missing_file_is_none_and_a_damaged_one_an_error(tmp_path):
  assert arrays_lib.read_examples(tmp_path, "fsrcnn") is None
  assert read(tmp_path) is None
  path = arrays_lib.examples_path(tmp_path, "fsrcnn")
  path.parent.mkdir()
  path.write_bytes(b"PK\x03\x04 half a file")
  with pytest.raises(errors.UserError, match=r"fsrcnn.npz cannot be read"):
    arrays_lib.read_examples(tmp_path, "fsrcnn")


@pytest.mark.parametrize(
  ("change", "expected"),
  [
    ({"step": None}, "no array 'step'"),
    ({"members_seed": None}, "no array 'members_seed'"),
    ({"members_seed": np.array([3])}, "shorter|longer"),
    ({"ssim": np.zeros((2, 3, 3))}, "ssim has the shape"),
    ({"ssim": np.zeros((1, 2, 3))}, "ssim has the shape"),
    ({"noise_variances": np.zeros(1)}, "has the shape"),
    ({"noise_variances": np.array([0, np.nan])}, "noise_variances is nan"),
    ({"noise_variances": np.array([0, -1.0])}, "which is negative"),
    ({"step": np.array([8, -1])}, "step is -1, which is negative"),
    ({"step": np.array([8.0, 1.5])}, "step is 1.5, not of type int"),
    ({"step": np.array([8.0, np.nan])}, "step is nan"),
    ({"members_seed": np.array([3, -2])}, "seed is -2, which is negative"),
    ({"members_seed": np.array([3, 0.5])}, "seed is 0.5, not of type int"),
    ({"members_seed": np.array([3, np.nan])}, "seed is nan"),
    ({"members_l2": np.array([0.01, np.inf])}, "l2 is inf"),
    (
      {"members_loss_weight": np.array([-1.0, np.nan])},
      "weight is -1.0, which",
    ),
  ],
)
def test_arrays_that_do_not_match_each_other(tmp_path, change, expected):
  arrays = {**write(tmp_path), **change}
  path = arrays_lib.per_image_path(tmp_path, "fsrcnn", "test")
  kept = {name: x for name, x in arrays.items() if x is not None}
  np.savez(path, **kept)
  with pytest.raises(errors.UserError, match=expected) as caught:
    read(tmp_path)
  assert "fsrcnn_test.npz is damaged" in str(caught.value)


@pytest.mark.parametrize(
  ("seed", "l2", "loss_weight", "expected"),
  [
    (3, 0.01, 0.5, 0),
    (3, 0.01, 0.5000001, 0),
    (4, 0.0, None, 1),
    (3, 0.01, None, None),
    (3, 0.0, 0.5, None),
    (3, None, 0.5, None),
    (5, 0.01, 0.5, None),
  ],
)
def test_place_of_a_member(tmp_path, seed, l2, loss_weight, expected):
  write(tmp_path)
  member = rows_lib.Member(seed=seed, l2=l2, loss_weight=loss_weight)
  assert read(tmp_path).place(member) == expected


def test_whole_numbers_may_be_floats(tmp_path):
  arrays = write(tmp_path)
  for name in ("step", "members_seed"):
    arrays[name] = arrays[name].astype(np.float32)
  np.savez(arrays_lib.per_image_path(tmp_path, "fsrcnn", "test"), **arrays)
  found = read(tmp_path)
  assert (found.members, found.steps) == (MEMBERS, (8, 6))


def test_place_of_a_member_in_a_file_without_l2(tmp_path):
  arrays = write(tmp_path)
  del arrays["members_l2"]
  np.savez(arrays_lib.per_image_path(tmp_path, "fsrcnn", "test"), **arrays)
  found = read(tmp_path)
  assert found.place(rows_lib.Member(seed=3, loss_weight=0.5)) == 0
  assert found.place(rows_lib.Member(seed=3, l2=0.01, loss_weight=0.5)) is None


def test_an_untrained_method_has_a_place(tmp_path):
  write(tmp_path, members=(rows_lib.Member(),), steps=(0,), scores={})
  assert read(tmp_path).place(rows_lib.Member()) == 0


@pytest.mark.parametrize(
  "change",
  [
    lambda arrays: None,
    lambda arrays: {"a": np.zeros(3)},
    lambda arrays: arrays | {"step": np.array(8)},
    lambda arrays: arrays | {"step": np.array(["8", "6"])},
    lambda arrays: arrays | {"noise_variances": np.zeros((2, 1))},
    lambda arrays: arrays | {"noise_variances": np.array(["0", "1"])},
    lambda arrays: arrays | {"members_l2": np.array(["a", "b"])},
    lambda arrays: arrays | {"ssim": np.zeros(())},
  ],
)
def test_a_file_that_is_another_is_named_and_written_again(
  tmp_path, capsys, change
):
  expected = write(tmp_path)
  path = tmp_path / "per_image" / "fsrcnn_test.npz"
  changed = change(expected)
  with path.open("wb") as file:
    if changed is None:
      np.save(file, np.zeros(3))
    else:
      np.savez(file, **changed)
  capsys.readouterr()
  found = write(tmp_path)
  assert found.keys() == expected.keys()
  np.testing.assert_array_equal(found["ssim"], expected["ssim"])
  assert str(path) in capsys.readouterr().err


def test_arrays_of_other_types_are_not_joined(tmp_path):
  """What is left of another program's file costs no evaluation."""
  arrays = write(tmp_path)
  path = tmp_path / "per_image" / "fsrcnn_test.npz"
  np.savez(path, **(arrays | {"ssim": arrays["ssim"].astype(str)}))
  found = write(tmp_path, levels=(1e-3, 1e-4))
  np.testing.assert_array_equal(found["noise_variances"], [1e-3, 1e-4])
