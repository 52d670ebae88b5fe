"""A user's own images: from fields to classes, splits and notes."""

import numpy as np
import pytest
from PIL import Image

from experiments import default
from sr2_jax import errors
from sr2_jax.data import duplicates, own_images, pairs


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


def test_accents_may_be_written_in_two_ways(write_images, tmp_path):
  one, two = "Zürich", "Zu\u0308rich"
  for name in (f"train/{one}", f"test/{two}"):
    write_images(name, 10)
  root = write_images("train/z", 10)
  for choice in ("", f"{two},z", f"{one},z"):
    own = load(root, classes=choice)
    assert own.class_names == (one, "z")
    assert np.bincount(own.labels).tolist() == [20, 10]
  table = tmp_path / "labels.csv"
  table.write_text(f"file,label\nz/0000.png,{one}\nz/0001.png,{two}\n")
  assert load(root / "train", labels=str(table)).class_names == (one,)


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


@pytest.fixture
def pairs_of_files(tmp_path):
  """Six pairs of two classes at x2, in several formats."""
  random = np.random.default_rng(0)
  for index in range(6):
    name = f"{'ab'[index % 2]}/{index}"
    for kind, size in (("high", (14, 12)), ("low", (7, 6))):
      deep = kind == "low" and index == 3
      color = kind == "low" and index == 2
      pixels = random.integers(0, 256, (*size, *(3,) * color), np.uint8)
      suffix = "tif" if deep else "jpg" if color else "png"
      path = tmp_path / kind / f"{name}.{suffix}"
      path.parent.mkdir(parents=True, exist_ok=True)
      image = pixels.astype(np.uint16) * 257 if deep else pixels
      Image.fromarray(image).save(path)
  return tmp_path


def load_pairs(root, **fields):
  return load(
    root / "high",
    low_res_path=str(root / "low"),
    validation_fraction=0.3,
    needs={"multiple_of": 2},
    **fields,
  )


def test_pairs_are_read_alike_and_cut_where_pixels_correspond(pairs_of_files):
  own = load_pairs(pairs_of_files, size="8x8", fit="crop")
  assert own.pair_scale == 2
  assert own.class_names == ("a", "b")
  assert own.images.dtype == np.uint16  # Of one small file.
  high_res, low_res = pairs.unpacked(own.images, 2)
  assert high_res.shape == (6, 8, 8, 3)  # Colors of another one.
  files = sorted((pairs_of_files / "high").glob("*/*.png"))
  for index, path in enumerate(files):
    large = np.asarray(Image.open(path))[2:10, 2:10].astype(np.uint16) * 257
    np.testing.assert_array_equal(high_res[index], np.stack([large] * 3, -1))
    (small,) = (pairs_of_files / "low" / path.parent.name).glob(
      f"{path.stem}.*"
    )
    pixels = np.asarray(Image.open(small))[1:5, 1:5].astype(np.uint16)
    if small.suffix == ".png":
      np.testing.assert_array_equal(
        low_res[index], np.stack([pixels * 257] * 3, -1)
      )
    if small.suffix == ".tif":
      np.testing.assert_array_equal(low_res[index, ..., 0], pixels)
  notes = " ".join(own.notes)
  assert "max_rotation are not used" in notes
  assert "12 of 12 images: cut to the middle" in notes
  assert "1 of 12 images: stored in color, which makes all" in notes
  assert "1 of 12 images: of 16 bits, which makes all" in notes


def test_a_changed_small_image_changes_the_data_alone(pairs_of_files):
  """Duplicates are those of large images; digests know both."""
  before = load_pairs(pairs_of_files)
  path = pairs_of_files / "low/a/0.png"
  Image.fromarray(np.asarray(Image.open(path)) // 2).save(path)
  after = load_pairs(pairs_of_files)
  changed = (before.digests != after.digests).any(axis=1)
  np.testing.assert_array_equal(changed, np.arange(6) == 0)
  half = duplicates.DIGEST_BYTES
  np.testing.assert_array_equal(
    before.digests[:, :half], after.digests[:, :half]
  )
  own_parts = {i: split for split, x in after.parts.items() for i in x}
  files = sorted((pairs_of_files / "high").glob("*/*.png"))
  other = next(i for i in range(6) if own_parts[i] != own_parts[0])
  files[other].write_bytes(files[0].read_bytes())
  with pytest.raises(errors.UserError, match="in two splits"):
    load_pairs(pairs_of_files)


def test_wrong_pairs_are_named(pairs_of_files):
  path = pairs_of_files / "low/b/1.png"
  content = path.read_bytes()
  path.write_text("text")
  with pytest.raises(errors.UserError, match=r"low/b/1\.png: cannot be read"):
    load_pairs(pairs_of_files)
  Image.new("L", (5, 7)).save(path)
  with pytest.raises(errors.UserError) as caught:
    load_pairs(pairs_of_files)
  assert "high/b/1.png (14x12) and " in str(caught.value)
  assert "low/b/1.png (7x5): not 2 times as large" in str(caught.value)
  path.unlink()
  with pytest.raises(errors.UserError, match="1 of 6 images have no low-res"):
    load_pairs(pairs_of_files)
  path.with_suffix(".gif").write_bytes(content)
  assert load_pairs(pairs_of_files).pair_scale == 2
