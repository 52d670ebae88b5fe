import dataclasses
import os
import subprocess
import sys

import pytest
from PIL import Image

from sr2_jax.records import rows as rows_lib
from sr2_jax.report import __main__ as report
from sr2_jax.report import tables
from tests import paper_world, result_rows
from tests.report import test_divergences


def test_the_command_prints_tables_and_draws_into_the_run(tmp_path, capsys):
  run = tmp_path / "quickstart"
  rows_lib.merge(run / "results.jsonl", result_rows.run())
  assert report.main([str(run)]) == 0
  output = capsys.readouterr().out
  for metric in ("ssim", "accuracy"):
    assert (
      tables.table(result_rows.run(), metric=metric, split="test") in output
    )
  path = run / "images" / "curves_test.png"
  assert output.splitlines()[-1] == str(path)
  with Image.open(path) as image:
    assert image.width > 1600


def test_the_command_names_members_that_diverged(tmp_path, capsys):
  for name in ("good", "bad"):
    rows = [result_rows.row(experiment=name)]
    rows_lib.merge(tmp_path / name / "results.jsonl", rows)
  (tmp_path / "bad" / "DONE").write_text(test_divergences.DONE)
  for path, is_named in ((tmp_path / "bad", True), (tmp_path / "good", False)):
    assert report.main([str(path)]) == 0
    assert ("\n  bad: seed 1, " in capsys.readouterr().out) == is_named


def test_the_command_prints_corruptions_last(tmp_path, capsys):
  rows = result_rows.corrupted("sr2_fsrcnn", 0.8, jpeg=(10, 50))
  other = result_rows.corrupted("wdsr", 0.8, blur=(2.0,))
  other = [dataclasses.replace(row, scale=2) for row in other]
  rows = [*rows, *other, *result_rows.run()]
  rows_lib.merge(tmp_path / "results.jsonl", rows)
  assert report.main([str(tmp_path)]) == 0
  output = capsys.readouterr().out
  table = tables.corruption_table(rows, metric="ssim", split="test")
  assert output.index(table) > output.index("Accuracy")
  # Of scale 2 there are no rows to draw a curve from.
  assert output.splitlines()[-1].endswith("curves_test.png")


def test_the_command_takes_several_runs(tmp_path, capsys):
  for scale in (2, 4):
    rows = [
      result_rows.row(scale=scale, split="validation", metric=m)
      for m in ("ssim", "f1")
    ]
    rows_lib.merge(tmp_path / f"x{scale}" / "results.jsonl", rows)
  out = tmp_path / "out"
  arguments = [
    str(tmp_path / "x2"), str(tmp_path / "x4"), "--out", str(out),
    "--split", "validation", "--metric", "f1",
  ]  # fmt: skip
  assert report.main(arguments) == 0
  output = capsys.readouterr().out
  title = "F1 (mean over the classes, weighted by their size)"
  assert output.count(f"{title}: mnist5k validation") == 2
  assert "SSIM on" not in output
  assert {"report.html", "report.md"} <= {path.name for path in out.iterdir()}


def test_a_folder_of_rows_gets_a_page_and_a_summary(tmp_path, capsys):
  """Two files clash, which is said on the page."""
  for name, value in (("a", 0.8), ("b", 0.7)):
    rows_lib.merge(
      tmp_path / "rows" / f"{name}.jsonl", [result_rows.row(value=value)]
    )
  out = tmp_path / "out"
  assert report.main([str(tmp_path / "rows"), f"--out={out}"]) == 0
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) <= 25
  assert lines[-1] == str(out / "report.html")
  assert "`b` is another run" in (out / "report.md").read_text()


@pytest.mark.parametrize("folder", ["file", "file/out"])
def test_an_output_folder_that_cannot_be_made(tmp_path, capsys, folder):
  (tmp_path / "file").write_text("in the way")
  rows_lib.merge(tmp_path / "rows.jsonl", result_rows.run())
  arguments = [str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / folder)]
  assert report.main(arguments) == 2
  [line] = capsys.readouterr().err.splitlines()
  assert str(tmp_path / "file") in line


