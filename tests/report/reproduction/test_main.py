"""docs/reproduction.md is what its rows say, and numbers by hand are few."""

import pathlib
import re
import shutil

import pytest

from sr2_jax import errors
from sr2_jax.report.reproduction import __main__ as reproduction

ROOT = pathlib.Path(__file__).parents[3]
PAGE = ROOT / reproduction.PAGE
REPORT = ROOT / reproduction.REPORT
RESULTS = ROOT / reproduction.RESULTS
AGAIN = "run python -m sr2_jax.report.reproduction again"
# Numbers that the page has outside its rendered blocks, each with its reason.
NUMBERS_BY_HAND = {
  # The date of the margin, the margin, and the level of the intervals.
  "29", "2026", "0.01", "95",
  # Statistics of BatchNorm by either protocol, measured before there were rows
  # of both; batches, noise level, and what the paper has.
  "50", "1e-4", "0.795", "0.796", "0.782", "0.805", "0.504", "0.001",
  # Images of SVHN.
  "58,606", "5,000", "10,000", "126,743",
  # The authors' script: batch, epochs, lambda; validation images in percent.
  "64", "120", "9", "20",
  # Of "Table 1" and "1 + lambda"; the first slope of PReLU.
  "1", "0.25",
}  # fmt: skip


def _numbers(text):
  """Numbers of a text, not those in names, code, links and headings."""
  text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
  text = re.sub(r"`[^`]*`|\]\([^)]*\)|^#.*$", "", text, flags=re.MULTILINE)
  return re.findall(r"(?<![\w²_])\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?", text)


def test_the_page_is_what_the_rows_say():
  page = PAGE.read_text()
  assert reproduction.render(page, RESULTS) == page, AGAIN


def test_every_block_is_on_the_page_once():
  page = PAGE.read_text()
  assert re.findall(r"<!-- rendered: (\w+) -->", page) == [*reproduction.BLOCKS]


def test_the_report_is_what_the_rows_say():
  text, pictures = reproduction.report(RESULTS)
  assert text == (REPORT / "report.md").read_text(), AGAIN
  # Pixels depend on the version of Matplotlib, names do not.
  assert {x.stem for x in pictures} <= {x.stem for x in REPORT.glob("*.png")}


def test_numbers_by_hand_are_on_a_list():
  assert set(_numbers(reproduction.prose(PAGE.read_text()))) == {
    *NUMBERS_BY_HAND
  }


def test_no_sentence_has_more_than_three_numbers():
  prose = reproduction.prose(PAGE.read_text())
  for sentence in re.split(r"(?<=[.:?!])\s|\n\n|\n[*|]", prose):
    assert len(_numbers(sentence)) <= 3, sentence


def test_the_page_says_what_has_not_been_run(tmp_path):
  """Without new rows every block says so, and nothing stands in for them."""
  page = "\n".join(
    f"<!-- rendered: {name} -->\nold\n<!-- end -->\nBy hand."
    for name in reproduction.BLOCKS
  )
  shutil.copy(RESULTS / "mnist_fsrcnn_x2.jsonl", tmp_path)
  text = reproduction.render(page, tmp_path)
  assert "\nold\n" not in text
  assert text.count("By hand.") == len(reproduction.BLOCKS)
  assert text.startswith(
    "<!-- rendered: result -->\n\n**Not run yet:** SR² FSRCNN"
  )
  assert text.count("| not run yet |") == 6
  assert reproduction.render(text, tmp_path) == text
  assert "rendered" not in reproduction.prose(text)


def test_an_unknown_block_is_named():
  with pytest.raises(errors.UserError, match="no block 'sumary'"):
    reproduction.render("<!-- rendered: sumary -->\n<!-- end -->", RESULTS)


def test_the_command_writes_page_report_and_pictures(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.chdir(tmp_path)
  assert reproduction.main([]) == 2
  assert "docs/reproduction.md" in capsys.readouterr().err
  (tmp_path / "results").mkdir()
  for name in ("mnist_fsrcnn_x4", "mnist_sr_continued_fsrcnn_x4"):
    shutil.copy(RESULTS / f"{name}.jsonl", tmp_path / "results")
  (tmp_path / "docs").mkdir()
  page = tmp_path / "docs" / "reproduction.md"
  page.write_text("# By hand\n\n<!-- rendered: result -->\n<!-- end -->\n")
  assert reproduction.main([]) == 0
  assert "less its control is +0.0003 ± 0.0052" in page.read_text()
  written = {x.name for x in (tmp_path / "docs" / "reproduction").iterdir()}
  assert {"report.md", "effect_noise.png", "fig6_x4.png"} <= written
