"""The row and the files of a finished image."""

import dataclasses
import pathlib

import numpy as np
import pytest
from PIL import Image

from sr2_jax.data import image_file
from sr2_jax.prediction import canvas, image_files, outputs, results, work_list

OF_MEMBERS = np.float32([[0.5, 0.5, 0], [0.1, 0.7, 0.2]])


@pytest.fixture
def job(tmp_path):
  return work_list.Job(
    pathlib.Path("in/a.png"),
    tmp_path / "a.png",
    tmp_path / "a_std.png",
    tmp_path / "a_std.npy",
    tmp_path / "a_side.png",
  )


def finished(of_members=OF_MEMBERS):
  low_res = np.random.default_rng(0).integers(0, 256, (3, 4, 1), np.uint8)
  made = canvas.Canvas(
    image_file.Picture(low_res),
    low_res,
    scale=2,
    channels=1,
    kind="png",
    bits="auto",
    chroma=False,
    keep_spread=True,
  )
  values = np.random.default_rng(1).random((6, 8, 1), np.float32)
  everywhere = (slice(0, 6), slice(0, 8))
  made.put(results.Piece(0, *everywhere, values, values / 9, of_members, True))
  return low_res, made


def row_of(job, made, names=("zero", "one", "two")):
  return outputs.row(
    job,
    made,
    size=(3, 4),
    seeds=(0, 7),
    class_names=names,
    weights="run",
    digests=("ab", "cd"),
  )


def test_a_row_has_what_all_members_say_and_each(job):
  row = row_of(job, finished()[1])
  assert (row.file, row.width, row.height) == ("in/a.png", 4, 3)
  assert row.label == "one"
  assert row.probability == pytest.approx(0.6)
  assert row.probabilities == pytest.approx(
    {"zero": 0.3, "one": 0.6, "two": 0.1}
  )
  assert [x["seed"] for x in row.members] == [0, 7]
  assert [x["label"] for x in row.members] == ["zero", "one"]
  assert row.agree == 1
  assert row.spread == pytest.approx(finished()[1].spread.mean())
  without = row_of(job, finished(None)[1])
  assert without.label is without.probability is without.agree is None


@pytest.mark.parametrize("folder", ["é", "e\u0301"])
@pytest.mark.parametrize("name", ["é", "e\u0301"])
def test_the_folder_tells_the_class_however_accents_are_written(
  job, folder, name
):
  job = dataclasses.replace(job, path=pathlib.Path(folder, "a.png"))
  assert row_of(job, finished()[1], (name, "b", "c")).truth == name


def test_all_files_are_written_and_the_main_one_last(job, monkeypatch):
  low_res, made = finished()
  written = []
  real = image_files.write

  def note(path, *arguments, **options):
    written.append(path)
    real(path, *arguments, **options)

  monkeypatch.setattr(image_files, "write", note)
  outputs.write(
    job,
    made,
    row_of(job, made),
    low_res=low_res,
    kind="png",
    profile=None,
    title="SR",
    seeds=2,
  )
  assert written[-1] == job.output
  assert all(path.is_file() for path in job.outputs)
  np.testing.assert_array_equal(np.load(job.spread_array), made.spread)
  with Image.open(job.output) as image:
    np.testing.assert_array_equal(np.asarray(image), made.values[..., 0])
  with Image.open(job.side_by_side) as image:
    # Four panels of 224 px and more.
    assert image.width > 4 * 224
