"""Files that are read and written, with every way that names can go wrong."""

import os
import pathlib

import pytest

from sr2_jax import errors
from sr2_jax.prediction import work_list


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name in (
    "in/2.png",
    "in/10.png",
    "in/B.JPG",
    "in/README",
    "in/.x.png",
    "in/deep/er/1.tif",
    "in/out/old_x4.png",
  ):
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)


def find(*arguments, recursive=False, skip="in/out"):
  return work_list.find(arguments, recursive=recursive, skip=pathlib.Path(skip))


def found_names(listing):
  return [str(image.path) for image in listing.images]


def jobs(listing, suffix="_x4", folder="out", **options):
  naming = work_list.Naming(
    folder=pathlib.Path(folder), suffix=suffix, **options
  )
  return work_list.jobs(listing.images, naming)


def output_names(listing, **options):
  return [str(job.output) for job in jobs(listing, **options)]


def test_a_folder_has_its_images_in_the_order_of_numbers():
  listing = find("in")
  assert found_names(listing) == ["in/2.png", "in/10.png", "in/B.JPG"]
  assert listing.num_ignored == 1
  assert output_names(listing) == [
    "out/2_x4.png", "out/10_x4.png", "out/B_x4.png"
  ]  # fmt: skip


def test_folders_in_a_folder_are_kept():
  listing = find("in", recursive=True)
  assert output_names(listing)[-1] == "out/deep/er/1_x4.png"
  # The outputs of before are no images.
  assert len(listing.images) == 4


def test_links_to_folders_are_followed_only_if_given():
  pathlib.Path("in/link").symlink_to("deep")
  assert len(find("in", recursive=True).images) == 4
  assert found_names(find("in/link", recursive=True)) == ["in/link/er/1.tif"]


def test_two_folders_keep_apart_what_has_one_name():
  pathlib.Path("other").mkdir()
  pathlib.Path("other/2.png").write_text("")
  assert output_names(find("in", "other"))[::3] == [
    "out/in/2_x4.png", "out/other/2_x4.png"
  ]  # fmt: skip


def test_patterns_and_files_and_none_twice():
  listing = find("in/*.png", "in/2.png", "in/**/*.tif")
  assert found_names(listing) == ["in/2.png", "in/10.png", "in/deep/er/1.tif"]
  assert output_names(listing)[-1] == "out/1_x4.png"
  # A name may look like a pattern.
  pathlib.Path("in/[1].png").write_text("")
  assert found_names(find("in/[1].png")) == ["in/[1].png"]


@pytest.mark.parametrize(
  ("argument", "problem"),
  [
    ("in/*.gif", r"in/\*.gif: there is no such"),
    ("nowhere.png", "nowhere.png: there is no such"),
    ("in/deep", r"No images in in/deep\.\n--recursive"),
    ("gs://bucket/a.png", "is a URL"),
    ("empty", r"No images in empty \(1 other files\)"),
  ],
)
def test_nothing_to_do_is_said(argument, problem):
  pathlib.Path("empty").mkdir()
  pathlib.Path("empty/README").write_text("")
  with pytest.raises(errors.UserError, match=problem):
    find(argument)


def test_a_dangling_link_and_odd_names_are_images():
  pathlib.Path("in/gone.png").symlink_to("nowhere")
  odd = os.fsdecode(b'in/a\n,"\xff.png')
  pathlib.Path(odd).write_text("")
  names = found_names(find("in"))
  assert {"in/gone.png", odd} <= set(names)
  assert found_names(find(odd)) == [odd]


def test_an_unreadable_folder_fails_alone(monkeypatch):
  def refuse(self, real=pathlib.Path.iterdir):
    if self.name == "deep":
      raise PermissionError(13, "Permission denied")
    return real(self)

  monkeypatch.setattr(pathlib.Path, "iterdir", refuse)
  listing = find("in", recursive=True)
  assert listing.failures == ((pathlib.Path("in/deep"), "Permission denied"),)
  assert len(listing.images) == 3


def test_names_that_collide_are_refused_with_a_way_out():
  pathlib.Path("in/2.jpg").write_text("")
  listing = find("in")
  with pytest.raises(errors.UserError, match=r"2\.jpg and .*2\.png.*\n.*{ext}"):
    jobs(listing)
  assert "out/2_jpg_x4.png" in output_names(listing, suffix="_{ext}_x4")


def test_all_files_of_an_image():
  [job] = jobs(find("in/2.png"), spread=True, side_by_side=True, kind="tiff")
  assert [path.name for path in job.outputs] == [
    "2_x4.tiff", "2_x4_std.png", "2_x4_std.npy", "2_x4_side.png"
  ]  # fmt: skip


def test_an_image_to_read_is_never_replaced():
  for arguments, options in (
    (["in/2.png"], {"folder": "in", "suffix": ""}),
    (["in/2.png", "in/2_x4.png"], {"folder": "in"}),
  ):
    pathlib.Path("in/2_x4.png").write_text("")
    with pytest.raises(errors.UserError, match=r"image to read.*\nChoose"):
      jobs(find(*arguments), **options)
  # The same file by another name.
  pathlib.Path("link").symlink_to("in")
  with pytest.raises(errors.UserError, match="image to read"):
    jobs(find("in/2.png"), folder="link", suffix="")


def test_outputs_of_before_in_the_same_folder_are_no_images():
  first = jobs(find("in"), folder="in")
  for job in first:
    job.output.write_text("")
  assert jobs(find("in"), folder="in") == first


def test_existing_files_are_listed():
  work_list.refuse_existing([])
  names = [pathlib.Path(f"{i}.png") for i in range(7)]
  with pytest.raises(errors.UserError) as caught:
    work_list.refuse_existing(names)
  assert "0.png, 1.png, 2.png, 3.png, 4.png and 2 more." in str(caught.value)
  assert "--skip-existing" in str(caught.value)
