"""Plans that are carried out, with a network that compiles in no time."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sr2_jax import errors, names
from sr2_jax.data import image_file, pixels
from sr2_jax.prediction import (
  command_line,
  degraded,
  image_files,
  plan,
  session,
  table,
)
from tests import tiny_predictor

ROOT = pathlib.Path(__file__).parents[2]
RNG = np.random.default_rng(0)
DIGIT = RNG.integers(0, 100, (7, 7), np.uint8)
GAIN = np.float32(0.6)  # The mean of all members.


@pytest.fixture(scope="module")
def networks():
  made = {}

  def network(seeds=(0, 1, 2), **options):
    key = (seeds, *options.items())
    if key not in made:
      made[key] = tiny_predictor.make(seeds, **options)
    return made[key]

  return network


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  tiny_predictor.write(tmp_path / "run")
  pathlib.Path("in").mkdir()


@pytest.fixture
def work(networks, capsys):
  """Carries a command out: its code, its rows and what it says."""

  def run(text="", *, images=("in",), **options):
    command = command_line.parse(
      [*images, "--weights=run", "--out=out", *text.split()]
    )
    made = plan.prepare(command)
    seeds = tuple(origin.member.seed for origin in made.chosen.origins)
    network = networks(seeds, **options)
    degradation = None
    if command.degrade is not None:
      degradation = degraded.Degradation(
        made.chosen.origins[0],
        channels=network.channels,
        noise_variance=command.degrade,
      )
    code = session.Session(made, network, degradation).work()
    rows = table.read(command.table) if command.table else []
    captured = capsys.readouterr()
    return code, rows, captured.err, captured.out

  return run


def save(array, name="a.png", **options):
  Image.fromarray(array).save(pathlib.Path("in", name), **options)


def read(name):
  return image_file.read(pathlib.Path("out", name), scale=1, max_pixels=10**6)


def expected(array, gain=GAIN):
  values = np.kron(array.astype(np.float32) / 255, np.ones((2, 2)))
  return pixels.quantized(values.astype(np.float32) * gain, 8)


def test_an_image_becomes_a_picture_and_a_row(work):
  save(DIGIT)
  code, [row], err, _ = work("--table=t.jsonl")
  assert code == 0
  np.testing.assert_array_equal(
    read("a_x2.png").pixels[..., 0], expected(DIGIT)
  )
  assert row.label in ("zero", "one", "two")
  assert (row.file, row.output) == ("in/a.png", "out/a_x2.png")
  assert (row.width, row.height, row.agree) == (7, 7, 2)
  assert sum(row.probabilities.values()) == pytest.approx(1, abs=1e-6)
  assert len(row.members) == len(row.sha256) == 3
  assert err.splitlines()[-1] == "1 done, 0 failed: out"
  assert err.count("Not evidence.") == 1


def test_labels_are_held_against_folders_called_like_a_class(work):
  for name in ("zero", "one", "other"):
    pathlib.Path("in", name).mkdir()
    save(DIGIT, f"{name}/a.png")
  save(DIGIT, "b.png")
  _, rows, err, _ = work("--recursive --table=t.csv")
  truth = {row.file: row.truth for row in rows}
  assert truth == {
    "in/b.png": None, "in/one/a.png": "one", "in/other/a.png": None,
    "in/zero/a.png": "zero",
  }  # fmt: skip
  right = sum(row.label == row.truth for row in rows if row.truth)
  share = ("0.0", "50.0")[right]
  assert f"{right} of 2 labels are as their folder is called ({share}%)" in err
  assert "called" not in work("--force --classify=no --recursive")[2]


def test_bad_files_do_not_stop_the_others(work):
  whole = RNG.integers(0, 256, (99, 99), np.uint8)
  for i in range(5):
    save(whole[i:, i:], f"good{i}.png")
  save(np.dstack([whole] * 3), "half.jpg")
  for name, data in {
    "empty.png": b"",
    "text.png": b"hello",
    "cut.png": pathlib.Path("in/good0.png").read_bytes()[:2000],
    "half.jpg": pathlib.Path("in/half.jpg").read_bytes()[:900],
    "README": b"",
  }.items():
    pathlib.Path("in", name).write_bytes(data)
  pathlib.Path("in/link.png").symlink_to("nowhere")
  code, rows, err, _ = work("--table=t.csv")
  assert code == session.SOME_FAILED == 1
  lines = err.splitlines()
  assert lines[-1] == "5 done, 5 failed: out"
  assert "note: 1 other file ignored" in lines
  broken = ["cut.png", "empty.png", "half.jpg", "link.png", "text.png"]
  for name in broken:
    assert sum(line.startswith(f"in/{name}: ") for line in lines) == 1
  assert [row.file for row in rows if row.error] == [f"in/{n}" for n in broken]
  assert [row.file for row in rows] == sorted(row.file for row in rows)
  assert len(list(pathlib.Path("out").iterdir())) == 5


def test_rows_are_in_the_order_of_names_whatever_their_sizes(work):
  arrays = {}
  for i in range(30):
    size = (1 + 5 * i % 12, 1 + 7 * i % 16)
    arrays[f"{i}.png"] = RNG.integers(0, 256, size, np.uint8)
    save(arrays[f"{i}.png"], f"{i}.png")
  _, rows, _, _ = work("--table=t.jsonl --classify=no")
  assert [row.file for row in rows] == [f"in/{i}.png" for i in range(30)]
  for name, array in arrays.items():
    found = read(name.replace(".", "_x2."))
    np.testing.assert_array_equal(found.pixels[..., 0], expected(array))


def test_the_same_command_writes_the_same_bytes(work):
  for i in range(3):
    save(DIGIT[i:], f"{i}.png")
  flags = "--uncertainty --side-by-side --table=out/t.csv"
  work(flags)
  first = {p.name: p.read_bytes() for p in pathlib.Path("out").iterdir()}
  work(f"{flags} --force")
  second = {p.name: p.read_bytes() for p in pathlib.Path("out").iterdir()}
  assert first == second
  assert len(first) == 3 * 4 + 1


def test_what_was_stopped_goes_on_to_the_same_files(work, monkeypatch):
  for i in range(4):
    save(DIGIT + i, f"{i}.png")
  work("--table=t.jsonl --batch=1")
  whole = pathlib.Path("t.jsonl").read_bytes()
  for name in ("0_x2.png", "1_x2.png", "2_x2.png", "3_x2.png"):
    pathlib.Path("out", name).unlink()
  pathlib.Path("t.jsonl").unlink()
  real = session.outputs.write

  def interrupt(job, *arguments, **options):
    if job.path.name == "2.png":
      raise KeyboardInterrupt
    real(job, *arguments, **options)

  with monkeypatch.context() as patch:
    patch.setattr(session.outputs, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
      work("--table=t.jsonl --batch=1")
  assert [row.file for row in table.read(pathlib.Path("t.jsonl"))] == [
    "in/0.png", "in/1.png"
  ]  # fmt: skip
  assert not list(pathlib.Path("out").glob("*.tmp"))
  code, _, err, _ = work("--table=t.jsonl --batch=1 --skip-existing")
  assert code == 0
  assert err.splitlines()[-1] == "2 done, 0 failed, 2 skipped: out"
  assert pathlib.Path("t.jsonl").read_bytes() == whole


def test_a_file_that_cannot_be_written_ends_it(work, monkeypatch):
  save(DIGIT, "0.png")
  save(DIGIT, "1.png")
  real = image_files.write

  def full(path, *arguments, **options):
    if path.name.startswith("1"):
      raise OSError(28, "No space left on device", str(path))
    real(path, *arguments, **options)

  monkeypatch.setattr(image_files, "write", full)
  with pytest.raises(errors.UserError, match=r"1_x2\.png: No space left.*\n"):
    work()
  assert [p.name for p in pathlib.Path("out").iterdir()] == ["0_x2.png"]


def test_members_and_their_disagreement(work):
  save(DIGIT)
  work("--uncertainty --format=npy")
  values = np.kron(DIGIT / np.float32(255), np.ones((2, 2), np.float32))
  of_members = values * np.float32([0.5, 0.6, 0.7])[:, None, None]
  np.testing.assert_allclose(
    np.load("out/a_x2.npy"), of_members.mean(0), atol=1e-6
  )
  np.testing.assert_allclose(
    np.load("out/a_x2_std.npy"), of_members.std(0, ddof=1), atol=1e-6
  )
  _, [row], _, _ = work("--seeds=2 --force --table=t.csv")
  np.testing.assert_array_equal(
    read("a_x2.png").pixels[..., 0], expected(DIGIT, np.float32(0.7))
  )
  assert row.spread is None
  assert [x["seed"] for x in row.members] == [2]


def test_what_looks_wrong_is_said(work):
  save(np.full((7, 7), 200, np.uint8), "paper.png")
  save(RNG.integers(0, 99, (14, 14), np.uint8), "made.png")
  _, _, err, _ = work("--classify=no")
  assert "note: 1 image: looks inverted, dark on light; --invert" in err
  made = "14x14 is the size that this network makes, not takes (7x7)"
  assert f"{made}; --degrade makes that first" in err
  _, _, err, _ = work("--invert --force")
  assert "looks inverted" not in err
  np.testing.assert_array_equal(
    read("paper_x2.png").pixels[..., 0],
    expected(np.full((7, 7), 55, np.uint8)),
  )
  tiny_predictor.write(pathlib.Path("pairs"), low_res_path="small")
  _, _, err, _ = work("--weights=pairs --force")
  assert made in err
  assert "--degrade" not in err


def test_degrading_first_makes_the_size_of_the_original(work):
  high_res = RNG.integers(0, 99, (14, 14), np.uint8)
  save(high_res)
  _, [row], err, _ = work("--degrade --table=t.jsonl --format=npy")
  assert "not takes" not in err
  assert (row.width, row.height) == (7, 7)
  origin = tiny_predictor.origin()
  degrade = degraded.Degradation(origin, channels=1, noise_variance=0)
  low_res, _ = degrade(high_res[..., None], 0)
  np.testing.assert_allclose(
    np.load("out/a_x2.npy"),
    GAIN * np.kron(low_res[..., 0], np.ones((2, 2))),
    atol=1e-6,
  )


def test_large_images_have_a_picture_but_no_label(work):
  save(RNG.integers(0, 99, (20, 20), np.uint8))
  _, [row], err, _ = work("--table=t.jsonl")
  assert row.label is None
  assert row.note == "no label: trained on 7x7, not 20x20"
  assert row.note in err
  _, [row], _, _ = work("--table=t.jsonl --classify=yes --force")
  assert row.label is not None


def test_tiles_make_the_same_file(work, monkeypatch):
  """And the progress says which tile it is at."""
  said = []

  class Bar(session.tqdm.tqdm):
    def set_postfix_str(self, s="", refresh=True):
      said.append(s)

  monkeypatch.setattr(session.tqdm, "tqdm", Bar)
  image = RNG.integers(0, 256, (50, 70), np.uint8)
  save(image)
  _, [row], _, _ = work("--tile=32 --table=t.jsonl")
  assert "cut images get no label" in row.note
  assert len(said) > 10
  assert len(set(said)) > 2
  assert all(text.startswith("tile at row ") for text in said)
  np.testing.assert_array_equal(
    read("a_x2.png").pixels[..., 0], expected(image)
  )


# Prints the peak memory of a separate process: before, after a large image in
# tiles, and after the same image as a whole.
PEAKS = """
import pathlib, re
from sr2_jax.prediction import command_line, plan, session
from tests import tiny_predictor

