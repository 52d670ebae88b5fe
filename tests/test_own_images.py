"""Own images in whole runs: what is refused, and the field that trains it."""

import json

import numpy as np
import pytest
from PIL import Image

from sr2_jax import errors, predict, train
from sr2_jax.config import checks
from sr2_jax.records import weights as weights_lib
from tests import test_train, tiny

# Only two of these runs are of the same images; each is of seconds.
SIDE = 12


@pytest.fixture(autouse=True)
def surroundings(programs_of_runs, monkeypatch, settings_of_jax):
  """One cache for all runs, and JAX's settings as they were."""
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(programs_of_runs))


def make_config(path, **changes):
  """A tiny run without a classifier at x2, on one device."""
  config = tiny.get_config()
  config.data.name, config.data.path = "folder", str(path)
  config.data.max_train_images = 0
  config.batch_size = 4
  config.degradation.scale = 2
  config.model.wiring = "none"
  config.parallel.num_devices = 1
  config.pretrain.num_epochs = 2
  config.joint.num_epochs = 0
  config.eval.epochs = ()
  config.eval.every_epochs = 2
  config.eval.batch_norm_batches = 2
  config.update_from_flattened_dict(
    {name.replace("__", "."): value for name, value in changes.items()}
  )
  return config


def run(config, workdir):
  checks.validate(config)
  train.train_and_evaluate(config, workdir)


def refused(config, workdir):
  with pytest.raises(errors.UserError) as caught:
    run(config, workdir)
  assert not (workdir / "config.json").exists()
  return str(caught.value)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
  """Photos of several sizes, formats and depths, without classes."""
  folder = tmp_path_factory.mktemp("photos")
  random = np.random.default_rng(0)
  for number in range(14):
    height, width = random.integers(16, 40, 2)
    deep = random.integers(0, 65536, (height, width), np.uint16)
    shallow = (deep >> 8).astype(np.uint8)
    suffix = ("png", "webp", "tif", "jpg")[number % 4]
    Image.fromarray(deep if suffix in ("png", "tif") else shallow).save(
      folder / f"{number:02}.{suffix}"
    )
  (folder / "Thumbs.db").write_bytes(b"")
  return folder


@pytest.fixture(scope="module")
def sized():
  """Fields with which the photos train."""
  return {
    "data__size": "20x16", "data__fit": "resize", "data__channels": "1",
    "augmentation__crop": SIDE,
  }  # fmt: skip


@pytest.fixture(scope="module")
def trained(photos, sized, tmp_path_factory, programs_of_runs):
  """A run of two members on crops of the photos."""
  workdir = tmp_path_factory.mktemp("runs") / "trained"
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("SR2_JAX_CACHE_DIR", str(programs_of_runs))
    run(make_config(photos, checkpoint__keep=9, **sized), workdir)
  return workdir


def test_photos_are_refused_and_then_train(photos, sized, trained, tmp_path):
  problem = refused(make_config(photos), tmp_path / "refused")
  assert "of 14 images are not of " in problem
  assert "config.data.size=" in problem
  classified = make_config(
    photos, joint__num_epochs=1, model__wiring="parallel", **sized
  )
  problem = refused(classified, tmp_path / "classified")
  assert "has no classes; the classifier of joint needs two" in problem

  recorded = json.loads((trained / "config.json").read_text())["dataset"]
  assert recorded["image_shape"] == [SIDE, SIDE, 1]
  assert recorded["class_names"] == []
  notes = " ".join(recorded["notes"])
  assert "Thumbs.db" in notes
  assert "of 14 images: made smaller" in notes
  assert "8 of 14 images: of 16 bits" not in notes  # 7, by hand.
  assert "7 of 14 images: of 16 bits, which makes all of them so" in notes
  assert (trained / "images/pretrain_examples.png").is_file()
  rows = [
    json.loads(line)
    for line in (trained / "results.jsonl").read_text().splitlines()
  ]
  assert {row["method"] for row in rows} == {"bicubic", "fsrcnn"}
  assert np.isfinite([row["value"] for row in rows]).all()


def test_crops_resume_to_the_bit(photos, sized, trained, tmp_path):
  """From the first checkpoint, as after a kill there."""
  workdir = tmp_path / "resumed"
  test_train.copy_killed(trained, workdir)
  run(make_config(photos, checkpoint__keep=9, **sized), workdir)
  test_train.assert_same_run(workdir, trained)


def test_crops_stream_to_the_same_numbers(photos, sized, trained, tmp_path):
  streamed = make_config(
    photos, data__device_bytes=1, checkpoint__keep=9, **sized
  )
  run(streamed, tmp_path / "streamed")
  test_train.assert_same_run(tmp_path / "streamed", trained)


def test_plates_with_a_table_are_classified(tmp_path, photos):
  """Odd sides are cropped, classes joined, and their names come out again."""
  random = np.random.default_rng(1)
  lines = ["file;label"]
  folder = tmp_path / "plates"
  folder.mkdir()
  for number in range(24):
    label = "OQC"[number % 3]
    pixels = random.integers(0, 256, (13, 17), np.uint8)
    Image.fromarray(pixels).save(folder / f"{number}.bmp")
    lines.append(f"{number}.bmp;{label}")
  table = folder / "labels.csv"
  table.write_text("\n".join(lines))
  changes = {
    "model__wiring": "parallel", "num_seeds": 1,
    "pretrain__num_epochs": 0, "joint__num_epochs": 1,
    "data__labels": str(table), "data__classes": "round=O+Q,*",
  }  # fmt: skip
  problem = refused(make_config(folder, **changes), tmp_path / "refused")
  assert "does not divide the image size of 13x17 px" in problem
  assert "config.data.fit=crop cuts them to 12x16 px" in problem

  workdir = tmp_path / "run"
  run(make_config(folder, data__fit="crop", **changes), workdir)
  recorded = json.loads((workdir / "config.json").read_text())["dataset"]
  assert recorded["image_shape"] == [12, 16, 1]
  assert recorded["class_names"] == ["C", "round"]
  assert (workdir / "images/joint_confusion.png").is_file()
  (path,) = workdir.glob("weights/joint_*/*/last.safetensors")
  assert weights_lib.read(path)[1].class_names == ("C", "round")
  result = predict.load(workdir)(np.zeros((1, 6, 8, 1), np.uint8))
  assert result.class_names == ("C", "round")
  assert result.labels.shape == (1,)
