"""The second example of own images: a small set, and fine-tuning."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from experiments import faces
from sr2_jax.config import checks, derived


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  pytest.importorskip("skimage")
  out = tmp_path_factory.mktemp("data") / "faces"
  assert faces.main([f"--out={out}"]) == 0
  return out


def test_half_of_the_images_are_faces(written):
  from skimage import data

  paths = sorted(written.glob("*/*.png"), key=lambda path: path.name)
  labels = [path.parent.name for path in paths]
  assert labels == ["face"] * 100 + ["other"] * 100
  for path, expected in zip(paths, data.lfw_subset(), strict=True):
    with Image.open(path) as image:
      found = np.asarray(image)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found / 255, expected, atol=0.5 / 255 + 1e-6)


def test_the_experiment_fits_them(written):
  config = faces.get_config()
  config.data.path = str(written)
  checks.validate(config)
  checks.validate_image_size(config, 24, 24)
  assert derived.phases(config) == ("pretrain", "joint")


def test_what_is_missing_is_named(tmp_path, capsys, monkeypatch):
  (tmp_path / "file").write_text("")
  if "skimage" in sys.modules:
    assert faces.main([f"--out={tmp_path}/file"]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path}/file")
    assert faces.main(["--compare", str(tmp_path), str(tmp_path)]) == 2
    assert "results.jsonl: No such file" in capsys.readouterr().err
  monkeypatch.setitem(sys.modules, "skimage", None)
  assert faces.main([f"--out={tmp_path}/faces"]) == 2
  assert "pip install scikit-image" in capsys.readouterr().err
  assert not (tmp_path / "faces").exists()


def test_runs_are_compared_by_seed(tmp_path):
  values = {"a": (0.5, 0.6, 0.7), "b": (0.6, 0.8, 0.7)}
  for name, of_seeds in values.items():
    (tmp_path / name).mkdir()
    rows = [
      {
        "phase": "joint", "epochs": 10.0, "metric": "ssim", "seed": seed,
        "noise_variance": noise, "corruption": None, "value": value + noise,
      }
      for noise in (0.0, 0.1)
      for seed, value in enumerate(of_seeds)
    ]  # fmt: skip
    (tmp_path / name / "results.jsonl").write_text(
      "\n".join(map(json.dumps, rows))
    )
  _, line = faces.compared(tmp_path / "a", tmp_path / "b")
  # By hand: t(0.975, 2) is 4.303; the standard deviation is .1 each time.
  assert line == (
    "joint, 10, ssim: 0.600 ± 0.248, 0.700 ± 0.248, 0.100 ± 0.248"
  )


def test_the_file_is_read_without_scikit_image():
  program = (
    "import sys; sys.modules['skimage'] = None; sys.modules['PIL'] = None\n"
    "from experiments import faces; faces.get_config()"
  )
  subprocess.run([sys.executable, "-c", program], check=True)
