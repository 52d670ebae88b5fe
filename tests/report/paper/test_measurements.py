import dataclasses

import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values
from tests import paper_world, result_rows

NOISE = rows_lib.Condition(1e-4)
SR2 = paper_values.subject("sr2_fsrcnn", 4)


def _read(*paths):
  return measurements_lib.read(paths, split="test")


def test_rows_are_found_by_what_they_are_of(tmp_path):
  paper_world.write_run(
    tmp_path / "any_name",
    "sr2_fsrcnn",
    lambda metric, level, seed, weight: 0.5 + 0.1 * seed + 0.01 * weight,
    loss_weights=(0.11, 9.0),
  )
  measurements = _read(tmp_path)
  assert measurements.by_seed(SR2, "ssim", NOISE) == pytest.approx(
    {0: 0.59, 1: 0.69, 2: 0.79}, abs=1e-6
  )
  weak = paper_values.subject("sr2_fsrcnn", 4, loss_weight=0.11)
  assert measurements.by_seed(weak, "ssim", NOISE)[0] == pytest.approx(0.5011)
  assert measurements.noise_variances(SR2, "ssim") == [*paper_values.LEVELS]
  for other in (
    paper_values.subject("sr2_fsrcnn", 2),
    paper_values.subject("sr2_wdsr", 4),
    paper_values.subject("sr2_fsrcnn", 4, shared_layers=4),
    paper_values.subject("sr2_fsrcnn", 4, loss_weight=1.0),
    paper_values.subject("sr2_fsrcnn", 4, dataset="mnist5k"),
  ):
    assert other not in measurements
    assert measurements.by_seed(other, "ssim", NOISE) == {}
    assert measurements.per_image(other, "ssim", NOISE, 0) is None
    assert measurements.examples(other) is None
  assert measurements.by_seed(SR2, "ssim", rows_lib.Condition(0.3)) == {}
  assert not measurements.notes


def test_single_images_average_to_their_row(tmp_path):
  paper_world.write_run(
    tmp_path / "run", "sr2_fsrcnn", paper_world.constant(0.7)
  )
  measurements = _read(tmp_path / "run")
  for seed, value in measurements.by_seed(SR2, "ssim", NOISE).items():
    scores = measurements.per_image(SR2, "ssim", NOISE, seed)
    assert scores.shape == (12,)
    assert scores.mean() == pytest.approx(value)


def test_scores_of_other_weights_do_not_count(tmp_path):
  score = paper_world.constant(0.7)
  folder = paper_world.write_run(tmp_path / "run", "sr2_fsrcnn", score)
  paper_world.write_run(folder, "sr2_fsrcnn", score, step=200, arrays=False)
  measurements = _read(folder)
  assert measurements.per_image(SR2, "ssim", NOISE, 0) is None
  [note] = measurements.notes
  assert "other weights" in note


def test_scores_of_other_statistics_do_not_count(tmp_path):
  score = paper_world.constant(0.7)
  folder = paper_world.write_run(tmp_path / "run", "sr2_fsrcnn", score)
  found = arrays_lib.read_per_image(folder, "sr2_fsrcnn", "test")
  # They would not replace those of the rows.
  arrays_lib.per_image_path(folder, "sr2_fsrcnn", "test").unlink()
  arrays_lib.write_per_image(
    folder,
    dataclasses.replace(found, batch_norm="running"),
    method="sr2_fsrcnn",
    split="test",
  )
  measurements = _read(folder)
  assert measurements.per_image(SR2, "ssim", NOISE, 0) is None
  [note] = measurements.notes
  assert "other statistics" in note


def test_rows_of_the_last_step_count(tmp_path):
  old, new = (paper_world.constant(value) for value in (0.1, 0.9))
  folder = tmp_path / "run"
  paper_world.write_run(folder, "sr2_fsrcnn", new, step=200)
  paper_world.write_run(folder, "sr2_fsrcnn", old, step=100, arrays=False)
  assert _read(folder).by_seed(SR2, "ssim", NOISE)[1] == pytest.approx(0.9)


