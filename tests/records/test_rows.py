import dataclasses
import json
import math
import os
import pathlib
import re

import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.records import row_values
from sr2_jax.records import rows as rows_lib


def _row(**changes):
  fields = {
    "experiment": "quickstart",
    "method": "sr2_fsrcnn",
    "dataset": "mnist5k",
    "split": "test",
    "scale": 4,
    "shared_layers": 1,
    "l2": 0.01,
    "loss_weight": 9.0,
    "seed": 0,
    "phase": "joint",
    "step": 600,
    "noise_variance": 3.2e-5,
    "metric": "ssim",
    "value": 0.8125,
    "n": 500,
  }
  return rows_lib.Row(**(fields | changes))


BICUBIC = {
  "method": "bicubic",
  "seed": None,
  "l2": None,
  "loss_weight": None,
  "shared_layers": None,
  "phase": "none",
  "step": 0,
}


def test_a_row_keeps_the_documented_fields():
  assert rows_lib.FIELDS == (
    "experiment",
    "method",
    "dataset",
    "split",
    "scale",
    "shared_layers",
    "l2",
    "loss_weight",
    "seed",
    "phase",
    "step",
    "epochs",
    "pretrain_epochs",
    "batch_norm",
    "noise_variance",
    "corruption",
    "corruption_level",
    "metric",
    "value",
    "n",
    "class_accuracy",
  )


def test_numpy_scalars_become_python_numbers():
  row = _row(value=np.float32(0.5), seed=np.int64(3), loss_weight=9)
  assert row == _row(value=0.5, seed=3, loss_weight=9.0)
  assert type(row.value) is float
  assert type(row.seed) is int
  assert type(row.loss_weight) is float


def test_numbers_by_class_are_read_again(tmp_path):
  """Of a class without images there is none; old rows have no such field."""
  row = _row(
    metric="balanced_accuracy",
    class_accuracy=tuple(np.array([1 / 3, np.nan, 1.0])),
  )
  assert row.class_accuracy == (1 / 3, None, 1.0)
  assert {row}  # It can be in a set.
  old = _row(metric="balanced_accuracy")
  assert old.class_accuracy is None
  assert row.key == old.key
  assert rows_lib.member_key(row) == rows_lib.member_key(old)
  rows_lib.merge(tmp_path, [old])
  rows_lib.merge(tmp_path, [row])
  assert rows_lib.read(tmp_path) == [row]
  [line] = (tmp_path / "results.jsonl").read_text().splitlines()
  assert json.loads(line)["class_accuracy"] == [1 / 3, None, 1.0]


@pytest.mark.parametrize(
  "changes",
  [
    {"class_accuracy": 0.5},
    {"class_accuracy": ["0.5"]},
    {"class_accuracy": [True]},
    {"class_accuracy": {"a": 0.5}},
    {"metric": "ssmi"},
    {"value": "0.5"},
    {"value": None},
    {"seed": 1.5},
    {"seed": True},
    {"n": None},
    {"method": None},
    {"noise_variance": None},
    {"batch_norm": "frozen"},
    {"epochs": "4"},
    {"pretrain_epochs": 0.5},
    {"corruption": "rain", "corruption_level": 1.0},
    {"corruption": "jpeg"},
    {"corruption_level": 1.0},
    {"corruption": "jpeg", "corruption_level": "50"},
  ],
)
def test_a_wrong_field_is_refused(changes):
  with pytest.raises(ValueError, match=next(iter(changes))):
    _row(**changes)


def test_rows_that_another_program_has_written(tmp_path):
  """Whole numbers as floats, NaN for none, another order, NaN for a value."""
  rows = [_row(epochs=4.0), _row(value=math.nan), _row(**BICUBIC)]
  lines = []
  for row in rows:
    fields = dataclasses.asdict(row)
    written = {
      name: float(value) if isinstance(value, int) else value
      for name, value in reversed(fields.items())
    }
    written |= {name: math.nan for name, x in fields.items() if x is None}
    lines.append(json.dumps(written))
  path = tmp_path / "rows.jsonl"
  path.write_text("\n".join(lines))
  found = rows_lib.read(path)
  assert [repr(row) for row in found] == [repr(row) for row in rows]


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("seed", 0.5), ("seed", math.inf), ("seed", True), ("seed", "0"),
    ("n", math.nan), ("n", None), ("method", math.nan), ("metric", 3.0),
    ("noise_variance", None), ("step", 1e-9),
    ("noise_variance", math.inf), ("noise_variance", math.nan),
    ("epochs", -math.inf), ("value", 10**400), ("step", 10**400),
  ],
)  # fmt: skip
def test_numbers_that_no_table_can_have_meant(tmp_path, field, value):
  path = tmp_path / "rows.jsonl"
  fields = {**dataclasses.asdict(_row()), field: value}
  path.write_text(json.dumps(fields))
  with pytest.raises(errors.UserError, match=r"rows\.jsonl:1: damaged"):
    rows_lib.read(path)


