"""The check of a folder: everything that is wrong with it, at once."""

import numpy as np
import pytest
from PIL import Image

from sr2_jax.data import check


@pytest.fixture
def folder(tmp_path):
  """Two classes of ten images of 12 x 10 pixels, all different."""
  random = np.random.default_rng(0)
  for name in ("cat", "dog"):
    (tmp_path / "photos" / name).mkdir(parents=True)
    for number in range(10):
      pixels = random.integers(0, 256, (12, 10), np.uint8)
      Image.fromarray(pixels).save(tmp_path / f"photos/{name}/{number}.png")
  return tmp_path / "photos"


@pytest.fixture
def run(capsys):
  """Exit code, and the lines on standard output and error."""

  def run(*arguments):
    code = check.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err.splitlines()

  return run


def test_nothing_is_wrong(folder, run):
  code, out, err = run(folder)
  assert (code, err) == (0, [])
  assert out == [
    f"{folder}: 20 images, 2 classes",
    "       train  validation  test",
    "  cat      6           2     2",
    "  dog      6           2     2",
    "sizes: 12x10 (20)",
    "stored as: gray of 8 bits (20)",
  ]


def test_all_problems_are_named_at_once(folder, run):
  (folder / "cat/bad.png").write_text("text")
  (folder / "dog/cut.png").write_bytes((folder / "dog/1.png").read_bytes()[:60])
  Image.new("L", (9, 9)).save(folder / "cat/a.png")
  Image.new("RGB", (7, 9)).save(folder / "dog/b.png")
  for number in range(10):
    content = (folder / f"dog/{number}.png").read_bytes()
    (folder / f"cat/copy{number}.png").write_bytes(content)
  (folder / "Thumbs.db").write_text("")
  code, out, err = run(folder, "--scale=4")
  assert code == 2
  text = "\n".join(err)
  assert "cat/bad.png: cannot be read as an image (none of the f" in text
  assert "dog/cut.png: cannot be read as an image" in text
  assert "cat/a.png: 9x9 px, not of 12x10 px (height x width), the most" in text
  assert "dog/b.png: 9x7 px, not of 12x10 px" in text
  assert "config.data.size=12x10 makes them one size" in text
  assert "scale 4 does not divide 12x10 px" in text
  assert "equal, but in two splits." in text
  # The way out of sizes is a line, but no problem; the last line counts.
  assert err[-1] == f"{len(err) - 2} to fix"
  assert "stored as: gray of 8 bits (31), color of 8 bits (1)" in out
  assert any("left out 1 file (Thumbs.db)" in line for line in out)


@pytest.mark.parametrize(
  ("flags", "problem"),
  [
    (["--scale=4"], "scale 4 does not divide 12x10 px; --fit=crop cuts"),
    (
      ["--scale=4", "--size=9x6", "--fit=crop"],
      "scale 4 does not divide 9x6 px; --size=8x4 and --size=12x8 fit.",
    ),
    (["--scale=4", "--crop=8"], None),
    (["--scale=4", "--crop=12"], "crops of 12 px do not fit into 12x10 px."),
    (["--crop=9"], "scale 2 does not divide 9x9 px; give another --crop."),
  ],
)
def test_scale_and_crops(folder, run, flags, problem):
  code, _, err = run(folder, *flags)
  if problem is None:
    assert (code, err) == (0, [])
  else:
    assert code == 2
    assert err[0].startswith(problem)


def test_many_of_another_size_are_counted(folder, run):
  for number in range(30):
    Image.new("L", (6, 6 + number)).save(folder / f"dog/other{number}.png")
  _, _, err = run(folder, "--size=12x10")
  named = [line for line in err if "/other" in line and "px, not" in line]
  assert len(named) == 20
  assert err[20].startswith("10 more images are not of config.data.size=12x10")


def test_some_files_change_all(folder, run):
  Image.new("I;16", (10, 12), 300).save(folder / "cat/deep.png")
  Image.new("RGB", (10, 12)).save(folder / "dog/red.png")
  _, out, _ = run(folder)
  assert "note: 1 of 22 images: of 16 bits, which makes all of them so" in out
  note = "note: 1 of 22 images: stored in color, which makes all of them RGB"
  assert note in out
  assert note not in run(folder, "--channels=1")[1]


def test_duplicates_may_be_allowed(folder, run):
  content = (folder / "dog/1.png").read_bytes()
  for number in range(10):
    (folder / f"cat/{number}.png").write_bytes(content)
  assert run(folder)[0] == 2
  assert run(folder, "--duplicates=allow")[0] == 0


def test_fields_of_data_are_flags(folder, run, tmp_path):
  table = tmp_path / "labels.csv"
  rows = [f"{c}/{n}.png,{n % 3}" for c in ("cat", "dog") for n in range(10)]
  table.write_text("\n".join(["file,label", *rows]))
  code, out, _ = run(
    folder, f"--labels={table}", "--classes=-2", "--size=8x8", "--fit=crop",
    "--scale=4", "--validation_fraction=0.5",
  )  # fmt: skip
  assert code == 2  # Nothing is left to train on.
  assert out[0] == f"{folder}: 14 images, 2 classes"
  assert "note: left out 6 images by config.data.classes" in out


def test_a_folder_that_cannot_be_arranged(folder, run):
  (folder / "empty").mkdir()
  code, out, err = run(folder)
  assert (code, out) == (2, [])
  assert err[0].startswith("1 class folder without images")
  assert err[-1] == "1 to fix"


def test_a_sheet_that_cannot_be_written(folder, run, tmp_path):
  (tmp_path / "file").write_text("")
  code, _, err = run(folder, f"--sheet={tmp_path / 'file/sheet.png'}")
  assert code == 2
  assert err[0].startswith("--sheet=")


@pytest.mark.parametrize("flag", ["--size=32", "--size=0x3", "--scale=1"])
def test_wrong_flags(folder, flag, capsys):
  with pytest.raises(SystemExit) as caught:
    check.main([str(folder), flag])
  assert caught.value.code == 2
  assert "has to be" in capsys.readouterr().err


def test_a_sheet_is_written(folder, run, tmp_path):
  (folder / "cat/bad.png").write_text("text")
  code, out, _ = run(folder, f"--sheet={tmp_path / 'sheet.png'}")
  assert code == 2
  assert out[-1] == f"pictures: {tmp_path / 'sheet.png'}"
  with Image.open(tmp_path / "sheet.png") as sheet:
    assert sheet.mode == "RGB"
