"""Flags, and a line for each mistake."""

import pathlib

import pytest

from sr2_jax import errors
from sr2_jax.prediction import command_line


def parse(text):
  return command_line.parse(["a.png", "--weights=run", *text.split()])


def test_defaults():
  command = parse("")
  assert command.images == ("a.png",)
  assert command.weights == "run"
  assert command.out == pathlib.Path("sr2_out")
  assert (command.tile, command.batch, command.degrade) == (None, None, None)
  assert (command.seeds, command.format, command.bits) == ("all", "png", "auto")
  assert command.max_pixels == 2**30


def test_values():
  command = parse(
    "b.png --out=~/x --seeds=0,2,0 --tile=0 --batch 8 --format=npy "
    "--table=t.csv --max-pixels=1,000_000 --skip-existing --side-by-side"
  )
  assert command.images == ("a.png", "b.png")
  assert command.out == pathlib.Path("~/x").expanduser()
  assert command.seeds == (0, 2)
  assert (command.tile, command.batch) == (0, 8)
  assert command.max_pixels == 10**6
  assert command.table == pathlib.Path("t.csv")
  assert command.skip_existing
  assert command.side_by_side
  assert parse("--tile=auto --batch=auto").tile is None


def test_the_example_is_a_folder_that_comes_with_the_package():
  command = command_line.parse(["--example", "--weights=run"])
  [folder] = map(pathlib.Path, command.images)
  assert [path.suffix for path in folder.iterdir()] == [".png"] * 4
  assert len(parse("--example").images) == 2


def test_degrade_takes_no_image_for_its_value():
  command = parse("--degrade b.png")
  assert command.degrade == 0
  assert command.images == ("a.png", "b.png")
  assert parse("--degrade=1e-3").degrade == 1e-3


@pytest.mark.parametrize(
  ("text", "problem"),
  [
    ("--wieghts=a", "no flag --wieghts; did you mean --weights?"),
    ("--xyzzy", "no flag --xyzzy; see --help."),
    ("--force=1", "--force"),
    ("--out=--", "--out=--: the value is missing"),
    ("--forc", "no flag --forc; did you mean --force?"),
    ("--format=jpg", "--format: invalid choice: 'jpg'"),
    ("--classify=maybe", "--classify: invalid choice"),
    ("--tile=x", "--tile: 'x' is no whole number"),
    ("--batch=0", "--batch: '0' is no whole number of 1 or more"),
    ("--seeds=a", "--seeds=a: give all, first"),
    ("--force --skip-existing", "not both"),
    ("--bits=16 --format=webp", "a WebP has 8"),
    ("--suffix=a/b", "cannot hold a /"),
    ("--degrade=-1", "--degrade takes a noise variance"),
    ("--degrade=nan", "--degrade takes a noise variance"),
    ("--degrade=1e400", "--degrade takes a noise variance from 0 to 1000"),
    ("--degrade=1e30", "--degrade takes a noise variance from 0 to 1000"),
    (f"--batch={10**20}", "no whole number of 1 or more, up to"),
    (f"--tile={'9' * 5000}", "no whole number of 0 or more, up to"),
    (f"--max-pixels={'9' * 5000}", "no whole number of 1 or more, up to"),
    (f"--seeds={'9' * 5000}", "give all, first, or numbers"),
    (f"--format={'y' * 100_000}", "--format: invalid choice"),
    ("--degrade --color=chroma", "--degrade makes gray"),
    ("--table=t.txt", "has to end in .jsonl or .csv"),
    ("--out=s3://a/b", "is a URL"),
    ("--out", "--out: expected one argument"),
  ],
)
def test_mistakes(text, problem):
  with pytest.raises(errors.UserError) as caught:
    parse(text)
  assert problem in str(caught.value)
  assert "\n" not in str(caught.value)


def test_what_is_missing_is_named():
  with pytest.raises(errors.UserError, match="--weights is missing"):
    command_line.parse(["a.png"])
  with pytest.raises(errors.UserError, match="Give the images"):
    command_line.parse(["--weights=a"])
