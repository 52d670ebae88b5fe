"""The second example of own images: a small set, and fine-tuning."""

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
    assert capsys.readouterr().err.startswith(f"--out={tmp_path}/file: ")
  monkeypatch.setitem(sys.modules, "skimage", None)
  assert faces.main([f"--out={tmp_path}/faces"]) == 2
  assert "pip install scikit-image" in capsys.readouterr().err
  assert not (tmp_path / "faces").exists()


def test_the_file_is_read_without_scikit_image():
  program = (
    "import sys; sys.modules['skimage'] = None; sys.modules['PIL'] = None\n"
    "from experiments import faces; faces.get_config()"
  )
  subprocess.run([sys.executable, "-c", program], check=True)
