"""Both forms of the table give back what was written."""

import csv
import dataclasses
import json
import os

import pytest

from sr2_jax import errors
from sr2_jax.prediction import table

ROWS = [
  table.Row(
    file='a, "b"\n\udcff.png',
    width=7,
    height=9,
    output="out/ü.png",
    label="07",
    truth="x,y",
    probability=0.1234567890123,
    probabilities={"07": 0.1234567890123, "x,y": 0.8765432109877},
    members=[{"seed": 0, "label": "07", "probability": 0.5}],
    agree=1,
    spread=1e-9,
    weights="runs/a",
    sha256=["ab", "cd"],
    note="two; notes",
  ),
  table.Row(file="b.png", weights="runs/a", sha256=["ab"], error="b: bad."),
]


@pytest.mark.parametrize("suffix", table.SUFFIXES)
def test_what_was_written_is_read(tmp_path, suffix):
  path = tmp_path / f"table{suffix}"
  table.write(path, ROWS)
  assert table.read(path) == ROWS
  table.write(path, [])
  assert table.read(path) == []


def test_others_read_the_same_from_both(tmp_path):
  for suffix in table.SUFFIXES:
    table.write(tmp_path / f"t{suffix}", ROWS)
  lines = (tmp_path / "t.jsonl").read_text().splitlines()
  with (tmp_path / "t.csv").open(
    newline="", errors="surrogateescape", encoding="utf-8"
  ) as file:
    cells = list(csv.DictReader(file))
  for text, of_csv in zip(lines, cells, strict=True):
    of_json = json.loads(text)
    assert list(of_json) == list(of_csv) == list(table.FIELDS)
    assert of_csv["file"] == of_json["file"]
    if of_json["label"]:
      assert float(of_csv["probability"]) == of_json["probability"]
      assert json.loads(of_csv["probabilities"]) == of_json["probabilities"]
      assert json.loads(of_csv["members"]) == of_json["members"]


def test_a_line_is_ascii():
  assert table.line(ROWS[0]).isascii()
  assert json.loads(table.line(ROWS[0])) == dataclasses.asdict(ROWS[0])


@pytest.mark.parametrize(
  ("name", "text"),
  [("t.jsonl", "{}\n"), ("t.jsonl", "x"), ("t.csv", "a,b\n1,2\n")],
)
def test_another_file_is_no_table(tmp_path, name, text):
  path = tmp_path / name
  path.write_text(text)
  with pytest.raises(errors.UserError, match="no table of predictions"):
    table.read(path)


@pytest.mark.parametrize(
  "text",
  [
    "3", "[]", "null", "[" * 9999, "{}",
    '{"file": [1], "weights": "a", "sha256": []}',
    '{"file": null, "weights": "a", "sha256": []}',
    '{"file": "a", "weights": "a", "sha256": 3}',
    '{"file": "a", "weights": "a", "sha256": [], "probabilities": 1}',
    '{"file": "a", "weights": "a", "sha256": [], "width": "x"}',
  ],
)  # fmt: skip
def test_lines_of_another_file_are_no_table(tmp_path, text):
  path = tmp_path / "t.jsonl"
  path.write_text(text)
  with pytest.raises(errors.UserError, match="no table of predictions"):
    table.read(path)


def test_a_table_that_is_a_pipe_is_not_waited_for(tmp_path):
  for suffix in table.SUFFIXES:
    os.mkfifo(tmp_path / f"t{suffix}")
    with pytest.raises(errors.UserError, match="it is a FIFO, not a file"):
      table.read(tmp_path / f"t{suffix}")
