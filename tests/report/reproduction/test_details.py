import dataclasses

import pytest

from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.reproduction import details
from sr2_jax.report.reproduction import numbers as numbers_lib
from tests.report.reproduction import worlds


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
  at = worlds.constant
  folder = tmp_path_factory.mktemp("world") / "results"
  runs = {
    "base": ("fsrcnn", at(0.7), {}),
    "why_l1": ("fsrcnn", at(0.9), {"batch_norm": "running"}),
    "why_other": ("fsrcnn", at(0.95), {"l2": 0.1}),
  }
  for epochs in (1, 3):
    runs[f"sr2_{epochs}"] = (
      "sr2_fsrcnn",
      at(0.8 + 0.01 * epochs),
      {
        "budget": (7, epochs),
        "step": 100 * epochs,
        "loss_weights": (0.11, 9.0),
      },
    )
    runs[f"control_{epochs}"] = (
      "sr_continued_fsrcnn",
      at(0.8),
      {"budget": (7, epochs), "step": 100 * epochs},
    )
  return numbers_lib.read(worlds.write(folder, runs))


def _rows(blocks):
  [table] = [x for x in blocks if isinstance(x, blocks_lib.Table)]
  return [tuple(row) for row in table.rows]


def test_differences_are_in_the_order_of_epochs(numbers):
  assert _rows(details.epochs(numbers)) == [
    ("7 + 1", "0.810 ± 0.000", "0.800 ± 0.000", "+0.0100 ± 0.0000", "3"),
    ("7 + 3", "0.830 ± 0.000", "0.800 ± 0.000", "+0.0300 ± 0.0000", "3"),
  ]  # fmt: skip


def test_each_loss_weight_has_a_line(numbers):
  rows = _rows(details.loss_weights(numbers))
  assert [row[0] for row in rows] == ["0.11", "9"]
  assert rows[1][1].text.endswith("not run")
  assert rows[1][2:] == ("0.830 ± 0.000", "0.830 ± 0.000", "7 + 3")


def test_a_loss_weight_is_chosen_by_validation(numbers):
  """Where there are rows of validation images, they stand first."""
  seen = numbers.new
  rows = [
    (dataclasses.replace(row, split="validation", value=0.5), file)
    for row, file in seen.rows
  ]
  validation = measurements_lib.Measurements(rows, split="validation")
  numbers = dataclasses.replace(
    numbers, of_validation={"reestimated": validation, "running": numbers.old}
  )
  rows = _rows(details.loss_weights(numbers))
  assert [row[1] for row in rows] == 2 * ["0.500 ± 0.000"]


def test_levels_are_of_the_last_step(numbers):
  ssim, accuracy = details.levels(numbers, "mnist", 4)
  assert [row[0] for row in ssim.rows] == [
    "FSRCNN", "FSRCNN control", "SR² FSRCNN",
  ]  # fmt: skip
  assert ssim.rows[2][1:] == 4 * ("0.830 ± 0.000",)
  assert accuracy.header[0] == "Accuracy"
  [nothing] = details.levels(numbers, "mnist", 2)
  assert nothing.text == numbers_lib.NOT_RUN


def test_other_recipes_follow_the_usual_one(numbers):
  rows = _rows(details.why(numbers))
  assert [(row[0], row[1], row[2], row[-1]) for row in rows] == [
    ("the usual recipe", "FSRCNN", "0.700 ± 0.000", "reestimated"),
    ("the usual recipe", "FSRCNN control", "0.800 ± 0.000", "reestimated"),
    ("the usual recipe", "SR² FSRCNN", "0.830 ± 0.000", "reestimated"),
    (
      "`loss.super_resolution=l1`, as in the authors' script", "FSRCNN",
      "0.900 ± 0.000", "running",
    ),
    ("`why_other`", "FSRCNN", "0.950 ± 0.000", "reestimated"),
  ]  # fmt: skip


def test_table_1_has_both_scales(numbers):
  *tables, older = details.table1(numbers)
  assert [table.header[0] for table in tables] == ["x4", "x2"]
  assert older.summary == "Older rows, with running statistics"
