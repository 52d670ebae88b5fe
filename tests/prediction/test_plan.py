"""What a command will do, and what it refuses before anything is loaded."""

import pathlib

import pytest
from PIL import Image

from sr2_jax import errors, paths
from sr2_jax.prediction import command_line, plan, table
from tests import tiny_predictor


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  tiny_predictor.write(tmp_path / "run")
  for name in ("a", "b", "c"):
    Image.new("L", (7, 7)).save(f"{name}.png")


def prepare(text=""):
  words = ["a.png", "b.png", "c.png", "--weights=run", "--out=out"]
  return plan.prepare(command_line.parse([*words, *text.split()]))


def jobs(text=""):
  return [job.path.name for job in prepare(text).jobs]


def test_names_have_the_scale():
  assert [str(job.output) for job in prepare().jobs] == [
    "out/a_x2.png", "out/b_x2.png", "out/c_x2.png"
  ]  # fmt: skip
  assert prepare("--suffix=").jobs[0].output == pathlib.Path("out/a.png")


def make(*names):
  pathlib.Path("out").mkdir(exist_ok=True)
  for name in names:
    pathlib.Path("out", name).write_text("")


def test_existing_outputs_are_kept_skipped_or_replaced():
  make("a_x2.png", "b_x2_std.png")
  with pytest.raises(errors.UserError, match=r"exist: out/a_x2\.png\."):
    prepare()
  assert jobs("--force") == ["a.png", "b.png", "c.png"]
  assert jobs("--skip-existing") == ["b.png", "c.png"]
  # With a map as well, none of them is complete.
  assert len(jobs("--skip-existing --uncertainty")) == 3


def test_an_image_without_a_row_is_not_done():
  make("a_x2.png", "b_x2.png", "c_x2.png")
  row = {"weights": "run", "sha256": []}
  table.write(
    pathlib.Path("t.csv"),
    [
      table.Row(file="a.png", **row),
      table.Row(file="b.png", error="b.png: bad", **row),
    ],
  )
  assert jobs("--skip-existing --table=t.csv") == ["b.png", "c.png"]
  assert jobs("--skip-existing") == []
  assert set(prepare("--skip-existing --table=t.csv").rows) == {
    "a.png", "b.png"
  }  # fmt: skip


def test_an_existing_table_is_not_replaced():
  table.write(pathlib.Path("t.jsonl"), [])
  with pytest.raises(errors.UserError, match=r"exist: t\.jsonl"):
    prepare("--table=t.jsonl")
  assert prepare("--table=t.jsonl --force").rows == {}


def test_what_the_weights_cannot_do_is_refused():
  with pytest.raises(errors.UserError, match="one network has no spread"):
    prepare("--uncertainty --seeds=first")
  tiny_predictor.write(pathlib.Path("gray"), wiring="none")
  with pytest.raises(errors.UserError, match="has no classifier"):
    prepare("--weights=gray --classify=yes")


def test_a_file_is_no_output_folder():
  pathlib.Path("out").write_text("")
  with pytest.raises(errors.UserError, match="--out=out is a file"):
    prepare()
  with pytest.raises(errors.UserError, match="--table=out is a file"):
    prepare("--out=other --table=out/t.csv")


def test_nothing_is_predicted_that_cannot_be_written(monkeypatch):
  # Root may write everywhere, so folders are only said to be read-only.
  monkeypatch.setattr(paths.os, "access", lambda path, mode: False)
  with pytest.raises(errors.UserError, match=r"^--out=out: nothing can be"):
    prepare()


def test_a_network_of_pairs_degrades_nothing():
  tiny_predictor.write(pathlib.Path("pairs"), low_res_path="photos/small")
  prepare("--weights=pairs")
  with pytest.raises(errors.UserError, match=r"low_res_path=photos/small\)"):
    prepare("--weights=pairs --degrade")
