"""What a run shows, from invented rows."""

import json

from sr2_jax.report import summary
from tests import result_rows
from tests.report import test_divergences


def test_curves_are_drawn_and_tables_printed(tmp_path, capsys):
  rows = [
    *result_rows.run(),
    *result_rows.corrupted("sr2_fsrcnn", 0.7, jpeg=(30.0,)),
  ]
  summary.show(rows, tmp_path, splits=("test",))
  printed = capsys.readouterr().out
  for expected in ("SSIM", "Accuracy", "JPEG, quality", str(tmp_path)):
    assert expected in printed
  picture = tmp_path / "images" / "curves_test.png"
  assert picture.read_bytes().startswith(b"\x89PNG")
  assert "diverged" not in printed
  (tmp_path / "DONE").write_text(test_divergences.DONE)
  old = picture.read_bytes()
  summary.show(result_rows.run(), tmp_path, splits=("test",), checkpoint="best")
  assert (tmp_path / "images" / "curves_best_test.png").exists()
  assert picture.read_bytes() == old
  assert ": seed 1, L2 0.01, λ 9: step 7 of joint" in capsys.readouterr().out
  bicubic = [row for row in rows if row.method == "bicubic"]
  summary.show(bicubic, tmp_path, splits=("test",))
  printed = capsys.readouterr().out
  assert "SSIM" in printed
  assert "SR2" not in printed
  assert "Accuracy" not in printed


def test_images_of_a_user_are_called_as_their_folder(tmp_path, capsys):
  record = {
    "config": {"data": {"name": "folder", "path": "data/plates"}},
    "dataset": {"fingerprint": "abc"},
  }
  (tmp_path / "config.json").write_text(json.dumps(record))
  rows = result_rows.rows("bicubic", 0.3, seeds=(None,), dataset="folder")
  summary.show(rows, tmp_path, splits=("test",))
  assert ": plates test, x4, 500 images" in capsys.readouterr().out
