"""Folders of images, and a cache of each test's own."""

import itertools

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
  cache = tmp_path_factory.mktemp("cache")
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(cache))


@pytest.fixture
def write_images(tmp_path):
  """Writes `count` distinct gray images into tmp_path/<name>."""
  counter = itertools.count()

  def write(name, count, *, size=(4, 4)):
    folder = tmp_path / name
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
      pixels = np.zeros(size, np.uint8)
      pixels[0, :2] = divmod(next(counter), 250)
      Image.fromarray(pixels).save(folder / f"{index:04}.png")
    return tmp_path

  return write
