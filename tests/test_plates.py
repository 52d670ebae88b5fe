"""The worked example of a user's own images: experiments/plates.py."""

import hashlib

import numpy as np
import pytest
from PIL import Image, ImageFilter

from experiments import plates
from sr2_jax import parallel, rng
from sr2_jax.config import checks, derived
from sr2_jax.data import dataset
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import steps

NUM_IMAGES = 360
FONTS = plates.find_fonts()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A small set, drawn by the command."""
  out = tmp_path_factory.mktemp("plates") / "data" / "plates"
  arguments = [f"--out={out}", f"--images={NUM_IMAGES}", "--workers=1"]
  assert plates.main(arguments) == 0
  return out


def _draw(character="A", *, number=0, seed=0):
  return plates.draw(character, number=number, seed=seed, fonts=FONTS)


def _digests(folder):
  return {
    str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).digest()
    for path in folder.rglob("*.png")
  }


def test_every_class_is_in_train_and_test(folder):
  counts = {
    split: {
      path.name: len([*path.glob("*.png")])
      for path in (folder / split).iterdir()
    }
    for split in ("train", "test")
  }
  assert counts == {
    "train": dict.fromkeys(plates.CLASSES, 9),
    "test": dict.fromkeys(plates.CLASSES, 1),
  }
  assert [path.name for path in folder.parent.iterdir()] == ["plates"]


def test_the_number_of_processes_does_not_count(folder, tmp_path):
  out = tmp_path / "again"
  plates.write(
    out, num_images=NUM_IMAGES, seed=0, workers=2, fonts=plates.find_fonts()
  )
  assert _digests(out) == _digests(folder)


def test_an_image_depends_on_seed_and_number(folder):
  image = _draw(number=36)
  assert image.shape == (plates.HEIGHT, plates.WIDTH, 3)
  assert image.dtype == np.uint8
  np.testing.assert_array_equal(image, _draw(number=36))
  with Image.open(folder / "train" / "A" / "000036.png") as file:
    np.testing.assert_array_equal(image, np.asarray(file))
  others = [
    _draw(number=72), _draw(number=36, seed=1), _draw("B", number=36),
  ]  # fmt: skip
  assert all((image != other).any() for other in others)


def test_draws_are_uniform():
  draws = plates._Draws(0, 0)
  values = draws.array(20_000)
  assert -1 <= values.min() < -0.999
  assert 0.999 < values.max() < 1
  assert abs(values.mean()) < 0.02
  assert values.std() == pytest.approx(3**-0.5, rel=0.02)
  found = [draws.below(4) for _ in range(400)]
  assert set(found) == {0, 1, 2, 3}
  assert 50 < sum(draws.happens(0.25) for _ in range(400)) < 150


class _Middle:
  """Every draw is in the middle of its range."""

  def array(self, *shape):
    return np.zeros(shape)

  def between(self, low, high):
    return (low + high) / 2

  def below(self, count):
    return 0

  def happens(self, chance):
    return True


def test_without_a_tilt_one_sees_the_middle_of_the_plate():
  plate = plates._plate("R", _Middle(), FONTS)
  ink, relief, rim = plates._seen_from_the_side(plate, _Middle())
  # The zoom in the middle of its range shows 1.01 as much.
  width, height = (1.01 * 4 * x for x in (plates.WIDTH, plates.HEIGHT))
  x, y = plate.width / 2, plate.height / 2
  box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
  size = (4 * plates.WIDTH, 4 * plates.HEIGHT)
  expected = plate.resize(size, Image.Resampling.BILINEAR, box=box)
  blurred = expected.filter(ImageFilter.GaussianBlur(2)).reduce(4)
  expected = np.asarray(blurred, float)
  np.testing.assert_allclose(255 * ink, expected[..., 0], atol=6)
  np.testing.assert_allclose(127 * relief + 128, expected[..., 1], atol=6)
  np.testing.assert_allclose(255 * rim, expected[..., 2], atol=6)
  assert ink.max() > 0.9
  # The rim is above and below, never where the character is.
  assert rim[0].min() > 0.5
  assert rim[8:24].max() < 0.05


@pytest.mark.parametrize(
  ("arguments", "word"),
  [
    (["--images=359"], "--images=359"),
    (["--seed=-1"], "--seed"),
    (["--workers=0"], "--workers"),
    (["--fonts=nowhere"], "--fonts=nowhere"),
    (["--fonts=damaged"], "out"),
    (["--out=damaged"], "damaged is there already"),
    (["--out=damaged/font.ttf/out"], "damaged/font.ttf"),
  ],
)
def test_mistakes_are_named_and_nothing_is_left(
  tmp_path, monkeypatch, capsys, arguments, word
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "damaged").mkdir()
  (tmp_path / "damaged" / "font.ttf").write_text("no font")
  with pytest.raises(SystemExit) as ended:
    plates.main(["--out=out", "--workers=1", "--images=360", *arguments])
  assert ended.value.code == 2
  assert word in capsys.readouterr().err.splitlines()[-1]
  assert [path.name for path in tmp_path.iterdir()] == ["damaged"]


def test_the_config_trains_on_the_images(folder, tmp_path, monkeypatch):
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(tmp_path))
  config = plates.get_config()
  assert config.data.path == "data/plates"
  config.data.path = str(folder)
  config.num_seeds, config.batch_size = 1, 4
  checks.validate(config)
  config = derived.resolve(config)
  data = dataset.load(config.data)
  assert sorted(data.class_names) == sorted(plates.CLASSES)
  assert len(data.test.labels) == 36
  images, labels = np.asarray(data.train.images[:8]), data.train.labels[:8]
  phase = phase_lib.create(
    config, "joint", image_shape=images.shape[1:], num_train_images=8,
    num_classes=data.num_classes,
  )  # fmt: skip
  assert phase.num_steps == 2 * config.joint.num_epochs
  layout = parallel.layout("data", 1)
  train = phase_lib.train_steps(phase, config, layout, steps_per_call=1)
  order = rng.epoch_order(0, 0, num_images=8)[None]
  of_members = layout.put_members((phase.population.arrays(), order))
  running = layout.put_members(steps.all_alive(phase.create_state()))
  for step in range(2):
    shared = (images, labels, np.int32(step), np.int32(1))
    running, metrics = train(running, of_members, shared)
  assert layout.fetch_members(running).alive.all()
  assert {"loss_sr", "loss_classifier"} <= metrics.keys()
