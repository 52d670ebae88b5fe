"""A user's own images: from fields to classes, splits and notes."""

import numpy as np
import pytest
from PIL import Image

from experiments import default
from sr2_jax import errors
from sr2_jax.data import own_images


def load(root, *, needs=None, **fields):
  config = default.get_config().data
  config.update({"name": "folder", "path": str(root), **fields})
  return own_images.load(config, **(needs or {}))


def problem_of(root, **options):
  with pytest.raises(errors.UserError) as caught:
    load(root, **options)
  assert len(str(caught.value).splitlines()) <= 2
  return str(caught.value)


def counts(own):
  """Images of each class in each split."""
  size = max(1, len(own.class_names))
  return {
    split: np.bincount(own.labels[part], minlength=size).tolist()
    for split, part in own.parts.items()
  }


def test_a_folder_is_split_three_ways(write_images):
  write_images("ant", 20)
  own = load(write_images("bee", 10))
  assert own.class_names == ("ant", "bee")
  assert counts(own) == {
    "train": [12, 6],
    "validation": [4, 2],
    "test": [4, 2],
  }
  assert sorted(np.concatenate([*own.parts.values()])) == list(range(30))
  assert own.notes == (
    f"folder: {write_images('bee', 0)}",
    "validation and test split off by split_seed=0",
  )


def test_a_test_of_its_own_keeps_its_order(write_images):
  for name, count in (("train/a", 20), ("train/b", 10), ("test/a", 3)):
    root = write_images(name, count)
  own = load(write_images("test/b", 2))
  assert counts(own) == {"train": [16, 8], "validation": [4, 2], "test": [3, 2]}
  test = own.images[own.parts["test"]]
  expected = [
    np.asarray(Image.open(path)) for path in sorted(root.glob("test/*/*.png"))
  ]
  np.testing.assert_array_equal(test[..., 0], expected)


def test_a_validation_of_its_own_is_taken(write_images):
  write_images("train/a", 10)
  root = write_images("val/a", 3)
  assert counts(load(root)) == {"train": [8], "validation": [3], "test": [2]}
  assert "test split off by split_seed=0" in load(root).notes
  write_images("test/a", 4)
  assert len(load(root).notes) == 1
  assert counts(load(root)) == {"train": [10], "validation": [3], "test": [4]}


def test_classes_that_training_does_not_see_are_named(write_images):
  write_images("train/a", 5)
  root = write_images("test/a", 5)
  write_images("test/b", 5)
  problem = problem_of(root)
  assert "test has classes without images for training: b." in problem
  assert counts(load(root, classes="-b"))["test"] == [5]


def test_names_that_are_no_text_are_refused(write_images):
  """Before a run, which would fail at its first picture."""
  write_images("Zürich", 5)
  root = write_images("caf\udce9", 5)
  problem = problem_of(root)
  assert "Names of classes that are no UTF-8: 'caf\\udce9'." in problem
  assert load(root, classes="Zürich").class_names == ("Zürich",)


def test_rare_classes_are_noted(write_images):
  write_images("a", 20)
  write_images("b", 2)
  own = load(write_images("c", 2))
  assert own.notes[2:] == (
    "validation has no image of 2 of 3 classes: b, c",
    "test has no image of 2 of 3 classes: b, c",
  )


def test_without_classes_all_labels_are_zero(write_images):
  root = write_images(".", 10)
  own = load(root)
  assert own.class_names == ()
  assert counts(own) == {"train": [6], "validation": [2], "test": [2]}
  assert own.labels.dtype == np.int32
  assert "chooses among classes, but" in problem_of(root, classes="a")


@pytest.mark.parametrize(
  ("name", "reason"), [(".", "has no classes"), ("a", "has one class")]
)
def test_a_classifier_needs_two_classes(write_images, name, reason):
  root = write_images(name, 10)
  load(root, needs={"classifies": False})
  problem = problem_of(root, needs={"classifies": True})
  assert reason in problem
  assert "config.model.wiring=none" in problem


def test_labels_from_a_table(write_images, tmp_path):
  root = write_images("images", 10)
  rows = [f"{n:04}.png,{'cat' if n < 4 else 'dog'}" for n in range(9)]
  table = tmp_path / "labels.csv"
  table.write_text("\n".join(["file,label", *rows]))
  own = load(root / "images", labels=str(table))
  assert own.class_names == ("cat", "dog")
  assert own.labels.tolist() == [0] * 4 + [1] * 5
  assert f"left out 1 image not in {table}" in own.notes
  table.write_text("file,label\n0099.png,cat\n")
  assert "1 file of 1 is not in" in problem_of(
    root / "images", labels=str(table)
  )


def test_classes_are_joined_and_left_out(write_images):
  for name in ("car", "cat", "dog", "hare"):
    root = write_images(name, 10)
  own = load(root, classes="pet=cat+dog,-hare,*")
  assert own.class_names == ("car", "pet")
  assert np.bincount(own.labels).tolist() == [10, 20]
  assert "left out 10 images by config.data.classes" in own.notes
  # The sides of images that are left out do not matter.
  write_images("odd", 1, size=(9, 9))
  load(root, classes="-odd")


def test_sizes_and_the_scale(write_images):
  root = write_images("a", 5, size=(9, 7))
  assert load(root).images.shape[1:3] == (9, 7)
  cut = load(root, fit="crop", needs={"multiple_of": 4})
  assert cut.images.shape[1:3] == (8, 4)
  sized = load(root, fit="pad", size="10x8", needs={"multiple_of": 4})
  assert sized.images.shape[1:3] == (10, 8)


def test_path_is_needed():
  assert "config.data.path is empty" in problem_of("")


def test_duplicates_across_splits_are_refused(write_images, tmp_path):
  write_images("train/a", 10)
  root = write_images("test/a", 2)
  image = (tmp_path / "train/a/0003.png").read_bytes()
  (tmp_path / "test/a/0001.png").write_bytes(image)
  problem = problem_of(root)
  assert problem.startswith("1 image is in two splits: ")
  assert "train/a/0003.png = " in problem
  assert counts(load(root, duplicates="allow"))["test"] == [2]
