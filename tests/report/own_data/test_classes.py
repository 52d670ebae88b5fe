"""The page's part on the classes of own images."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.own_data import classes, sections
from sr2_jax.report.paper import measurements as measurements_lib
from tests.report.own_data import worlds

LABELS = np.repeat(np.arange(10), (10, 2, *[0] * 8))


@pytest.fixture
def world(tmp_path):
  """Runs with classes A and B, ten and two images; others have none."""
  worlds.write(tmp_path)
  predicted = np.tile(LABELS, (3, len(worlds.LEVELS), 1))
  predicted[0, 0, -1] = 7  # A B that one of three seeds reads as H.
  predicted[:, 1, :5] = 1
  per_image = arrays_lib.PerImage(
    members=tuple(
      rows_lib.Member(seed=seed, l2=0.01, loss_weight=0.1) for seed in range(3)
    ),
    steps=(10**9,) * 3,
    noise_variances=np.array(worlds.LEVELS),
    scores={"accuracy": (predicted == LABELS).astype(np.float32)},
    labels=LABELS,
    predicted=predicted,
  )
  arrays_lib.write_per_image(
    tmp_path / "own", per_image, method="sr2_fsrcnn", split="test"
  )
  return tmp_path


def section_of(folder):
  measured = measurements_lib.read(folder, split="test")
  return classes.section(measured.rows, "plates_x4", split="test")


def test_a_picture_for_each_level_and_a_table(world):
  figure, details = section_of(world)
  assert [picture.stem for picture in figure.pictures] == [
    "confusion_sr2_fsrcnn_plates_x4_0", "confusion_sr2_fsrcnn_plates_x4_1",
  ]  # fmt: skip
  assert "SR² FSRCNN, 3 seeds together" in figure.caption
  text = blocks_lib.markdown([details])
  for line in (
    "| Class | Images | Accuracy, σ² = 0 | Accuracy, σ² = 10⁻³ | Most often "
    "mistaken for, σ² = 0 |",
    "| A | 10 | 1.000 | 0.500 | — |",
    "| B | 2 | 0.833 | 1.000 | H (17%) |",
    "| C | 0 | — | — | — |",
  ):
    assert line in text


def test_many_classes_have_a_table_and_no_picture(world):
  path = world / "own/config.json"
  record = json.loads(path.read_text())
  record["dataset"]["class_names"] = [f"class {x}" for x in range(60)]
  path.write_text(json.dumps(record))
  [details] = section_of(world)
  text = blocks_lib.markdown([details])
  assert "| class 1 | 2 | 0.833 | 1.000 | class 7 (17%) |" in text
  assert "| class 59 | 0 | — | — | — |" in text


def test_the_section_of_a_data_set_has_it(world):
  text = blocks_lib.markdown(
    sections.sections(measurements_lib.read(world, split="test"))
  )
  assert "Accuracy of each class, SR² FSRCNN" in text


def test_networks_of_one_method_are_told_apart_by_their_folders(world):
  shutil.copytree(world / "own", world / "again")
  text = blocks_lib.markdown(section_of(world))
  assert "Accuracy of each class, SR² FSRCNN (again)" in text
  assert "Accuracy of each class, SR² FSRCNN (own)" in text


def test_runs_without_the_classes_that_were_read_have_none(world):
  path = arrays_lib.per_image_path(world / "own", "sr2_fsrcnn", "test")
  found = arrays_lib.read_per_image(world / "own", "sr2_fsrcnn", "test")
  path.unlink()
  assert not section_of(world)
  older = dataclasses.replace(found, labels=None, predicted=None)
  arrays_lib.write_per_image(
    world / "own", older, method="sr2_fsrcnn", split="test"
  )
  assert not section_of(world)
  path.write_bytes(b"damaged")
  assert not section_of(world)
