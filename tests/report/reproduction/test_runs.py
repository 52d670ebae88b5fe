import dataclasses

from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.reproduction import numbers as numbers_lib
from sr2_jax.report.reproduction import runs
from tests.report.reproduction import worlds

P1 = next(part for part in runs.PROGRAMME if part.name == "P1")


def _read(folder, **settings):
  return numbers_lib.read(
    worlds.write(
      folder / "results",
      {
        name: (method, worlds.constant(0.8), {"budget": (30, 30)} | settings)
        for name, method in (
          ("p1", "sr2_fsrcnn"), ("p1_control", "sr_continued_fsrcnn"),
        )
      },
      known={"p1": {"revision": "v1", "time": "2 h", "machine": "2 cores"}},
    )
  )  # fmt: skip


def test_a_part_is_complete_when_all_its_seeds_have_rows(tmp_path):
  numbers = _read(tmp_path / "a", seeds=range(2))
  assert runs.state(numbers, P1) == "2 seeds so far"
  enough = dataclasses.replace(P1, seeds=2)
  assert runs.state(numbers, enough) == "complete"
  other = _read(tmp_path / "b", seeds=range(2), budget=(30, 10))
  assert runs.state(other, enough) == runs.NONE
  # Running statistics do not count.
  older = _read(tmp_path / "c", seeds=range(2), batch_norm="running")
  assert runs.state(older, enough) == runs.NONE


def test_a_part_of_which_some_networks_have_rows_has_begun(tmp_path):
  weights = {"p0b": 9.0, "p0b_low": 0.11}
  numbers = numbers_lib.read(
    worlds.write(
      tmp_path / "results",
      {
        name: (
          "sr2_fsrcnn",
          worlds.constant(0.8),
          {"budget": (30, 10), "loss_weights": (weight,)},
        )
        for name, weight in weights.items()
      },
    )
  )
  p0b, *_ = runs.PROGRAMME
  assert runs.state(numbers, p0b) == "2 of 4 networks so far"


def test_the_programme_has_a_line_for_each_part(tmp_path):
  [table] = runs.programme(_read(tmp_path, seeds=(0,)))
  states = {row[0]: row[-1] for row in table.rows}
  assert states == {
    "P0b": runs.NONE, "P1": "1 seed so far", "P3": runs.NONE,
    "P4": runs.NONE, "P5": runs.NONE, "P2": runs.NONE,
  }  # fmt: skip


def test_a_file_has_its_revision_time_and_machine(tmp_path):
  [table] = runs.runs(_read(tmp_path))
  assert table.rows == [
    ("`p1`", "reestimated", "30 + 30", "3", "12", "v1", "2 h", "2 cores"),
    ("`p1_control`", "reestimated", "30 + 30", "3", "12", *3 * ["not noted"]),
  ]  # fmt: skip


def test_older_files_fold(tmp_path):
  first, details = runs.runs(_read(tmp_path, batch_norm="running"))
  assert first.text == numbers_lib.NOT_RUN
  assert details.summary == "2 older files, with running statistics"
  assert isinstance(details.blocks[0], blocks_lib.Table)
