import json

import pytest

from sr2_jax.report.paper import epochs_figure
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values
from tests import paper_world

FSRCNN, SR2 = (
  paper_values.subject(method, 4) for method in ("fsrcnn", "sr2_fsrcnn")
)
KEY = "ssim_uniform7_range2_noise_0.0001"


def _write(folder, method, budget, value):
  epochs = budget[1] or budget[0]
  return paper_world.write_run(
    folder,
    method,
    lambda metric, level, seed, _: value + 0.01 * seed,
    budget=budget,
    step=100 * epochs,
    arrays=False,
  )


def _read(folder):
  return measurements_lib.read(folder, split="test")


def test_rows_of_several_steps_are_a_curve(tmp_path):
  for epochs, value in ((1, 0.5), (4, 0.7)):
    _write(tmp_path / "a", "fsrcnn", (epochs, None), value)
  for epochs, value in ((1, 0.8), (3, 0.85)):
    _write(tmp_path / "b", "sr2_fsrcnn", (4, epochs), value)
  measurements = _read(tmp_path)
  points = epochs_figure._of_rows(measurements, FSRCNN)
  assert [(x.epochs, x.mean) for x in points] == [
    (1, pytest.approx(0.51)), (4, pytest.approx(0.71)),
  ]  # fmt: skip
  # What follows `pretrain` is to its right.
  points = epochs_figure._of_rows(measurements, SR2)
  assert [x.epochs for x in points] == [5, 7]
  # t for two degrees of freedom, of values 0.01 apart.
  assert points[0].half_width == pytest.approx(4.302653 * 0.01 / 3**0.5, 1e-5)
  [picture] = epochs_figure.draw(measurements)
  assert picture.stem == "epochs_test"
  assert picture.alt.endswith("FSRCNN, SR² FSRCNN")


def test_validation_while_training_is_a_curve(tmp_path):
  folder = _write(tmp_path / "a", "sr2_fsrcnn", (4, 3), 0.8)
  lines = [
    {"kind": kind, "phase": phase, "step": step, "seed": seed, "l2": 0.01,
     "loss_weight": 9.0 if phase == "joint" else None, KEY: value}
    for kind, phase, step, seed, value in (
      ("train", "joint", 100, 0, 0.1),
      ("validation", "pretrain", 100, 0, 0.2),
      ("validation", "joint", 100, 0, 0.6),
      ("validation", "joint", 100, 1, 0.8),
      ("validation", "joint", 300, 0, 0.9),
    )
  ]  # fmt: skip
  text = "".join(json.dumps(line) + "\n" for line in lines)
  # A kill cut the last line short.
  (folder / "metrics.jsonl").write_text(text + '{"kind": "val')
  points = epochs_figure._of_logs(_read(tmp_path), SR2)
  assert [(x.epochs, x.mean) for x in points] == [
    (5, pytest.approx(0.7)), (7, pytest.approx(0.9)),
  ]  # fmt: skip
  [picture] = epochs_figure.draw(_read(tmp_path))
  assert picture.stem == "epochs_validation"


def test_one_step_is_no_curve(tmp_path):
  _write(tmp_path / "a", "sr2_fsrcnn", (4, 3), 0.8)
  assert epochs_figure.draw(_read(tmp_path)) == []
