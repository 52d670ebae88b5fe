"""Flags of the command that writes a page."""

import pathlib

import pytest

from sr2_jax import errors
from sr2_jax.demo import command_line


def parse(text):
  return command_line.parse(text.split())


def test_the_first_seed_and_demo_html_unless_said_otherwise():
  command = parse("--weights=runs/mine")
  assert command.weights == "runs/mine"
  assert command.seeds == "first"
  assert command.out == pathlib.Path("demo.html")
  assert not command.force


def test_all_flags():
  command = parse(
    "--weights=a --method=fsrcnn --checkpoint=best --seeds=2 --member=1"
    " --out=b.htm --force"
  )
  assert (command.method, command.checkpoint) == ("fsrcnn", "best")
  assert (command.seeds, command.member) == ((2,), 1)
  assert command.out == pathlib.Path("b.htm")
  assert command.force


@pytest.mark.parametrize(
  ("text", "problem"),
  [
    ("", "--weights is missing"),
    ("--wieghts=a", "did you mean --weights?"),
    ("--weights=a digit.png", "digit.png: the page takes no images"),
    ("--weights=a --seeds=all", "--seeds=all: a page holds one network"),
    ("--weights=a --seeds=0,1", "a page holds one network"),
    ("--weights=a --checkpoint=first", "--checkpoint"),
    ("--weights=a --member=-1", "--member"),
    ("--weights=a --out=demo", "has to end in .html"),
    ("--weights=a --out=gs://a/b.html", "is a URL"),
    ("--weights=a --force=1", "--force"),
  ],
)
def test_a_mistake_is_named_in_one_line(text, problem):
  with pytest.raises(errors.UserError, match=problem.replace("?", r"\?")) as e:
    parse(text)
  assert len(str(e.value).splitlines()) == 1


def test_a_folder_is_no_page(tmp_path):
  (tmp_path / "demo.html").mkdir()
  with pytest.raises(errors.UserError, match="is a folder"):
    parse(f"--weights=a --out={tmp_path}/demo.html")
