"""Which images of a folder are found, in which class and split."""

import pathlib

import pytest
from PIL import Image

from sr2_jax.data import image_tree


@pytest.fixture
def make(tmp_path):
  """Makes files of these paths: images, or empty files with other suffixes."""

  def make(*names):
    for name in names:
      path = tmp_path / name
      path.parent.mkdir(parents=True, exist_ok=True)
      if path.suffix == ".png":
        Image.new("L", (6, 5)).save(path)
      else:
        path.write_bytes(b"")
    return tmp_path

  return make


def found(root, **options):
  tree = image_tree.find(root, **options)
  assert tree.problems == ()
  return [
    (x.path.relative_to(root).as_posix(), x.label, x.split) for x in tree.images
  ]


def problem_of(root):
  (problem,) = image_tree.find(root).problems
  assert len(problem.splitlines()) <= 2
  return problem


def test_classes_in_order_of_names(make):
  root = make("cat/10.png", "cat/2.png", "ant/z.png")
  assert found(root) == [
    ("ant/z.png", "ant", None),
    ("cat/10.png", "cat", None),
    ("cat/2.png", "cat", None),
  ]
  assert image_tree.find(root).notes == ()


def test_a_flat_folder_has_no_classes(make):
  root = make("2.png", "1.png")
  assert found(root) == [("1.png", None, None), ("2.png", None, None)]


def test_one_class_is_a_class(make):
  assert found(make("cat/1.png")) == [("cat/1.png", "cat", None)]


@pytest.mark.parametrize(
  "name", ["validation", "valid", "val", "dev", "Val", "VALIDATION"]
)
def test_splits_have_several_names_in_any_case(make, name):
  root = make("Train/a/1.png", f"{name}/a/2.png", "TEST/a/3.png")
  assert found(root) == [
    ("Train/a/1.png", "a", "train"),
    (f"{name}/a/2.png", "a", "validation"),
    ("TEST/a/3.png", "a", "test"),
  ]


def test_more_names_of_splits(make):
  root = make("training/a/1.png", "testing/a/2.png")
  assert [split for _, _, split in found(root)] == ["train", "test"]


def test_splits_without_one_for_training_are_refused(make):
  problem = problem_of(make("val/1.png", "test/2.png"))
  assert "has test/ and val/, but no train/" in problem


def test_a_class_may_have_the_name_of_a_split(make):
  root = make("test/1.png", "bus/2.png")
  assert [label for _, label, _ in found(root)] == ["bus", "test"]
  assert len(found(make("test/3.png", "dev/4.png"))) == 4


@pytest.mark.parametrize("other", ["val", "test"])
def test_two_splits_are_splits_and_others_are_not_read(make, other):
  root = make("train/1.png", f"{other}/2.png", "unused/3.png", "README.md")
  assert [name for name, _, _ in found(root)] == [
    "train/1.png",
    f"{other}/2.png",
  ]
  notes = image_tree.find(root).notes
  assert notes[0] == "not read: unused beside train"
  assert "README.md" in notes[1]


def test_train_alone_is_a_split_but_beside_a_bus_a_class(make):
  root = make("train/a/1.png")
  assert found(root) == [("train/a/1.png", "a", "train")]
  root = make("bus/1.png")
  (root / "train/a/1.png").rename(root / "train/1.png")
  (root / "train/a").rmdir()
  assert found(root) == [
    ("bus/1.png", "bus", None),
    ("train/1.png", "train", None),
  ]


def test_two_folders_of_one_split_are_named(make):
  root = make("train/1.png", "val/2.png", "dev/3.png")
  assert "dev and " in problem_of(root)
  assert "are both validation" in problem_of(root)


def test_splits_are_arranged_alike(make):
  root = make("train/a/1.png", "test/2.png")
  assert "class folders in train, but none in test" in problem_of(root)


def test_what_systems_leave_behind_is_left_out_and_counted(make):
  root = make(
    ".DS_Store", "__MACOSX/a/._1.png", "a/1.png", "a/Thumbs.db", "a/._1.png",
    "a/@eaDir/1.png", "b/desktop.ini", "b/2.png", ".git/x.png",
  )  # fmt: skip
  assert [name for name, _, _ in found(root)] == ["a/1.png", "b/2.png"]
  (note,) = image_tree.find(root).notes
  assert note.startswith("left out 7 files (")
  assert ".DS_Store" in note
  assert "and 2 more" in note


def test_pages_beside_the_images_are_left_out_and_counted(make):
  root = make("README.md", "labels.csv", "a/1.png", "b/1.png")
  (note,) = image_tree.find(root).notes
  assert note.startswith("left out 2 files (README.md, labels.csv)")


def test_no_file_of_a_class_is_left_out(make):
  """It may be an image, of a kind that is read by its content alone."""
  root = make("a/1.png", "a/photo.heic")
  assert len(found(root)) == 2


def test_images_beside_classes(make):
  problem = problem_of(make("a/1.png", "2.png", "3.png"))
  assert problem.startswith("2 images beside class folders such as ")
  assert "2.png" in problem


def test_folders_within_classes(make):
  problem = problem_of(make("a/1.png", "a/x/2.png", "b/y/3.png"))
  assert problem.startswith("2 folders within class folders: ")
  assert "b/y" in problem


def test_class_without_images(make):
  root = make("a/1.png")
  (root / "c").mkdir()
  (root / "d").mkdir()
  assert problem_of(root).startswith("2 class folders without images: ")
  assert "/c, " in problem_of(root)