def test_a_damaged_row_is_found_before_there_are_new_ones(tmp_path):
  rows_lib.check(tmp_path)
  rows_lib.merge(tmp_path, [_row()])
  rows_lib.check(tmp_path)
  with (tmp_path / "results.jsonl").open("a") as file:
    file.write("{}\n")
  with pytest.raises(errors.UserError, match=r"results\.jsonl:2: damaged"):
    rows_lib.check(tmp_path)


def test_a_results_file_that_is_no_file_is_named(tmp_path):
  (tmp_path / "results.jsonl").mkdir()
  with pytest.raises(errors.UserError, match="it is a folder, not a file"):
    rows_lib.merge(tmp_path, [_row()])


def test_merge_then_read_gives_the_rows_back(tmp_path):
  rows = [_row(), _row(seed=1, value=1 / 3), _row(**BICUBIC)]
  rows_lib.merge(tmp_path, rows)
  assert rows_lib.read(tmp_path) == rows
  assert rows_lib.read(str(tmp_path / "results.jsonl")) == rows
  assert rows_lib.read([tmp_path, tmp_path]) == rows * 2


SPECKLE = {
  "noise_variance": 0.0,
  "corruption": "speckle",
  "corruption_level": 0.1,
}


def test_rows_from_before_l2_still_read(tmp_path):
  path = tmp_path / "results.jsonl"
  old = dataclasses.asdict(_row(**SPECKLE))
  del old["l2"]
  path.write_text(json.dumps(old) + "\n")
  assert rows_lib.read(path) == [_row(**SPECKLE, l2=None)]


def test_rows_from_before_corruptions_still_read(tmp_path):
  """New rows are added, and replace old ones of the same key."""
  path = tmp_path / "results.jsonl"
  old = dataclasses.asdict(_row())
  del old["corruption"], old["corruption_level"]
  path.write_text(json.dumps(old) + "\n")
  assert rows_lib.read(path) == [_row()]
  rows_lib.merge(path, [_row(value=0.25), _row(**SPECKLE)])
  assert rows_lib.read(path) == [_row(value=0.25), _row(**SPECKLE)]
  del old["n"]
  path.write_text(json.dumps(old | {"corruption": None}) + "\n")
  with pytest.raises(errors.UserError, match="not a row"):
    rows_lib.read(path)


def test_rows_from_before_batch_norm_are_of_the_running_statistics(tmp_path):
  """New rows stand beside them; running ones of the same step replace them."""
  path = tmp_path / "results.jsonl"
  new = ("batch_norm", "epochs", "pretrain_epochs")
  old = [dataclasses.asdict(row) for row in (_row(), _row(**BICUBIC))]
  lines = [{k: v for k, v in row.items() if k not in new} for row in old]
  path.write_text("".join(json.dumps(line) + "\n" for line in lines))
  assert rows_lib.read(path) == [_row(batch_norm="running"), _row(**BICUBIC)]
  later = {"epochs": 2.0, "pretrain_epochs": 4}
  added = [
    _row(batch_norm="reestimated", value=0.9, **later),
    _row(batch_norm="running", value=0.8, **later),
  ]
  rows_lib.merge(path, added)
  assert rows_lib.read(path) == [added[1], _row(**BICUBIC), added[0]]


def test_current_rows_mix_neither_steps_nor_statistics():
  running = [
    _row(seed=seed, step=step, batch_norm="running")
    for seed in (0, 1)
    for step in (300, 600)
  ]
  last = [running[1], running[3]]
  assert rows_lib.current(running) == last
  # One seed has been evaluated again: its line leaves the other out.
  again = _row(batch_norm="reestimated", epochs=2)
  assert rows_lib.current([*running, again]) == [again]
  # An earlier step of the same line, or another line, changes nothing.
  early = _row(batch_norm="reestimated", step=300)
  other = _row(batch_norm="reestimated", experiment="other")
  assert rows_lib.current([*running, early]) == last
  assert rows_lib.current([*running, other]) == [*last, other]
  assert rows_lib.current([_row(**BICUBIC)]) == [_row(**BICUBIC)]


def test_every_line_is_strict_json(tmp_path):
  rows_lib.merge(
    tmp_path, [_row(metric="f1", value=math.nan), _row(value=math.inf)]
  )

  def refuse(constant):
    raise AssertionError(constant)

  for line in (tmp_path / "results.jsonl").read_text().splitlines():
    assert json.loads(line, parse_constant=refuse)["value"] is None
  assert all(math.isnan(row.value) for row in rows_lib.read(tmp_path))