def test_a_folder_of_runs_gets_a_page(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  paper_world.write_run(
    tmp_path / "runs" / "wdsr", "wdsr", paper_world.constant(0.7)
  )
  assert report.main(["runs", "--metric", "ssim"]) == 0
  lines = capsys.readouterr().out.splitlines()
  assert lines[-2:] == ["report/report.md", "report/report.html"]
  text = (tmp_path / "report" / "report.md").read_text()
  assert "python -m sr2_jax.report runs --out report" in text
  assert "| WDSR | 0.768 | 0.700 ± 0.002 |" in text


def test_one_run_alone_gets_no_page_unless_a_folder_is_named(tmp_path):
  run = paper_world.write_run(
    tmp_path / "wdsr", "wdsr", paper_world.constant(0.7)
  )
  assert report.main([str(run)]) == 0
  assert not list(tmp_path.rglob("report.*"))
  assert report.main([str(run), "--out", str(tmp_path / "out")]) == 0
  assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.parametrize(
  "arguments", [["nowhere"], ["run", "--split", "train"]]
)
def test_a_users_error_is_two_lines(tmp_path, monkeypatch, capsys, arguments):
  monkeypatch.chdir(tmp_path)
  rows_lib.merge("run/results.jsonl", [result_rows.row()])
  assert report.main(arguments) == 2
  output = capsys.readouterr()
  assert output.out == ""
  assert 1 <= len(output.err.splitlines()) <= 2


def test_help_needs_no_matplotlib():
  code = (
    "import sys; from sr2_jax.report import __main__ as report\n"
    "try: report.main(['--help'])\n"
    "finally: assert 'matplotlib' not in sys.modules"
  )
  output = subprocess.run(
    [sys.executable, "-c", code], check=True, capture_output=True, text=True
  )
  assert "usage: python -m sr2_jax.report" in output.stdout


@pytest.mark.parametrize(
  "arguments", [["az://bucket/run"], ["{run}", "--out=s3://bucket/report"]]
)
def test_urls_are_refused(tmp_path, capsys, arguments):
  rows_lib.merge(tmp_path / "results.jsonl", result_rows.run())
  before = sorted(tmp_path.rglob("*"))
  typed = [argument.format(run=tmp_path) for argument in arguments]
  assert report.main(typed) == 2
  captured = capsys.readouterr()
  assert captured.out == ""
  assert "://bucket" in captured.err
  assert len(captured.err.splitlines()) == 1
  assert sorted(tmp_path.rglob("*")) == before


def test_brackets_in_names_are_no_patterns(tmp_path, capsys):
  run, out = tmp_path / "run[1]", tmp_path / "[report]"
  rows_lib.merge(run / "results.jsonl", result_rows.run())
  assert report.main([str(run), f"--out={out}"]) == 0
  assert (out / "report.html").is_file()


def test_all_rows_as_one_table(tmp_path, monkeypatch, capsys):
  """Of every split and every recipe, and nothing else is written."""
  monkeypatch.chdir(tmp_path)
  rows_lib.merge("runs/a/results.jsonl", [result_rows.row()])
  other = [result_rows.row(split="validation")]
  rows_lib.merge("runs/why_b/results.jsonl", other)
  assert report.main(["runs", "--csv=all.csv"]) == 0
  assert capsys.readouterr().out == "all.csv: 2 rows of 2 files\n"
  lines = (tmp_path / "all.csv").read_text().splitlines()
  assert [line.rpartition(",")[2] for line in lines] == [
    "file", "runs/a/results.jsonl", "runs/why_b/results.jsonl"
  ]  # fmt: skip
  assert report.main(["runs", "--csv=all.csv"]) == 2
  assert report.main(["runs", "--csv=all.csv", "--force"]) == 0
  assert {path.name for path in tmp_path.iterdir()} == {"runs", "all.csv"}


@pytest.mark.parametrize(
  "flag", ["--out=page", "--split=test", "--metric=ssim"]
)
def test_a_table_of_all_rows_takes_no_choice(tmp_path, capsys, flag):
  rows_lib.merge(tmp_path / "results.jsonl", [result_rows.row()])
  path = tmp_path / "all.csv"
  assert report.main([str(tmp_path), f"--csv={path}", flag]) == 2
  [line] = capsys.readouterr().err.splitlines()
  assert f"leave {flag.partition('=')[0]} out" in line
  assert not path.exists()


def test_a_reader_that_leaves_gets_a_page_all_the_same(tmp_path):
  """As of `| head -1`: the page is written after the first line."""
  rows_lib.merge(tmp_path / "run" / "results.jsonl", result_rows.run())
  out = tmp_path / "out"
  command = [
    sys.executable, "-m", "sr2_jax.report", str(tmp_path / "run"),
    f"--out={out}", "--metric=ssim",
  ]  # fmt: skip
  done = subprocess.run(
    ["bash", "-c", 'set -o pipefail; "$@" | true', "x", *command],
    check=False,
    capture_output=True,
    text=True,
    env={**os.environ, "PYTHONIOENCODING": "ascii", "MPLBACKEND": "nonsense"},
  )
  assert (done.returncode, done.stderr) == (0, "")
  assert {"report.html", "report.md"} <= {path.name for path in out.iterdir()}
