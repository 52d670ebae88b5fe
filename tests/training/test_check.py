"""The check of a folder and a config: all that is wrong, at once."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sr2_jax.training import check

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
  """Two classes of ten images of 14 x 12 pixels, all different."""
  random = np.random.default_rng(0)
  for name in ("cat", "dog"):
    (tmp_path / "photos" / name).mkdir(parents=True)
    for number in range(10):
      pixels = random.integers(0, 256, (14, 12), np.uint8)
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
    "sizes: 14x12 (20)",
    "stored as: gray of 8 bits (20)",
    "note: validation and test split off by split_seed=0",
    "note: config.batch_size is 64, more than the 12 training images of "
    "folder.",
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
  assert "cat/a.png: 9x9 px, not of 14x12 px (height x width), the most" in text
  assert "dog/b.png: 9x7 px, not of 14x12 px" in text
  assert "config.data.size=14x12 makes them one size" in text
  assert "scale=4 does not divide the image size of 14x12 px" in text
  assert "equal, but in two splits." in text
  # The way out of sizes is a line, but no problem; the last line counts.
  assert err[-1] == f"{len(err) - 2} to fix"
  assert "stored as: gray of 8 bits (31), color of 8 bits (1)" in out
  assert any("left out 1 file (Thumbs.db)" in line for line in out)


@pytest.mark.parametrize(
  ("flags", "problem"),
  [
    (["--scale=4"], "config.data.fit=crop cuts them to 12x12 px."),
    (
      ["--scale=4", "--size=13x12", "--fit=crop"],
      "scale=4 does not divide the image size of 13x12 px; "
      "config.data.size=12x12 fits.",
    ),
    (["--scale=4", "--crop=12"], None),
    (["--crop=14"], "config.augmentation.crop=14 does not fit into images of"),
    (["--scale=5", "--crop=12"], "does not divide the crop size of 12x12 px"),
    (
      ["--size=10x12", "--fit=crop"],
      "images are 10x12 px; SSIM's window needs at least 11 px",
    ),
  ],
)
def test_scale_and_crops(folder, run, flags, problem):
  code, _, err = run(folder, *flags)
  if problem is None:
    assert (code, err) == (0, [])
  else:
    assert code == 2
    assert problem in err[0]
    assert err[1:] == ["1 to fix"]


def test_many_of_another_size_are_counted(folder, run):
  for number in range(30):
    Image.new("L", (6, 6 + number)).save(folder / f"dog/other{number}.png")
  _, _, err = run(folder, "--size=14x12")
  named = [line for line in err if "/other" in line and "px, not" in line]
  assert len(named) == 20
  assert err[20].startswith("10 more images are not of config.data.size=14x12")


def test_some_files_change_all(folder, run):
  Image.new("I;16", (12, 14), 300).save(folder / "cat/deep.png")
  Image.new("RGB", (12, 14)).save(folder / "dog/red.png")
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


@pytest.mark.parametrize(
  ("flags", "make_other"),
  [
    (["--size=12x12", "--fit=crop"], lambda pixels: pixels[1:13]),
    (
      ["--size=16x12", "--fit=pad"],
      lambda pixels: np.pad(pixels, ((1, 1), (0, 0)), mode="edge"),
    ),
    ([], lambda pixels: pixels.astype(np.uint16) * 257),
  ],
  ids=["crop", "pad", "16 bits"],
)
def test_duplicates_are_found_in_the_form_that_a_run_gives_them(
  folder, run, flags, make_other
):
  pixels = np.random.default_rng(1).integers(0, 256, (14, 12), np.uint8)
  for split in ("train", "test"):
    (folder / split).mkdir()
  for name in ("cat", "dog"):
    (folder / name).rename(folder / "train" / name)
  (folder / "test/cat").mkdir()
  Image.fromarray(pixels).save(folder / "train/cat/one.png")
  Image.fromarray(make_other(pixels)).save(folder / "test/cat/two.png")
  code, _, err = run(folder, *flags)
  assert code == 2
  assert len(err) == 2
  assert "train/cat/one.png and " in err[0]
  assert "test/cat/two.png: equal, but in two splits." in err[0]


def test_what_is_done_to_images_is_noted(folder, run):
  out = run(folder, "--size=28x28", "--fit=resize")[1]
  assert "note: 20 of 20 images: enlarged, which adds no detail" in out
  assert "note: 20 of 20 images: padded" in out


def test_a_rotation_behind_the_pixels(folder, run):
  """Known once the pixels are decoded, unlike one in the header."""
  path = folder / "cat/0.png"
  exif = Image.Exif()
  exif[0x0112] = 6  # To be turned by 90 degrees.
  with Image.open(path) as image:
    image.save(path, exif=exif)
  content = path.read_bytes()
  start = content.index(b"eXIf") - 4
  # Length, name and sum of a chunk have four bytes each.
  end = start + 12 + int.from_bytes(content[start : start + 4], "big")
  chunk, rest = content[start:end], content[:start] + content[end:]
  behind = rest.index(b"IEND") - 4
  path.write_bytes(rest[:behind] + chunk + rest[behind:])
  code, _, err = run(folder)
  assert code == 2
  assert "cat/0.png: its EXIF rotation stands behind its pixels" in err[0]
  assert run(folder, "--size=12x12", "--fit=crop")[0] == 0


def test_images_that_nothing_is_left_of(folder, run):
  code, _, err = run(folder, "--scale=16", "--fit=crop")
  assert code == 2
  assert err[0].startswith("config.degradation.scale=16 does not divide the im")
  assert err[1:] == ["1 to fix"]


def test_names_of_classes_stay_in_a_line(folder, run, tmp_path):
  (folder / "cat").rename(folder / "c\na\x1bt")
  (folder / "dog").rename(folder / "d\udce9g")
  code, out, err = run(folder, f"--sheet={tmp_path / 'sheet.png'}")
  assert code == 2  # Pictures and weights could not hold the second name.
  assert out[2].split() == ["'c\\na\\x1bt'", "6", "2", "2"]
  assert out[3].split() == ["'d\\udce9g'", "6", "2", "2"]
  assert err[0] == "Names of classes that are no UTF-8: 'd\\udce9g'."


def test_one_image_of_one_class(tmp_path, run):
  (tmp_path / "cat").mkdir()
  Image.new("L", (12, 12)).save(tmp_path / "cat/1.png")
  code, out, _ = run(tmp_path)
  assert code == 2  # Nothing is left for validation.
  assert out[0] == f"{tmp_path}: 1 image, 1 class"
  assert out[-1] == (
    "note: a classifier needs two classes; config.model.wiring=none does "
    "without."
  )


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


def test_what_is_arranged_wrongly_hides_no_file(folder, run):
  (folder / "empty").mkdir()
  (folder / "cat/more/yet").mkdir(parents=True)
  (folder / "cat/more/yet/bad.png").write_text("text")
  Image.new("L", (12, 14)).save(folder / "beside.png")
  code, out, err = run(folder, "--classes=cow,dog")
  assert code == 2
  text = "\n".join(err)
  assert "1 image beside class folders such as " in text
  assert "1 folder within class folders: " in text
  assert "1 class folder without images: " in text
  assert 'there is no class "cow"' in text
  assert "cat/more/yet/bad.png: cannot be read as an image" in text
  assert err[-1] == "5 to fix"
  assert out[0] == f"{folder}: 22 images, 2 classes"


def test_what_is_wrong_with_a_table_hides_no_file(folder, run, tmp_path):
  (folder / "cat/bad.png").write_text("text")
  table = tmp_path / "labels.csv"
  table.write_text(
    "file,label\ncat/1.png,a\ncat/bad.png,b\ncat/2.png\n../x.png,a\n"
    "cat/none.png,b\n"
  )
  code, _, err = run(folder, f"--labels={table}")
  assert code == 2
  text = "\n".join(err)
  assert "1 of 5 lines without a file or label: line 4." in text
  assert "1 of 5 lines with a path that is not below" in text
  assert "1 file of 3 is not in " in text
  assert "cat/bad.png: cannot be read as an image" in text
  table.write_text("name;class\n")
  _, out, err = run(folder, f"--labels={table}")
  assert "has to name the columns file and label" in err[0]
  assert "cat/bad.png: cannot be read as an image" in "\n".join(err)
  assert out[0] == f"{folder}: 21 images, no classes"


def test_a_sheet_that_cannot_be_written(folder, run, tmp_path):
  (tmp_path / "file").write_text("")
  code, _, err = run(folder, f"--sheet={tmp_path / 'file/sheet.png'}")
  assert code == 2
  assert err[0].startswith("--sheet=")


@pytest.mark.parametrize(
  ("flags", "problem"),
  [
    (["--size=32"], "config.data.size"),
    (["--size=0x3"], "config.data.size"),
    (["--scale=1"], "config.degradation.scale"),
    (["--fit=stretch"], "config.data.fit"),
    (["--scael=2"], "There is no flag --scael; did you mean --scale?"),
    (["--path=photos"], "There is no flag --path; see --help."),
    (["--config.data.sise=3x3"], "config.data.size?"),
    (["--config=experiments/none.py"], "none.py"),
    (["--config.data.path=nowhere"], '"nowhere", which is not a folder'),
  ],
)
def test_mistakes_are_told_before_a_file_is_read(folder, run, flags, problem):
  code, out, err = run(folder, *flags)
  assert (code, out) == (2, [])
  assert problem in err[0]


def test_a_folder_or_a_config_is_needed(run):
  assert "Give the folder of the images" in run()[2][0]


def test_a_sheet_is_written(folder, run, tmp_path):
  (folder / "cat/bad.png").write_text("text")
  code, out, _ = run(folder, f"--sheet={tmp_path / 'sheet.png'}")
  assert code == 2
  assert out[-1] == f"pictures: {tmp_path / 'sheet.png'}"
  with Image.open(tmp_path / "sheet.png") as sheet:
    assert sheet.mode == "RGB"


@pytest.fixture
def config(tmp_path, folder):
  """An experiment file of a tiny run on the folder, resized to 16 x 16."""
  path = tmp_path / "photos.py"
  path.write_text(
    "from tests import tiny\n\n\ndef get_config():\n"
    "  config = tiny.get_config()\n"
    f"  config.data.name, config.data.path = 'folder', {str(folder)!r}\n"
    "  config.data.size, config.data.fit = '16x16', 'resize'\n"
    "  config.data.max_train_images = 0\n"
    "  config.batch_size = 4\n"
    "  config.parallel.num_devices = 1\n"
    "  return config\n"
  )
  return path


def test_a_config_tells_time_and_memory(
  config, run, tmp_path, monkeypatch, settings_of_jax, programs_of_runs
):
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(programs_of_runs))
  monkeypatch.chdir(tmp_path)
  code, out, err = run(f"--config={config}", "--config.joint.num_epochs=2")
  assert code == 0
  assert "sizes: 14x12 (20)" in out
  pretrain, joint, total, memory = out[-4:]
  assert re.fullmatch(
    r"pretrain: [\d,]+ ms a step, \d+ steps in \d+ epochs? take [\d:]+; "
    r"compiling took [\d:]+",
    pretrain,
  )
  assert re.match(r"joint: .* 6 steps in 2 epochs take ", joint)
  assert re.fullmatch(
    r"training: [\d:]+ on 1 x cpu, with [\d.]+ GB of memory; evaluations "
    "come on top",
    total,
  )
  assert re.fullmatch(
    r"memory: at least [\d.]+ GB; \w+ joint needs most, [\d.]+ GB of it for "
    r"\S.*",
    memory,
  )
  assert "training a few steps ..." in err
  assert not (tmp_path / "runs").exists()


def test_a_config_is_checked_with_its_own_fields(config, run, folder):
  """The classifier that it has, and what its batches need."""
  for path in (folder / "dog").iterdir():
    path.unlink()
  (folder / "dog").rmdir()
  code, _, err = run(f"--config={config}")
  assert code == 2
  assert "has one class; the classifier of joint needs two" in err[0]
  code, _, err = run(
    f"--config={config}", "--config.model.wiring=none",
    "--config.batch_size=64",
  )  # fmt: skip
  assert code == 2
  assert "config.batch_size is 64, more than the 6 training images" in err[-2]
  # With what else is wrong, before anything is trained.
  (folder / "cat/bad.png").write_text("text")
  err = run(
    f"--config={config}", "--config.model.wiring=none",
    "--config.batch_size=64",
  )[2]  # fmt: skip
  assert "cat/bad.png: cannot be read" in err[0]
  assert "config.batch_size is 64, more than the 7 training images" in err[1]
  assert err[2:] == ["2 to fix"]


def test_ctrl_c_is_no_traceback(folder, run, monkeypatch):
  def interrupted(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(check.inspection, "examine", interrupted)
  assert run(folder) == (130, [], ["stopped by Ctrl-C"])


# The limit leaves room for all but the pixels of one file.
WITH_LITTLE_MEMORY = """
import resource, sys
from sr2_jax import memory
from sr2_jax.training import check
numbers = memory._numbers(memory.pathlib.Path("/proc/self/status"))
limit = numbers["VmSize"] + 150_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(check.main(sys.argv[1:]))
"""


def test_a_huge_image_under_a_limit_is_a_line(folder):
  Image.new("L", (12_000, 8_000)).save(folder / "cat/huge.png")
  done = subprocess.run(
    [sys.executable, "-c", WITH_LITTLE_MEMORY, str(folder), "--fit=crop"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 2, done.stderr
  [line] = [x for x in done.stderr.splitlines() if "huge.png" in x]
  assert "huge.png: 12,000 x 8,000 pixels need 0.2 GB of memory" in line
  assert "Traceback" not in done.stderr


def test_memory_that_ends_is_no_traceback(folder, run, monkeypatch):
  def fail(*_):
    raise MemoryError("no room")

  monkeypatch.setattr(check.inspection, "examine", fail)
  code, _, err = run(folder)
  assert (code, err[0]) == (2, "Out of memory: no room.")


def test_a_data_set_with_a_name_has_no_folder_to_check(run):
  code, out, err = run(
    "--config=experiments/fsrcnn_x4.py", "--config.degradation.scale=5"
  )
  assert (code, out) == (2, [])
  assert "scale=5 does not divide the image size of 28x28 px" in err[0]
  code, out, err = run(
    "--config=experiments/quickstart.py", "--sheet=sheet.png"
  )
  assert (code, out) == (2, [])
  assert err[0] == "--sheet shows the images of a folder, not those of mnist5k."


def test_a_wiring_asks_for_classes_without_a_config_too(folder, run):
  for path in (folder / "dog").iterdir():
    path.unlink()
  (folder / "dog").rmdir()
  assert run(folder)[0] == 0
  code, _, err = run(folder, "--config.model.wiring=parallel")
  assert code == 2
  assert "has one class; the classifier of joint needs two" in err[0]
