import pytest

from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.reproduction import numbers as numbers_lib
from sr2_jax.report.reproduction import summary
from tests.report.reproduction import worlds


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
  folder = tmp_path_factory.mktemp("world") / "results"
  at = worlds.constant
  old = {"batch_norm": "running"}
  return numbers_lib.read(
    worlds.write(
      folder,
      {
        "a": ("fsrcnn", at(0.80), {}),
        "b": ("sr_continued_fsrcnn", at(0.815), {"budget": (7, 5)}),
        "c": ("sr2_fsrcnn", at(0.82), {"budget": (7, 5)}),
        "d": ("fsrcnn", at(0.5), old),
        "e": ("sr2_fsrcnn", at(0.7), old),
      },
    )
  )


def _line(blocks, quote):
  [line] = [x for x in blocks_lib.markdown(blocks).splitlines() if quote in x]
  return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_result_is_that_of_both_kinds_of_rows(numbers):
  first, older, state = summary.result(numbers)
  assert "by nothing that matters" in first.text
  assert "after 7 + 5 epochs" in first.text
  assert older.text.startswith("Older rows, with running statistics: **Not run")
  assert "below: 0 complete, 0 begun, 6 not run yet." in state.text


def test_a_claim_has_the_papers_number_ours_and_the_controls(numbers):
  counts, table, details = summary.summary(numbers)
  assert counts.text.startswith("Of 26 claims: ")
  cells = _line([table], "both proposed")
  assert cells[1] == "+0.032<br>+0.060<br>+0.005<br>+0.033"
  assert cells[2].startswith("+0.0200 ± 0.0000<br>not run")
  assert cells[3].startswith("+0.0150 ± 0.0000<br>–")
  assert cells[4] == "— not run"
  # The claim about the control has no control of its own.
  cells = _line([table], "actively supports")
  assert cells[2] == "+0.0050 ± 0.0000<br>not run"
  assert cells[3] == "–"
  assert cells[4] == "= equivalent"
  # Of a claim "at some level" there is one line.
  assert _line([table], "by 10%")[1:3] == ["+10 %", "not run"]
  cells = _line(details.blocks, "both proposed")
  assert cells[2].startswith("+0.2000 ± 0.0000")


def test_without_new_rows_the_table_is_one_sentence(tmp_path):
  old = {"batch_norm": "running"}
  numbers = numbers_lib.read(
    worlds.write(
      tmp_path / "results", {"a": ("fsrcnn", worlds.constant(0.5), old)}
    )
  )
  first, _ = summary.summary(numbers)
  assert first.text == numbers_lib.NOT_RUN
