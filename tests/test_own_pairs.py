"""Pairs of images in whole runs: trained, killed, streamed, spread, refused."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from sr2_jax import errors, predict, train
from sr2_jax.config import checks
from sr2_jax.records import arrays, released
from sr2_jax.training import check
from tests import test_own_images, test_train

surroundings = test_own_images.surroundings
refused, run = test_own_images.refused, test_own_images.run
SCALE, SIDE, SIZE = 2, 12, (16, 18)


def write(root, *, count=16, size=SIZE, scale=SCALE):
  """Pairs of two classes: small images are blocks' means, and darker."""
  random = np.random.default_rng(0)
  height, width = size[0] // scale, size[1] // scale
  for index in range(count):
    high = random.integers(0, 256, size, np.uint8)
    blocks = high.reshape(height, scale, width, scale)
    low = (blocks.mean(axis=(1, 3)) / 2).astype(np.uint8)
    for kind, pixels in (("high", high), ("low", low)):
      path = root / kind / "ab"[index % 2] / f"{index:02}.png"
      path.parent.mkdir(parents=True, exist_ok=True)
      Image.fromarray(pixels).save(path)
  return root


def make_config(root, **changes):
  """Two members on crops that are shifted by a low-resolution pixel."""
  return test_own_images.make_config(
    root / "high",
    **{
      "data__low_res_path": str(root / "low"),
      "augmentation__crop": SIDE,
      "augmentation__max_shift": 3,
      "eval__corruptions__jpeg": (30.0,),
      "checkpoint__keep": 9,
      **changes,
    },
  )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  return write(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def trained(root, tmp_path_factory, programs_of_runs):
  workdir = tmp_path_factory.mktemp("runs") / "trained"
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("SR2_JAX_CACHE_DIR", str(programs_of_runs))
    run(make_config(root), workdir)
  return workdir


def rows_of(workdir):
  lines = (workdir / "results.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


def test_a_run_is_of_the_given_images(root, trained):
  recorded = json.loads((trained / "config.json").read_text())["dataset"]
  assert recorded["image_shape"] == [SIDE, SIDE, 1]
  assert recorded["class_names"] == ["a", "b"]
  assert "pairs: low-resolution images of" in " ".join(recorded["notes"])
  rows = rows_of(trained)
  assert {row["method"] for row in rows} == {"bicubic", "fsrcnn"}
  assert {row["corruption"] for row in rows} == {None, "jpeg"}
  assert np.isfinite([row["value"] for row in rows]).all()
  # Examples have the middle of the files' own pixels.
  examples = arrays.read_examples(trained, "fsrcnn")
  files = sorted((root / "low").glob("*/*.png"))
  small = np.stack([np.asarray(Image.open(path)) for path in files])
  large = np.stack(
    [
      np.asarray(Image.open(root / "high" / p.parent.name / p.name))
      for p in files
    ]
  )
  middles = small[:, 1:7, 1:7, None] / np.float32(255)
  for high, low in zip(examples.high_res, examples.low_res[0], strict=True):
    (place,) = np.flatnonzero(np.abs(middles - low).max(axis=(1, 2, 3)) < 1e-6)
    np.testing.assert_allclose(
      high[..., 0], large[place, 2:14, 2:14] / np.float32(255), atol=1e-6
    )


def test_a_kill_costs_nothing(root, trained, tmp_path):
  """The run goes on from its first checkpoint to the same bits."""
  workdir = tmp_path / "resumed"
  test_train.copy_killed(trained, workdir)
  run(make_config(root), workdir)
  test_train.assert_same_run(workdir, trained)


def test_two_devices_train_as_one(root, trained, tmp_path):
  """The host cuts both images of a crop, and both devices share a batch."""
  config = make_config(
    root,
    parallel__layout="data",
    parallel__num_devices=2,
    eval__corruptions__jpeg=(),
    data__device_bytes=1,
  )
  run(config, tmp_path / "two")
  text, expected_text = (
    (folder / "metrics.jsonl").read_text()
    for folder in (tmp_path / "two", trained)
  )
  steps = [
    [
      line["loss"]
      for line in map(json.loads, lines.splitlines())
      if "loss" in line
    ]
    for lines in (text, expected_text)
  ]
  assert steps[1]
  np.testing.assert_allclose(*steps, rtol=2e-3)
  expected = [row for row in rows_of(trained) if row["corruption"] is None]
  found = rows_of(tmp_path / "two")
  assert len(found) == len(expected)
  for one, other in zip(found, expected, strict=True):
    assert one["metric"] == other["metric"]
    np.testing.assert_allclose(one["value"], other["value"], rtol=2e-3)


TUNED = {
  "init_from": "sr2_fsrcnn_x4_mnist", "fine_tune": True,
  "model__wiring": "parallel", "loss__class_weights": "balanced",
  "joint__num_epochs": 2, "checkpoint__every_steps": 2,
  "degradation__scale": 4, "augmentation__crop": 16,
  # One program fewer of each kind.
  "num_seeds": 1, "eval__batch_norm": ("running",),
  "eval__corruptions__jpeg": (), "eval__noise_variances": (0.0,),
  "eval__validation_noise_variances": (0.0,),
}  # fmt: skip


@pytest.fixture(scope="module")
def own_tuned(tmp_path_factory, programs_of_runs):
  """A run of everything at once, and the folder of its images.

  Pairs of unequal classes, fine-tuned from weights of digits, in both phases.
  """
  root = write(
    tmp_path_factory.mktemp("pairs"), count=28, size=(20, 24), scale=4
  )
  for path in sorted(root.glob("*/b/*"))[::2]:
    path.unlink()
  workdir = tmp_path_factory.mktemp("runs") / "tuned"
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("SR2_JAX_CACHE_DIR", str(programs_of_runs))
    run(make_config(root, **TUNED), workdir)
  return root, workdir


def test_pairs_classes_and_fine_tuning_go_together(own_tuned):
  _, workdir = own_tuned
  recorded = json.loads((workdir / "config.json").read_text())
  assert len(recorded["fine_tuned_from"]) == 1
  rows = rows_of(workdir)
  assert {row["method"] for row in rows} == {"bicubic", "fsrcnn", "sr2_fsrcnn"}
  of_classes = [row["class_accuracy"] for row in rows if row["class_accuracy"]]
  assert {len(found) for found in of_classes} == {2}
  assert (workdir / "images/joint_confusion.png").is_file()
  found = predict.load(workdir)(np.zeros((4, 4), np.uint8))
  assert found.super_res.shape == (16, 16)
  assert found.class_names == ("a", "b")


def test_a_kill_costs_a_fine_tuned_run_nothing(own_tuned, tmp_path):
  """At the end of pretrain, where it reads those weights again."""
  root, whole = own_tuned
  workdir = tmp_path / "resumed"
  test_train.copy_killed(whole, workdir, at_end=True)
  run(make_config(root, **TUNED), workdir)
  test_train.assert_same_run(workdir, whole)


def test_a_fine_tuned_run_is_evaluated_again(own_tuned, tmp_path, monkeypatch):
  """Its weights are its own by then: those of digits are not needed."""
  root, whole = own_tuned
  workdir = shutil.copytree(whole, tmp_path / "again")
  (workdir / "results.jsonl").unlink()
  monkeypatch.setattr(released, "FOLDER", tmp_path)
  config = make_config(root, **TUNED)
  checks.validate(config)
  train.evaluate_checkpoint(config, workdir)
  test_train.assert_same_run(workdir, whole)


def test_predictions_take_small_images(root, trained, capsys, tmp_path):
  network = predict.load(trained)
  low = np.asarray(Image.open(root / "low/a/00.png"))[1:7, 1:7]
  assert network(low).super_res.shape == (SIDE, SIDE)
  out = tmp_path / "sr"
  command = ["predict", str(root / "low/a"), f"--weights={trained}"]
  command.append(f"--out={out}")
  assert predict.main([*command, "--degrade"]) == 2
  assert "trained on pairs" in capsys.readouterr().err
  assert not out.exists()


@pytest.fixture
def own(tmp_path):
  return write(tmp_path / "pairs")


def problems(root, capsys, *, low="low", high="high", scale=SCALE):
  """What data.check says of pairs, with exit code 2."""
  code = check.main(
    [str(root / high), f"--low_res_path={root / low}", f"--scale={scale}"]
  )
  assert code == errors.TO_FIX
  return capsys.readouterr().err


def test_swapped_folders_are_refused(own, tmp_path, capsys):
  text = problems(own, capsys, low="high", high="low")
  assert "low_res_path swapped?" in text
  assert "low/a/00.png (8x9) and " in text
  assert "high/a/00.png (16x18)" in text
  config = make_config(own)
  config.data.path, config.data.low_res_path = (
    config.data.low_res_path,
    config.data.path,
  )
  assert "swapped?" in refused(config, tmp_path / "run")


def test_missing_partners_are_refused(own, tmp_path, capsys):
  (own / "low/b/03.png").unlink()
  (own / "high/a/04.png").unlink()
  (own / "low/a/00.png").write_text("text")
  text = problems(own, capsys)
  for part in ("high/b/03.png", "low/a/04.png", "low/a/00.png: cannot be read"):
    assert part in text
  assert text.endswith("3 to fix\n")
  assert "high/b/03.png" in refused(make_config(own), tmp_path / "run")


def test_another_ratio_is_refused(own, tmp_path, capsys):
  text = problems(own, capsys, scale=4)
  assert (
    "All 16 pairs have a ratio of 2, not config.degradation.scale=4" in text
  )
  config = make_config(own, degradation__scale=4)
  text = refused(config, tmp_path / "run")
  assert "config.degradation.scale=2 takes them." in text
  Image.new("L", (8, 8)).save(own / "low/a/00.png")
  text = problems(own, capsys)
  assert "high/a/00.png (16x18) and " in text
  assert "low/a/00.png (8x8): not 2 times as large" in text