network = tiny_predictor.make()

def peak(image, tile):
  command = command_line.parse(
    [image, "--weights=run", "--out=out", f"--tile={tile}", "--force"]
  )
  session.Session(plan.prepare(command), network).work()
  # Of this program: ru_maxrss counts the process that it was forked from too.
  status = pathlib.Path("/proc/self/status").read_text()
  print(1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", status)[1]))

peak("in/small.png", 64)
peak("in/large.png", 64)
peak("in/large.png", 0)
"""


def test_a_large_image_takes_the_memory_of_a_tile_and_the_output():
  """Of a few outputs: it is encoded as well. As a whole it takes 34."""
  save(np.zeros((600, 750), np.uint8), "small.png")
  save(np.zeros((1200, 1500), np.uint8), "large.png")
  done = subprocess.run(
    [sys.executable, "-c", PEAKS],
    check=True,
    capture_output=True,
    text=True,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
  )
  before, tiled, whole = map(int, done.stdout.split())
  output = 2400 * 3000
  assert tiled - before < 8 * output
  assert whole - before > 16 * output


def test_the_bits_and_the_orientation_of_a_file_are_kept(work):
  deep = DIGIT.astype(np.uint16) * 257
  deep[0, 0] += 2  # Less than 8 bits can tell.
  save(deep, "deep.png")
  exif = Image.Exif()
  exif[0x0112] = 6  # To be turned clockwise.
  save(RNG.integers(0, 99, (7, 9), np.uint8), "turned.jpg", exif=exif)
  work("--seeds=0")
  found = read("deep_x2.png")
  assert found.bits == 16
  values = deep.repeat(2, 0).repeat(2, 1).astype(np.float32) / 65535
  np.testing.assert_array_equal(
    found.pixels[..., 0], pixels.quantized(values * np.float32(0.5), 16)
  )
  with Image.open("out/turned_x2.png") as image:
    assert image.size == (14, 18)
    assert not image.getexif()


def test_gray_colors_and_alpha(work):
  color = RNG.integers(0, 99, (7, 7, 3), np.uint8)
  alpha = RNG.integers(0, 256, (7, 7), np.uint8)
  save(color, "color.png", icc_profile=b"mine")
  save(np.dstack([DIGIT, alpha]), "alpha.png")
  save(np.dstack([DIGIT] * 3), "gray.png")
  _, rows, err, _ = work("--table=t.jsonl")
  assert "1 image: colors: the network is gray and gets the luma only" in err
  assert "color profile: not kept" in rows[1].note
  assert read("color_x2.png").pixels.shape == (14, 14, 1)
  assert read("gray_x2.png").pixels.shape == (14, 14, 1)
  found = read("alpha_x2.png")
  np.testing.assert_array_equal(found.pixels[..., 0], expected(DIGIT))
  np.testing.assert_array_equal(found.alpha, image_files.enlarged(alpha, 2))
  work("--color=chroma --force")
  assert read("color_x2.png").pixels.shape == (14, 14, 3)
  assert read("color_x2.png").profile == b"mine"


def test_an_rgb_network_gives_gray_for_gray(work):
  color = RNG.integers(0, 99, (7, 7, 3), np.uint8)
  save(color, "color.png")
  save(DIGIT, "gray.png")
  _, _, err, _ = work("", channels=3)
  assert "1 image: gray: the mean of the network's three channels" in err
  np.testing.assert_array_equal(
    read("gray_x2.png").pixels[..., 0], expected(DIGIT)
  )
  for i in range(3):
    np.testing.assert_array_equal(
      read("color_x2.png").pixels[..., i], expected(color[..., i])
    )


def test_too_large_an_output_fails_with_the_number(work):
  save(DIGIT, "0.png")
  save(np.vstack([DIGIT, DIGIT]), "1.png")
  code, _, err, _ = work("--max-pixels=200")
  assert code == 1
  assert "in/1.png: it would become 14 x 28 pixels; --max-pixels=392" in err


def test_rows_for_programs(work):
  save(DIGIT, "0.png")
  pathlib.Path("in/1.png").write_text("")
  code, _, err, out = work("--json --quiet")
  assert code == 1
  failed, done, summary = map(json.loads, out.splitlines())
  assert done["file"] == "in/0.png"
  assert failed["error"].startswith("in/1.png: ")
  assert summary["summary"]["done"] == summary["summary"]["failed"] == 1
  assert summary["summary"]["about"] == names.CAUTION
  # Only failures.
  assert len(err.splitlines()) == 1
