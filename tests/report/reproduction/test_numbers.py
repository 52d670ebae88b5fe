from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import values as paper_values
from sr2_jax.report.reproduction import numbers as numbers_lib
from tests.report.reproduction import worlds

FSRCNN = paper_values.subject("fsrcnn", 4)
PARAGRAPH = blocks_lib.Paragraph("numbers")


def test_new_old_and_other_recipes_are_apart(tmp_path):
  folder = worlds.write(
    tmp_path / "results",
    {
      "new": ("fsrcnn", worlds.constant(0.8), {}),
      "old": ("fsrcnn", worlds.constant(0.6), {"batch_norm": "running"}),
      "why_l1": ("fsrcnn", worlds.constant(0.9), {"batch_norm": "running"}),
    },
    known={"new": {"revision": "abc"}},
  )
  numbers = numbers_lib.read(folder)
  assert FSRCNN in numbers.new
  assert FSRCNN in numbers.old
  assert [*numbers.why] == ["why_l1"]
  assert numbers.known == {"new": {"revision": "abc"}}
  assert len(numbers.of_new) == len(numbers.of_old) == 26
  [first, details] = numbers_lib.new_and_old(numbers, lambda _: [PARAGRAPH])
  assert first == PARAGRAPH
  assert details.blocks == [PARAGRAPH]


def test_without_new_rows_older_ones_do_not_stand_in(tmp_path):
  folder = worlds.write(
    tmp_path / "results",
    {"old": ("fsrcnn", worlds.constant(0.6), {"batch_norm": "running"})},
  )
  numbers = numbers_lib.read(folder)
  assert FSRCNN not in numbers.new
  assert numbers.known == {}
  [first, details] = numbers_lib.new_and_old(numbers, lambda _: [PARAGRAPH])
  assert first.text == numbers_lib.NOT_RUN
  assert details.summary == "Older rows, with running statistics"