def test_of_two_experiments_the_one_with_more_seeds_counts(tmp_path):
  paper_world.write_run(
    tmp_path / "a", "sr2_fsrcnn", paper_world.constant(0.1), seeds=(0,)
  )
  paper_world.write_run(tmp_path / "b", "sr2_fsrcnn", paper_world.constant(0.9))
  measurements = _read(tmp_path)
  assert measurements.source(SR2).experiment == "b"
  assert len(measurements.by_seed(SR2, "ssim", NOISE)) == 3
  [note] = measurements.notes
  assert "`b`" in note
  assert "`a`" in note


def test_of_two_experiments_with_as_many_seeds_the_first_given_counts(tmp_path):
  for name, value in (("a", 0.1), ("b", 0.9)):
    paper_world.write_run(
      tmp_path / name, "sr2_fsrcnn", paper_world.constant(value)
    )
  assert _read(tmp_path / "b", tmp_path / "a").source(SR2).experiment == "b"
  assert _read(tmp_path / "a", tmp_path / "b").source(SR2).experiment == "a"


def test_of_several_l2_the_first_counts(tmp_path):
  """In rows and in arrays, and a note names the others."""
  for l2, value in ((0.1, 0.3), (0.01, 0.7)):
    paper_world.write_run(
      tmp_path / f"l2_{l2}", "sr2_fsrcnn", paper_world.constant(value), l2=l2
    )
  measurements = _read(tmp_path / "l2_0.1", tmp_path / "l2_0.01")
  assert measurements.by_seed(SR2, "ssim", NOISE)[1] == pytest.approx(0.3)
  assert measurements.per_image(SR2, "ssim", NOISE, 1).mean() == pytest.approx(
    0.3
  )
  rows = [
    dataclasses.replace(row, experiment="both")
    for name in ("l2_0.1", "l2_0.01")
    for row in rows_lib.read(tmp_path / name)
  ]
  rows_lib.merge(tmp_path / "both.jsonl", rows)
  measurements = _read(tmp_path / "both.jsonl")
  assert measurements.by_seed(SR2, "ssim", NOISE)[1] == pytest.approx(0.3)
  [note] = measurements.notes
  assert "`both` with L2 0.1; left out" in note
  assert "`both` with L2 0.01." in note


def test_the_preferred_l2_counts_before_more_seeds(tmp_path):
  for l2, seeds in ((0.1, (0, 1, 2)), (0.01, (0,))):
    paper_world.write_run(
      tmp_path / f"l2_{l2}",
      "sr2_fsrcnn",
      paper_world.constant(l2),
      l2=l2,
      seeds=seeds,
    )
  measurements = measurements_lib.read(tmp_path, split="test", l2=0.01)
  assert list(measurements.by_seed(SR2, "ssim", NOISE)) == [0]
  assert measurements.source(SR2).experiment == "l2_0.01"
  assert len(_read(tmp_path).by_seed(SR2, "ssim", NOISE)) == 3


def test_a_seed_of_fewer_images_is_left_out(tmp_path):
  for seeds, num_images in (((0, 1), 12), ((2,), 5)):
    paper_world.write_run(
      tmp_path / str(num_images) / "run",
      "sr2_fsrcnn",
      lambda *_: 0.5,
      seeds=seeds,
      num_images=num_images,
    )
  measurements = _read(tmp_path)
  assert list(measurements.by_seed(SR2, "ssim", NOISE)) == [0, 1]
  assert measurements.num_images(SR2, "ssim", NOISE) == 12
  assert measurements.seeds(SR2, "ssim") == [0, 1]
  assert any(
    "seed 2 was measured on 5 images, others on 12" in note
    for note in measurements.notes
  )


def test_bicubic_has_no_seed_and_is_the_same_everywhere(tmp_path):
  for name in ("a", "b"):
    paper_world.write_run(
      tmp_path / name, "bicubic", paper_world.constant(0.3), examples=True
    )
  measurements = _read(tmp_path)
  bicubic = paper_values.subject("bicubic", 4)
  assert [*measurements.by_seed(bicubic, "ssim", NOISE)] == [None]
  assert measurements.per_image(bicubic, "ssim", NOISE, None) is not None
  assert measurements.examples(bicubic).members == (rows_lib.Member(),)
  assert not measurements.notes


