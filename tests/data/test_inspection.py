"""What a folder of images holds; tests/training/test_check.py has problems."""

import ml_collections
import numpy as np
import pytest
from PIL import Image

from experiments import default
from sr2_jax.data import inspection, own_images


@pytest.fixture
def folder(tmp_path):
  """Two gray images and one in color, of two classes and sizes."""
  for name, size, mode in (
    ("a/1.png", (6, 4), "L"), ("a/2.png", (6, 4), "RGB"),
    ("b/3.png", (5, 4), "L"),
  ):  # fmt: skip
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    Image.new(mode, size).save(path)
  (tmp_path / "b/bad.png").write_text("text")
  return tmp_path


@pytest.fixture
def plan(folder):
  config = default.get_config().data
  config.update(ml_collections.ConfigDict({"path": str(folder)}))
  return own_images.plan(config)


def test_every_file_is_looked_at(plan):
  seen = inspection.examine(plan)
  assert [one.header and one.header.size for one in seen] == [
    (4, 6), (4, 6), (4, 5), None,
  ]  # fmt: skip
  assert [one.header.is_color for one in seen[:3]] == [False, True, False]
  # Black images of one shape are equal, in color or not.
  assert seen[0].digest == seen[1].digest != seen[2].digest
  assert seen[3].digest == b""
  assert "bad.png: cannot be read as an image" in seen[3].problem
  assert inspection.seen_well(seen) == [0, 1, 2]
  assert inspection.size_of(plan, seen) == (4, 6)
  assert inspection.size_of(plan, seen[3:]) is None


def test_a_description_counts(plan):
  seen = inspection.examine(plan)
  lines = inspection.described(plan, seen, {}, title="photos")
  assert lines[0] == "photos: 4 images, 2 classes"
  counts = {line.split()[0]: line.split()[1:] for line in lines[1:4]}
  for label, name in enumerate(plan.class_names):
    splits = ("train", "validation", "test")
    assert counts[name] == [
      str(np.sum(plan.labels[plan.parts[split]] == label)) for split in splits
    ]
  assert lines[4:6] == [
    "sizes: 4x6 (2), 4x5 (1)",
    "stored as: gray of 8 bits (2), color of 8 bits (1)",
  ]
  assert "1 of 4 images: stored in color" in lines[6]


def test_equal_images_matter_across_splits_alone(plan):
  seen = inspection.examine(plan)
  apart = {"train": np.array([0, 2]), "validation": np.array([1])}
  apart["test"] = np.array([3])
  together = {**apart, "train": np.array([0, 1]), "validation": np.array([2])}
  told = {}
  for name, parts in (("apart", apart), ("together", together)):
    problems = inspection.problems_of(plan._replace(parts=parts), seen, {})
    told[name] = [x for x in problems if "equal, but in two splits" in x]
  assert len(told["apart"]) == 1
  assert "a/1.png and " in told["apart"][0]
  assert told["together"] == []


def test_low_resolution_images_are_looked_at(folder, plan, tmp_path_factory):
  small = tmp_path_factory.mktemp("small")
  (small / "a").mkdir()
  Image.new("L", (3, 2)).save(small / "a/1.png")
  (small / "a/2.png").write_text("text")
  plan = plan._replace(
    low_res={0: small / "a/1.png", 1: small / "a/2.png"},
    form=plan.form._replace(multiple_of=2),
  )
  seen = inspection.examine(plan)
  low_res = inspection.examine_low_res(plan, seen)
  assert low_res[0].header.size == (2, 3)
  assert low_res[1].header is None
  problems = inspection.problems_of(plan, seen, low_res)
  assert any("a/2.png: cannot be read as an image" in x for x in problems)
  assert not any("ratio" in problem for problem in problems)
  lines = inspection.described(plan, seen, low_res, title="photos")
  assert "low-resolution sizes: 2x3 (1)" in lines
  assert "stored as: gray of 8 bits (3), color of 8 bits (1)" in lines

  plan = plan._replace(form=plan.form._replace(multiple_of=4))
  problems = inspection.problems_of(plan, seen, low_res)
  assert any(
    "ratio of 2, not config.degradation.scale=4" in x for x in problems
  )


@pytest.mark.parametrize("size", ["", "12x12"])
def test_images_of_pairs_are_cut_as_a_run_cuts_them(
  tmp_path, monkeypatch, size
):
  """Otherwise the check finds other duplicates than the run."""
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(tmp_path / "cache"))
  random = np.random.default_rng(0)
  for number in range(9):
    for name, sides in (("high", (20, 24)), ("low", (5, 6))):
      path = tmp_path / name / f"a/{number}.png"
      path.parent.mkdir(parents=True, exist_ok=True)
      Image.fromarray(random.integers(0, 256, sides, np.uint8)).save(path)
  config = default.get_config().data
  config.update(
    ml_collections.ConfigDict(
      {
        "path": str(tmp_path / "high"),
        "low_res_path": str(tmp_path / "low"),
        "size": size,
        "fit": "crop",
        "validation_fraction": 0.3,
      }
    )
  )
  plan = own_images.plan(config, multiple_of=4)
  seen = inspection.examine(plan)
  low_res = inspection.examine_low_res(plan, seen)
  of_run = own_images.load(config, multiple_of=4)
  assert [
    one.digest + low_res[place].digest for place, one in enumerate(seen)
  ] == [digests.tobytes() for digests in of_run.digests]
  # So do the notes.
  cut = "18 of 18 images: cut to the middle"
  lines = inspection.described(plan, seen, low_res, title="photos")
  assert (f"note: {cut}" in lines) == (cut in of_run.notes) == bool(size)
