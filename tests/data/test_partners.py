"""Which low-resolution image belongs to which, and what is wrong with it."""

from pathlib import Path

import pytest

from sr2_jax.data import partners


@pytest.fixture
def write(tmp_path):
  """Writes empty files below tmp_path."""

  def write(*names):
    for name in names:
      path = tmp_path / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.touch()

  return write


def find(root, names):
  files = [root / "high" / name for name in names]
  return partners.find(root / "high", root / "low", files)


def test_names_are_alike_but_for_what_they_end_with(tmp_path, write):
  names = ["a/1.png", "a/scan.0001", "b/1.PNG", "b/2.tif", "b/scan"]
  write(*(f"high/{name}" for name in names))
  write("low/a/1.jpg", "low/b/1.png", "low/b/2.tif", "low/Thumbs.db")
  write("low/a/scan.0001.png", "low/b/scan")
  found = find(tmp_path, names)
  assert found.problems == ()
  assert found.files == {
    0: tmp_path / "low/a/1.jpg",
    1: tmp_path / "low/a/scan.0001.png",
    2: tmp_path / "low/b/1.png",
    3: tmp_path / "low/b/2.tif",
    4: tmp_path / "low/b/scan",
  }


def test_letters_may_be_written_as_macos_writes_them(tmp_path, write):
  """In two characters each; on some disks both spellings are one file."""
  one, two = "ü/é.png", "u\u0308/e\u0301.png"
  write(f"high/{one}", f"low/{two}")
  found = find(tmp_path, [one])
  assert found == ({0: tmp_path / "low" / two}, ())


def test_folders_of_classes_may_be_links(tmp_path, write):
  write("large/1.png", "large/2.png", "small/1.png", "small/2.png")
  for name in ("high", "low"):
    (tmp_path / name).mkdir()
  (tmp_path / "high/a").symlink_to(tmp_path / "large")
  (tmp_path / "low/a").symlink_to(tmp_path / "small")
  # Nobody asks for a/2.png.
  found = find(tmp_path, ["a/1.png"])
  assert found == ({0: tmp_path / "low/a/1.png"}, ())


def test_missing_partners_are_named_on_either_side(tmp_path, write):
  write("high/a/1.png", "high/a/2.png", "high/b/3.png")
  write("low/a/1.png", "low/b/3.png", "low/b/4.png")
  # Nobody asks for b/3.png, which has a partner that is left out with it.
  found = find(tmp_path, ["a/1.png", "a/2.png"])
  assert list(found.files) == [0]
  without, alone = found.problems
  assert "1 of 2 images have no low-resolution image" in without
  assert "high/a/2.png" in without
  assert "1 of 3 low-resolution images have no high-resolution" in alone
  assert "low/b/4.png" in alone


@pytest.mark.parametrize("side", ["high", "low"])
def test_two_candidates_are_an_error(tmp_path, write, side):
  write("high/a/1.png", "low/a/1.png", f"{side}/a/1.jpg")
  (problem,) = find(tmp_path, ["a/1.png"]).problems
  assert f"{side}/a/1.jpg and " in problem
  assert f"{side}/a/1.png: of one name" in problem


@pytest.mark.parametrize("side", ["high", "low"])
def test_a_folder_that_is_a_link_to_itself_has_no_images(tmp_path, write, side):
  write("high/1.png", "low/1.png")
  (tmp_path / side / "1.png").unlink()
  (tmp_path / side).rmdir()
  (tmp_path / side).symlink_to(side)
  found = find(tmp_path, ["1.png"])
  assert (found.files == {}) == (side == "low")


def test_one_folder_is_refused(tmp_path, write):
  write("high/a/1.png", "high/small/1.png")
  for folder in (tmp_path / "high", tmp_path / "high/small", tmp_path):
    (problem,) = partners.find(tmp_path / "high", folder, []).problems
    assert "are one folder, or one is in the other" in problem


def pairs_of(*sizes):
  return [
    partners.Pair(Path(f"h/{i}.png"), high, Path(f"l/{i}.png"), low)
    for i, (high, low) in enumerate(sizes)
  ]


def test_right_sizes_are_no_problem():
  assert partners.about_sizes([], 2) == []
  assert partners.about_sizes(pairs_of(((8, 6), (4, 3))), 2) == []


def test_swapped_folders_are_suspected():
  swapped = pairs_of(((4, 3), (8, 6)), ((2, 3), (4, 6)))
  (problem,) = partners.about_sizes(swapped, 2)
  assert "as of h/0.png (4x3) and l/0.png (8x6)." in problem
  assert problem.endswith("config.data.low_res_path swapped?")


def test_a_ratio_that_all_have_is_said():
  pairs = pairs_of(((8, 6), (4, 3)), ((16, 6), (8, 3)))
  (problem,) = partners.about_sizes(pairs, 4)
  assert "All 2 pairs have a ratio of 2, not config.degradation.scale=4" in (
    problem
  )
  assert "h/0.png (8x6) and l/0.png (4x3)" in problem
  assert problem.endswith("config.degradation.scale=2 takes them.")
  (problem,) = partners.about_sizes(pairs_of(((8, 6), (8, 6))), 4)
  assert "a ratio of 1" in problem
  assert "takes them" not in problem


def test_each_other_pair_is_named():
  pairs = pairs_of(
    ((8, 6), (4, 3)), ((8, 6), (4, 2)), ((9, 6), (4, 3)), ((4, 4), (8, 8))
  )
  problems = partners.about_sizes(pairs, 2)
  assert [problem.split(" ")[0] for problem in problems] == [
    "h/1.png", "h/2.png", "h/3.png",
  ]  # fmt: skip
  assert "h/1.png (8x6) and l/1.png (4x2): not 2 times as large" in problems[0]