def test_examples_are_of_the_first_seed_and_the_right_weight(tmp_path):
  folder = paper_world.write_run(
    tmp_path / "run",
    "sr2_fsrcnn",
    paper_world.constant(0.7),
    seeds=(3, 4),
    loss_weights=(0.11, 9.0),
    examples=True,
  )
  path = folder / "examples" / "sr2_fsrcnn.npz"
  with np.load(path) as file:
    arrays = dict(file)
  members = len(arrays["members_seed"])
  numbers = np.arange(members, dtype=np.float32).reshape(-1, 1, 1, 1, 1, 1)
  arrays["super_res"] = np.zeros_like(arrays["super_res"]) + numbers
  np.savez(path, **arrays)
  shown = _read(folder).examples(SR2)
  assert [member.seed for member in shown.members] == [3]
  assert (shown.super_res == 1).all()  # Members: (3, .11), (3, 9), (4, .11) …
  assert shown.predicted.shape == (1, 8, 20)


@pytest.mark.parametrize("kind", ["per_image", "examples"])
@pytest.mark.parametrize("fault", ["garbage", "fields"])
def test_a_damaged_file_is_named_and_unused(tmp_path, kind, fault):
  folder = paper_world.write_run(
    tmp_path / "run", "sr2_fsrcnn", paper_world.constant(0.7), examples=True
  )
  [path] = (folder / kind).iterdir()
  if fault == "garbage":
    path.write_bytes(b"PK nothing")
  else:
    np.savez(path, labels=np.arange(3))
  measurements = _read(folder)
  assert (
    measurements.per_image(SR2, "ssim", NOISE, 0) is None or kind == "examples"
  )
  assert measurements.examples(SR2) is None or kind == "per_image"
  assert [f"run/{kind}/{path.name}" in note for note in measurements.notes] == [
    True
  ]


def test_a_file_of_rows_is_enough_for_means(tmp_path):
  path = tmp_path / "paper.jsonl"
  rows_lib.merge(path, [result_rows.row(dataset="mnist", noise_variance=1e-4)])
  measurements = _read(path)
  assert measurements.by_seed(SR2, "ssim", NOISE) == {0: 0.8}
  assert measurements.per_image(SR2, "ssim", NOISE, 0) is None


def test_a_stand_in_counts_only_where_there_is_nothing_else(tmp_path):
  stand_ins = {"mnist": "mnist5k"}
  paper_world.write_run(
    tmp_path / "small", "wdsr", paper_world.constant(0.5), dataset="mnist5k"
  )
  wdsr = paper_values.subject("wdsr", 4)
  measurements = measurements_lib.read(
    tmp_path, split="test", stand_ins=stand_ins
  )
  assert measurements.stood_in == stand_ins
  assert measurements.by_seed(wdsr, "ssim", NOISE)[1] == pytest.approx(0.5)
  assert measurements.per_image(wdsr, "ssim", NOISE, 1) is not None
  paper_world.write_run(tmp_path / "all", "wdsr", paper_world.constant(0.7))
  measurements = measurements_lib.read(
    tmp_path, split="test", stand_ins=stand_ins
  )
  assert not measurements.stood_in
  assert measurements.by_seed(wdsr, "ssim", NOISE)[1] == pytest.approx(0.7)


def test_a_missing_folder_is_a_users_error(tmp_path):
  with pytest.raises(errors.UserError, match="no such file"):
    _read(tmp_path / "nowhere")


