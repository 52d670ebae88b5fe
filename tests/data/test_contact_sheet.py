"""The picture of a folder has the pixels of its images."""

import numpy as np
from PIL import Image

from experiments import default
from sr2_jax.data import contact_sheet, own_images


def _plan(path):
  config = default.get_config().data
  config.update({"name": "folder", "path": str(path)})
  return own_images.plan(config)


def test_rows_are_classes_and_small_images_are_enlarged(tmp_path):
  values = {"a/1.png": 10, "a/2.png": 60, "b/1.png": 110}
  for name, value in values.items():
    path = tmp_path / "photos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(path)
  plan = _plan(tmp_path / "photos")
  contact_sheet.write(tmp_path / "sheet.png", plan, [0, 1, 2])
  sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
  for value, (row, column) in {10: (0, 0), 60: (0, 1), 110: (1, 0)}.items():
    top, left = 20 + 84 * row, 6 + 70 * column
    assert (sheet[top : top + 64, left : left + 64] == value).all()
  contact_sheet.write(tmp_path / "less.png", plan, [0, 2])
  sheet = np.asarray(Image.open(tmp_path / "less.png"))
  assert (sheet[20:84, 76:140] == 255).all()


def test_large_and_deep_images_without_classes(tmp_path):
  (tmp_path / "photos").mkdir()
  for number in range(30):
    deep = np.full((130, 260), 257 * 40, np.uint16)
    Image.fromarray(deep).save(tmp_path / f"photos/{number}.png")
  plan = _plan(tmp_path / "photos")
  contact_sheet.write(tmp_path / "sheet.png", plan, range(30))
  sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
  below_the_text = sheet[20:]
  assert (below_the_text == 40).all(axis=-1).sum() == 30 * 32 * 64