def test_nothing_at_all(make, tmp_path):
  assert "has no images: expected <path>/<class>/*.png" in problem_of(tmp_path)
  assert "has no images" in problem_of(make("notes.txt"))
  assert r"No such file" in problem_of(tmp_path / "nowhere")


# As most systems write them, and as macOS does: in two characters each.
ONE, TWO = "Zürich/é", "Zu\u0308rich/e\u0301"


def test_a_class_is_one_however_its_accents_are_written(make):
  root = make("train/Zürich/1.png", "train/z/1.png", "test/Zu\u0308rich/1.png",
              "train/Zu\u0308rich/0.png")  # fmt: skip
  assert [(x.path.name, x.label, x.split) for x in image_tree.find(root).images
  ] == [
    ("0.png", "Zürich", "train"), ("1.png", "Zürich", "train"),
    ("1.png", "z", "train"), ("1.png", "Zürich", "test"),
  ]  # fmt: skip


@pytest.mark.parametrize("names", [("ab", "é", "z"), ("ab", "e\u0301", "z")])
def test_the_order_is_the_same_however_accents_are_written(make, names):
  root = make(*(f"{name}/{name}.png" for name in names))
  assert [x.label for x in image_tree.find(root).images] == ["ab", "z", "é"]


def labeled(root, labels):
  tree = image_tree.find_labeled(root, labels, source="labels.csv")
  assert tree.problems == ()
  return [
    (x.path.relative_to(root).as_posix(), x.label, x.split) for x in tree.images
  ], tree.notes


def test_a_table_says_the_classes(make):
  root = make("x/1.png", "x/2.png", "3.png", "x/._1.png")
  images, notes = labeled(root, {"x/1.png": "cat", "3.png": "dog"})
  assert images == [("3.png", "dog", None), ("x/1.png", "cat", None)]
  assert notes == ("left out 1 image not in labels.csv",)


@pytest.mark.parametrize(("there", "named"), [(ONE, TWO), (TWO, ONE)])
def test_a_table_may_write_accents_otherwise(make, there, named):
  root = make(f"{there}.png", "2.png")
  images, notes = labeled(root, {f"{named}.png": "cat", "2.png": "dog"})
  assert dict(x[:2] for x in images) == {f"{there}.png": "cat", "2.png": "dog"}
  assert not notes
  both = {f"{named}.png": "cat", f"{there}.png": "dog"}
  tree = image_tree.find_labeled(root, both, source="labels.csv")
  assert "1 file with two labels, under names that " in tree.problems[0]
  # Two files that differ in nothing else are two.
  make(f"{named}.png")
  assert len(labeled(root, both)[0]) == 2


def test_a_table_has_splits_where_the_folder_has(make):
  root = make("train/1.png", "Test/2.png", "other/3.png")
  images, _ = labeled(root, {"train/1.png": "a", "Test/2.png": "a"})
  assert [split for _, _, split in images] == ["test", "train"]
  outside = {"train/1.png": "a", "other/3.png": "a"}
  tree = image_tree.find_labeled(root, outside, source="labels.csv")
  assert "1 file outside train/ and Test/" in tree.problems[0]


def test_files_of_a_table_that_are_missing_are_counted(make):
  labels = dict.fromkeys([f"{n}.png" for n in range(9)], "a")
  tree = image_tree.find_labeled(
    make("1.png", "2.png"), labels, source="labels.csv"
  )
  assert "7 files of 9 are not in " in tree.problems[0]
  assert "6.png and 2 more" in tree.problems[0]
  assert [x.path.name for x in tree.images] == ["1.png", "2.png"]


def test_all_that_is_wrong_is_told_and_every_image_found(make):
  root = make("train/a/1.png", "train/2.png", "val/3.png", "dev/b/c/4.png")
  (root / "train/a/.hidden").mkdir()
  (root / "train/a/1.png").with_name("5.png").symlink_to("1.png")
  tree = image_tree.find(root)
  starts = [problem.split(":")[0] for problem in tree.problems]
  assert starts[0].endswith("are both validation")
  assert starts[1].startswith("1 image beside class folders")
  assert starts[2].startswith("1 folder within class folders")
  assert (
    starts[3].endswith("but none in train") or "arrange" in tree.problems[3]
  )
  names = [x.path.relative_to(root).as_posix() for x in tree.images]
  assert names == [
    "train/2.png", "train/a/1.png", "train/a/5.png", "dev/b/c/4.png",
    "val/3.png",
  ]  # fmt: skip


def test_a_folder_that_leads_back_to_itself_ends(make):
  root = make("a/1.png", "a/deep/2.png")
  (root / "a/deep/again").symlink_to(root)
  assert len(image_tree.find(root).images) == 2


def test_a_folder_that_may_only_be_listed(make, monkeypatch):
  """Its names can be read, but not whether they are folders."""
  root = make("a/1.png", "b/2.png")
  is_dir = pathlib.Path.is_dir

  def refusing(path):
    if path.name == "2.png":
      raise PermissionError(13, "Permission denied")
    return is_dir(path)

  monkeypatch.setattr(pathlib.Path, "is_dir", refusing)
  tree = image_tree.find(root)
  assert [listed.path.name for listed in tree.images] == ["1.png"]
  (problem,) = tree.problems
  assert f"cannot read the folder {root / 'b'} (Permission denied)" in problem


def test_a_table_with_a_name_that_is_too_long(make):
  root = make("1.png")
  name = "x" * 300
  tree = image_tree.find_labeled(
    root, {"1.png": "a", name: "b"}, source="labels.csv"
  )
  assert [listed.path.name for listed in tree.images] == ["1.png"]
  assert "1 file of 2 is not in" in tree.problems[0]