def test_corruptions_are_no_noise(tmp_path):
  row = {"dataset": "mnist", "noise_variance": 0.0}
  rows = [
    result_rows.row(**row, value=0.9),
    result_rows.row(**row, value=0.4, corruption="jpeg", corruption_level=20.0),
  ]
  rows_lib.merge(tmp_path / "rows.jsonl", rows)
  measurements = _read(tmp_path / "rows.jsonl")
  jpeg = rows_lib.Condition(0.0, "jpeg", 20.0)
  assert measurements.by_seed(SR2, "ssim", rows_lib.Condition(0.0)) == {0: 0.9}
  assert measurements.by_seed(SR2, "ssim", jpeg) == {0: 0.4}
  assert measurements.noise_variances(SR2, "ssim") == [0.0]
  assert measurements.corruptions("mnist", 4) == {"jpeg": (20.0,)}
  assert measurements.corruptions("mnist", 2) == {}


def test_shared_corruptions_are_those_of_all(tmp_path):
  def rows(method, levels):
    return [
      result_rows.row(
        method=method, dataset="mnist", noise_variance=0.0, value=0.5,
        corruption=kind, corruption_level=level,
      )
      for kind, level in levels
    ]  # fmt: skip

  one = [("jpeg", 20.0), ("jpeg", 50.0), ("blur", 1.5)]
  other = [("jpeg", 50.0), ("speckle", 0.1)]
  rows_lib.merge(
    tmp_path / "rows.jsonl", rows("sr2_fsrcnn", one) + rows("sr2_wdsr", other)
  )
  measurements = _read(tmp_path / "rows.jsonl")
  second = dataclasses.replace(SR2, method="sr2_wdsr")
  assert measurements.shared_corruptions([SR2, second], "ssim") == {
    "jpeg": (50.0,)
  }
  assert measurements.shared_corruptions([SR2], "ssim") == {
    "jpeg": (20.0, 50.0),
    "blur": (1.5,),
  }
  absent = dataclasses.replace(SR2, method="sequential_fsrcnn")
  assert measurements.shared_corruptions([SR2, absent], "ssim") == {}


def test_one_kind_of_statistics_counts_at_a_time(tmp_path):
  for batch_norm, value in (("running", 0.5), ("reestimated", 0.7)):
    paper_world.write_run(
      tmp_path / batch_norm,
      "sr2_fsrcnn",
      lambda *_, value=value: value,
      batch_norm=batch_norm,
    )
  paper_world.write_run(
    tmp_path / "old", "wdsr", lambda *_: 0.6, batch_norm="running"
  )
  paper_world.write_run(tmp_path / "bicubic", "bicubic", lambda *_: 0.3)
  wdsr, bicubic = (
    paper_values.subject(method, 4) for method in ("wdsr", "bicubic")
  )
  measurements = _read(tmp_path)
  assert measurements.batch_norms == ("reestimated", "running")
  assert measurements.batch_norm == "reestimated"
  assert measurements.by_seed(SR2, "ssim", NOISE)[0] == pytest.approx(0.7)
  assert wdsr not in measurements
  running = measurements.by("running")
  assert running.by_seed(SR2, "ssim", NOISE)[0] == pytest.approx(0.5)
  assert wdsr in running
  assert bicubic in measurements
  assert bicubic in running
  # Where there is nothing else, the running ones count.
  assert _read(tmp_path / "old").batch_norm == "running"


def test_older_are_files_without_reestimated_statistics(tmp_path):
  """The authors' protocol beside the new rows is not an older measurement."""
  runs, other = tmp_path / "runs", tmp_path / "other"
  new = runs / "new"
  for folder, batch_norm in ((new, "reestimated"), (other, "running")):
    paper_world.write_run(
      folder, "sr2_fsrcnn", lambda *_: 0.7, batch_norm=batch_norm
    )
  rows_lib.merge(new / rows_lib.FILE_NAME, rows_lib.read(other))
  paper_world.write_run(
    runs / "old", "wdsr", lambda *_: 0.6, batch_norm="running"
  )
  older = _read(runs).by("running", alone=True)
  assert older.batch_norm == "running"
  assert paper_values.subject("wdsr", 4) in older
  assert SR2 not in older
  assert _read(new).batch_norms == ("reestimated", "running")
  assert not _read(new).by("running", alone=True).rows
