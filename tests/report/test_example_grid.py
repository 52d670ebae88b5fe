import dataclasses

import numpy as np
import pytest

from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import example_grid

VARIANCES = (0.0, 1e-3)
# Two images of each class; of class 1 the first one is the split's first.
POSITIONS, LABELS = (0, 2, 5, 7), (1, 0, 0, 1)
JOINT = tuple(
  rows_lib.Member(seed=seed, l2=0.01, loss_weight=weight)
  for seed in (0, 1)
  for weight in (0.11, 9.0)
)
# The first seed of the others is the second here.
TRUNKS = tuple(rows_lib.Member(seed=seed, l2=0.01) for seed in (1, 0))
CLASS_NAMES = ("a", "b")


def _examples(members, *, predicted=False, low_res=0.5):
  """Images that tell member, level and place by their values."""
  shape = (len(members), len(VARIANCES), len(POSITIONS))
  member, level, place = np.indices(shape)[..., None, None, None]
  large = np.ones((4, 4, 1), np.float32)
  return arrays_lib.Examples(
    members=tuple(members),
    steps=(3,) * len(members),
    noise_variances=np.array(VARIANCES),
    positions=np.array(POSITIONS),
    labels=np.array(LABELS),
    high_res=np.array(POSITIONS)[:, None, None, None] * large,
    low_res=np.full((*shape[1:], 2, 2, 1), low_res, np.float32),
    super_res=(100 * member + 10 * level + place) * large,
    predicted=np.tile(LABELS, (*shape[:2], 1)) if predicted else None,
  )


@pytest.fixture
def folder(tmp_path):
  """A run folder with examples of bicubic and of a joint network."""
  _write(tmp_path, "bicubic", [rows_lib.Member()])
  _write(tmp_path, "sr2_fsrcnn", JOINT, predicted=True)
  return tmp_path


def _write(folder, method, members, **settings):
  arrays_lib.write_examples(
    folder, _examples(members, **settings), method=method
  )


def _select(folder, baseline_folder=None, *, own=None):
  baselines = []
  if baseline_folder is not None:
    baselines = [example_grid.Baseline(baseline_folder, "fsrcnn")]
  return example_grid.select(
    own or _examples(JOINT, predicted=True),
    "sr2_fsrcnn",
    folder=folder,
    baselines=baselines,
    class_names=CLASS_NAMES,
  )


def test_of_many_classes_some_are_shown(folder, monkeypatch):
  """Evenly, where the split has its images class by class."""
  monkeypatch.setitem(globals(), "POSITIONS", tuple(range(0, 72, 2)))
  monkeypatch.setitem(globals(), "LABELS", tuple(range(36)))
  own = _examples(JOINT, predicted=True)
  grid, _ = example_grid.select(
    own, "sr2_fsrcnn", folder=folder, baselines=[],
    class_names=tuple(map(str, range(36))),
  )  # fmt: skip
  assert [*grid.labels] == [0, 7, 14, 21, 28, 35]


def test_the_first_image_of_each_class_is_shown(folder):
  """In the order of the split, by the first member at its noise."""
  grid, notes = _select(folder)
  assert notes == []
  assert [*grid.labels] == [1, 0]
  assert [*grid.high_res[:, 0, 0, 0]] == [0, 2]
  assert [*grid.noise_variances] == [*VARIANCES]
  assert list(grid.columns) == ["bicubic", "sr2_fsrcnn"]
  for images in grid.columns.values():
    np.testing.assert_array_equal(images[..., 0, 0, 0], [[0, 1], [10, 11]])
  assert list(grid.predictions) == ["sr2_fsrcnn"]
  np.testing.assert_array_equal(
    grid.predictions["sr2_fsrcnn"], [[1, 0], [1, 0]]
  )
  assert grid.class_names == CLASS_NAMES


@pytest.mark.parametrize("where", ["own", "init_from"])
def test_the_baseline_of_the_same_seed_is_shown(folder, where):
  baseline = folder if where == "own" else folder / "other"
  _write(baseline, "fsrcnn", TRUNKS)
  grid, notes = _select(folder, baseline)
  assert notes == []
  assert list(grid.columns) == ["bicubic", "fsrcnn", "sr2_fsrcnn"]
  # The second member is of seed 0.
  assert grid.columns["fsrcnn"][1, 1, 0, 0, 0] == 111


@pytest.mark.parametrize(
  ("l2s", "place"), [((0.1,), 0), ((0.1, 0.01), 1), ((0.1, 0.2), None)]
)
def test_the_baselines_l2_counts_only_if_there_are_several(folder, l2s, place):
  _write(folder, "fsrcnn", [rows_lib.Member(seed=0, l2=l2) for l2 in l2s])
  grid, notes = _select(folder, folder)
  if place is None:
    assert list(grid.columns) == ["bicubic", "sr2_fsrcnn"]
    assert len(notes) == 1
  else:
    assert grid.columns["fsrcnn"][0, 0, 0, 0, 0] == 100 * place
    assert notes == []


def test_the_released_srmd_is_shown_and_a_missing_baseline_noted(folder):
  _write(folder, "srmd", [rows_lib.Member()])
  grid, notes = _select(folder, folder)
  assert list(grid.columns) == ["bicubic", "srmd", "sr2_fsrcnn"]
  [note] = notes
  assert "no fsrcnn in the picture" in note


@pytest.mark.parametrize("fault", ["damaged", "something else", "other inputs"])
def test_what_cannot_be_shown_is_left_out(folder, fault):
  path = arrays_lib.examples_path(folder, "fsrcnn")
  if fault == "damaged":
    path.write_bytes(b"no archive")
  elif fault == "something else":
    np.savez(path, something=np.zeros(3))
  else:
    _write(folder, "fsrcnn", TRUNKS, low_res=0.6)
  grid, notes = _select(folder, folder)
  assert list(grid.columns) == ["bicubic", "sr2_fsrcnn"]
  assert "no fsrcnn in the picture" in notes[-1]


def test_rounding_of_another_machine_is_no_other_input(folder):
  own = _examples(JOINT, predicted=True)
  own = dataclasses.replace(own, low_res=own.low_res + 1e-6)
  grid, _ = _select(folder, own=own)
  assert "bicubic" in grid.columns


@pytest.mark.parametrize(
  ("variances", "expected"),
  [
    ((0.0,), (0.0,)),
    ((1e-2, 0.0), (0.0, 1e-2)),
    ((1e-3, 0.0, 1e-2), (0.0, 1e-3, 1e-2)),
    ((0.0, 1e-5, 1e-4, 1e-3, 1e-2), (0.0, 1e-4, 1e-2)),
  ],
)
def test_levels_shown_span_the_variances(variances, expected):
  chosen = example_grid.levels_shown(np.array(variances))
  np.testing.assert_array_equal(np.array(variances)[chosen], expected)


def test_without_classes_all_images_are_shown(folder):
  own = dataclasses.replace(_examples(JOINT), labels=np.zeros(4, int))
  grid, _ = _select(folder, own=own)
  np.testing.assert_array_equal(grid.high_res[:, 0, 0, 0], POSITIONS)