def test_merge_replaces_in_place_and_appends_in_order(tmp_path):
  rows_lib.merge(tmp_path, [_row(seed=seed, value=0.1) for seed in range(3)])
  rows_lib.merge(
    tmp_path,
    [
      _row(seed=7, value=0.2),
      _row(seed=1, value=0.3, n=100),
      _row(seed=7, value=0.4),
      _row(seed=1, step=700, value=0.5),
    ],
  )
  rows = rows_lib.read(tmp_path)
  assert [(row.seed, row.step, row.value, row.n) for row in rows] == [
    (0, 600, 0.1, 500),
    (1, 600, 0.3, 100),
    (2, 600, 0.1, 500),
    (7, 600, 0.4, 500),
    (1, 700, 0.5, 500),
  ]


def test_merge_replaces_rows_without_l2(tmp_path):
  old, bicubic = _row(l2=None, value=0.1), _row(**BICUBIC)
  other = _row(l2=None, noise_variance=1e-3)
  rows_lib.merge(tmp_path, [old, bicubic, other])
  new = [_row(value=0.2), _row(**BICUBIC)]
  rows_lib.merge(tmp_path, new)
  other = dataclasses.replace(other, l2=0.01)
  assert rows_lib.read(tmp_path) == [new[0], bicubic, other]
  # The best checkpoint has another step, but is the same network.
  rows_lib.merge(tmp_path, [_row(l2=None, seed=1)])
  rows_lib.merge(tmp_path, [_row(step=400, seed=1)])
  assert {row.l2 for row in rows_lib.read(tmp_path)} == {None, 0.01}
  assert len({rows_lib.member_key(row) for row in rows_lib.read(tmp_path)}) == 3


def test_merging_again_changes_no_byte(tmp_path):
  rows = [_row(noise_variance=variance) for variance in (0.0, 1e-5, 3.2e-3)]
  rows_lib.merge(tmp_path, rows)
  before = (tmp_path / "results.jsonl").read_bytes()
  rows_lib.merge(tmp_path, reversed(rows))
  assert (tmp_path / "results.jsonl").read_bytes() == before
  assert os.listdir(tmp_path) == ["results.jsonl"]


def test_a_kill_while_writing_leaves_the_old_rows(tmp_path, monkeypatch):
  rows_lib.merge(tmp_path, [_row()])

  def killed(descriptor):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
      rows_lib.merge(tmp_path, [_row(value=0.0)])
  assert rows_lib.read(tmp_path) == [_row()]
  rows_lib.merge(tmp_path, [_row(value=0.25)])
  assert rows_lib.read(tmp_path) == [_row(value=0.25)]
  assert os.listdir(tmp_path) == ["results.jsonl"]


def test_read_finds_the_runs_below_a_folder(tmp_path):
  rows_lib.merge(tmp_path / "b" / "results.jsonl", [_row(experiment="b")])
  rows_lib.merge(tmp_path / "a" / "results.jsonl", [_row(experiment="a")])
  assert [row.experiment for row in rows_lib.read(tmp_path)] == ["a", "b"]


def test_nothing_to_read_is_a_user_error(tmp_path):
  with pytest.raises(errors.UserError, match="nowhere: no such"):
    rows_lib.read(tmp_path / "nowhere")
  with pytest.raises(errors.UserError, match=r"no results\.jsonl"):
    rows_lib.read(tmp_path)


@pytest.mark.parametrize(
  "damage",
  [
    b'{"experiment": "quick',
    b"",
    b"[1]",
    b"{}",
    b"\xff\x00",
    json.dumps(dataclasses.asdict(_row()) | {"extra": 1}).encode(),
    json.dumps(dataclasses.asdict(_row()) | {"scale": "4"}).encode(),
    json.dumps(dataclasses.asdict(_row()) | {"metric": "mse"}).encode(),
  ],
)
def test_a_damaged_row_is_named(tmp_path, damage):
  rows_lib.merge(tmp_path, [_row(), _row(seed=1)])
  path = tmp_path / "results.jsonl"
  lines = path.read_bytes().splitlines()
  path.write_bytes(b"\n".join([lines[0], damage, lines[1]]) + b"\n")
  with pytest.raises(
    errors.UserError, match=r"results\.jsonl:2: damaged, or not"
  ):
    rows_lib.read(tmp_path)
  with pytest.raises(
    errors.UserError, match=r"results\.jsonl:2: damaged, or not"
  ):
    rows_lib.merge(tmp_path, [_row()])


PAGE = pathlib.Path(__file__).parents[2] / "docs" / "rows.md"
_WORDS = {
  "text": str, "whole number": int, "number": float,
  "list of numbers": row_values.OfClasses,
}  # fmt: skip


def documented():
  """What the page says of each field: its type, and whether it may be null."""
  lines = re.findall(
    r"^\| `(\w+)` \| ([\w ]+) \| .* \| (.*) \|$", PAGE.read_text(), re.MULTILINE
  )
  return {name: (_WORDS[kind], null != "never") for name, kind, null in lines}


def test_the_page_has_every_field_with_its_type():
  said = documented()
  assert tuple(said) == rows_lib.FIELDS
  for name, (kind, *optional) in rows_lib._TYPES.items():
    # NaN is a number in a row, and null in a file.
    assert said[name] == (kind, bool(optional) or name == "value"), name
