"""Files of arrays: what is kept, and of which weights."""

import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.records import arrays as arrays_lib

MEMBERS = [
  {"seed": 3, "l2": 0.01, "loss_weight": 0.5, "step": 8},
  {"seed": 4, "l2": 0.0, "loss_weight": None, "step": 6},
]
SCORES = {
  "ssim": np.arange(12.0).reshape(2, 2, 3),
  "accuracy": np.ones((2, 2, 3)),
  "loss_sr": np.ones((2, 2, 3)),
}


def load(path):
  with np.load(path, allow_pickle=False) as arrays:
    return dict(arrays)


def write(folder, *, members=MEMBERS, scores=SCORES, levels=(0.0, 1e-3)):
  arrays_lib.write_per_image(
    folder,
    method="fsrcnn",
    split="test",
    members=members,
    noise_variances=levels,
    scores=scores,
  )
  return load(folder / "per_image" / "fsrcnn_test.npz")


def test_scores_are_kept_without_losses(tmp_path):
  arrays = write(tmp_path)
  assert arrays.keys() == {
    "members_seed", "members_l2", "members_loss_weight", "step",
    "noise_variances", "ssim", "accuracy",
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


def test_the_same_arrays_are_the_same_bytes(tmp_path):
  write(tmp_path)
  path = tmp_path / "per_image" / "fsrcnn_test.npz"
  before = path.read_bytes()
  write(tmp_path)
  assert path.read_bytes() == before


@pytest.mark.parametrize("step", [5, 8, 9])
def test_later_weights_and_the_same_again_replace_earlier_ones(tmp_path, step):
  write(tmp_path)
  members = [{**MEMBERS[0], "step": step}, MEMBERS[1]]
  again = write(tmp_path, members=members, scores={"ssim": SCORES["ssim"] + 1})
  changes = step >= 8
  assert again["ssim"][0, 0, 0] == changes
  assert again["step"][0] == (step if changes else 8)
  assert ("accuracy" in again) != changes


def test_other_levels_of_the_same_weights_are_added(tmp_path):
  """In order; a level measured anew replaces the old."""
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
  members, scores = MEMBERS, SCORES
  if other == "members":
    members = [{**MEMBERS[0], "seed": 5}, MEMBERS[1]]
  if other == "step":
    members = [{**MEMBERS[0], "step": 9}, MEMBERS[1]]
  if other == "images":
    scores = {name: value[..., :2] for name, value in SCORES.items()}
  if other == "metrics":
    scores = {"ssim": SCORES["ssim"]}
  new = write(tmp_path, members=members, scores=scores, levels=(1e-3, 1e-4))
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
    positions=np.array([7, 9]),
    labels=np.array([0, 1]),
    noise_variances=np.array([0.0, 1e-2, 1e-3]),
    high_res=np.full((2, 4, 4, 1), 0.5, np.float32),
    low_res=np.full((3, 2, 2, 2, 1), 0.25, np.float32),
  )
  predicted = np.ones((2, 3, 2), np.int32) if classifies else None
  arrays_lib.write_examples(
    tmp_path,
    method="wdsr",
    members=MEMBERS,
    examples=examples,
    super_res=np.full((2, 3, 2, 4, 4, 1), 0.75),
    predicted=predicted,
  )
  arrays = load(tmp_path / "examples" / "wdsr.npz")
  assert arrays.keys() - {"predicted"} == {
    "members_seed", "members_l2", "members_loss_weight", "step",
    "noise_variances", "positions", "labels", "high_res", "low_res",
    "super_res",
  }  # fmt: skip
  assert ("predicted" in arrays) == classifies
  assert arrays["super_res"].dtype == np.float32
  assert arrays["super_res"].shape == (2, 3, 2, 4, 4, 1)
  np.testing.assert_array_equal(arrays["positions"], [7, 9])
  np.testing.assert_array_equal(arrays["low_res"], examples.low_res)
  if classifies:
    assert arrays["predicted"].dtype == np.int64


def test_reading_a_file_that_is_not_there_or_damaged(tmp_path):
  path = arrays_lib.examples_path(tmp_path, "fsrcnn")
  assert arrays_lib.read(path) is None
  path.parent.mkdir()
  path.write_bytes(b"PK\x03\x04 half a file")
  with pytest.raises(errors.UserError, match=r"fsrcnn.npz cannot be read"):
    arrays_lib.read(path)


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
  arrays = write(tmp_path)
  found = arrays_lib.place_of(arrays, seed=seed, l2=l2, loss_weight=loss_weight)
  assert found == expected


def test_place_of_a_member_in_a_file_without_l2(tmp_path):
  arrays = write(tmp_path)
  del arrays["members_l2"]
  fields = {"seed": 3, "loss_weight": 0.5}
  assert arrays_lib.place_of(arrays, l2=None, **fields) == 0
  assert arrays_lib.place_of(arrays, l2=0.01, **fields) is None


def test_what_is_not_trained_has_a_place(tmp_path):
  arrays = write(
    tmp_path,
    members=[{"seed": None, "l2": None, "loss_weight": None, "step": 0}],
    scores={},
  )
  assert arrays_lib.place_of(arrays, seed=None, l2=None, loss_weight=None) == 0
