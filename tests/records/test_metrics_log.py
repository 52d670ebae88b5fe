import io
import json
import math
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.records import metrics_log
from tests.records import test_tensorboard


def _row(step, *, kind="train", phase="pretrain", seed=0, **metrics):
  return {
    "kind": kind,
    "phase": phase,
    "step": step,
    "seed": seed,
    "l2": 0.01,
    "loss_weight": 9.0 if phase == "joint" else None,
    **(metrics or {"loss": np.float32(1 / (step + 1)), "loss_sr": 0.5}),
  }


def _steps():
  """What an uninterrupted run writes, step by step: (phase, step, rows)."""
  for phase in ("pretrain", "joint"):
    for step in (50, 100, 150):
      rows = [_row(step, phase=phase, seed=seed) for seed in (0, 1)]
      if step == 100:
        rows.append(_row(step, kind="validation", phase=phase, ssim=0.8))
      yield phase, step, rows


def _write_all(workdir, **options):
  metric_writer = metrics_log.Writer(
    workdir, **({"tensorboard": False} | options)
  )
  metric_writer.truncate("pretrain", 0)
  for _, _, rows in _steps():
    metric_writer.write(rows)
  metric_writer.close()
  return (workdir / "metrics.jsonl").read_bytes()


def _after(phase, step):
  """The steps that come after one."""
  return [
    rows
    for other, other_step, rows in _steps()
    if (other == "joint", other_step) > (phase == "joint", step)
  ]


def test_a_line_is_sorted_strict_json(tmp_path):
  metric_writer = metrics_log.Writer(tmp_path, tensorboard=False)
  metric_writer.write(
    [_row(7, loss_sr=np.float32(0.1), loss=math.nan, f1=math.inf)]
  )
  # It is in the file before any sync or close.
  [line] = (tmp_path / "metrics.jsonl").read_text().splitlines()
  metric_writer.close()
  assert line == (
    '{"kind": "train", "phase": "pretrain", "step": 7, "seed": 0, '
    '"l2": 0.01, "loss_weight": null, "f1": null, "loss": null, '
    '"loss_sr": 0.10000000149011612}'
  )


def test_the_last_line_of_a_member_tells_when_it_diverged(tmp_path):
  metric_writer = metrics_log.Writer(tmp_path, tensorboard=True)
  metric_writer.write([_row(7, loss=math.nan, diverged_at=np.int64(7))])
  metric_writer.close()
  [line] = (tmp_path / "metrics.jsonl").read_text().splitlines()
  assert line.endswith('"loss": null, "diverged_at": 7}')
  # A chart has neither.
  assert not (tmp_path / "tensorboard").exists()


@pytest.mark.parametrize(
  "row",
  [
    {"kind": "train", "phase": "joint", "step": 1, "seed": 0, "loss": 0.0},
    _row(1, kind="test"),
    _row(1, phase="finetune"),
  ],
)
def test_a_wrong_row_is_refused_before_anything_is_written(tmp_path, row):
  metric_writer = metrics_log.Writer(tmp_path, tensorboard=False)
  with pytest.raises(ValueError, match="log line"):
    metric_writer.write([_row(1), row])
  assert not (tmp_path / "metrics.jsonl").exists()


def test_other_processes_write_nothing(tmp_path):
  metric_writer = metrics_log.Writer(tmp_path, tensorboard=True, active=False)
  metric_writer.truncate("pretrain", 0)
  metric_writer.write([_row(1)])
  metric_writer.image("joint", "grid", np.zeros((4, 4, 3), np.uint8), 1)
  metric_writer.throughput("joint", 1, 100.0)
  metric_writer.sync()
  metric_writer.close()
  assert os.listdir(tmp_path) == []


def test_a_resumed_run_writes_the_same_bytes(tmp_path):
  uninterrupted = _write_all(tmp_path / "whole")
  resumed = tmp_path / "resumed"
  for phase, step, _ in _steps():
    assert _write_all(resumed) == uninterrupted
    metric_writer = metrics_log.Writer(resumed, tensorboard=False)
    metric_writer.truncate(phase, step)
    rest = _after(phase, step)
    kept = (resumed / "metrics.jsonl").read_bytes()
    assert uninterrupted.startswith(kept)
    assert len(kept.splitlines()) + sum(map(len, rest)) == 14
    for rows in rest:
      metric_writer.write(rows)
    metric_writer.close()
    assert (resumed / "metrics.jsonl").read_bytes() == uninterrupted


def test_a_write_that_the_system_cuts_short_is_an_error(tmp_path):
  """And the torn row is gone before the next one would be glued to it."""
  metric_writer = metrics_log.Writer(tmp_path, tensorboard=False)
  metric_writer.write([_row(1)])
  size = (tmp_path / "metrics.jsonl").stat().st_size
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
  try:
    with pytest.raises(OSError, match="File too large"):
      metric_writer.write([_row(2)])
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
  metric_writer.truncate(_row(1)["phase"], 1)
  metric_writer.write([_row(2)])
  metric_writer.close()
  lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
  assert [json.loads(line)["step"] for line in lines] == [1, 2]


def test_every_torn_last_line_is_dropped(tmp_path):
  uninterrupted = _write_all(tmp_path)
  path = tmp_path / "metrics.jsonl"
  start = uninterrupted[:-1].rindex(b"\n") + 1
  expected = uninterrupted[: uninterrupted.index(b'"phase": "joint"')]
  expected = expected[: expected.rindex(b"\n") + 1]
  for end in range(start, len(uninterrupted) + 1):
    path.write_bytes(uninterrupted[:end])
    metric_writer = metrics_log.Writer(tmp_path, tensorboard=False)
    metric_writer.truncate("pretrain", 150)
    assert path.read_bytes() == expected, end
    for rows in _after("pretrain", 150):
      metric_writer.write(rows)
    metric_writer.close()
    assert path.read_bytes() == uninterrupted, end


def test_a_line_that_lost_only_its_end_is_completed(tmp_path):
  whole = _write_all(tmp_path)
  (tmp_path / "metrics.jsonl").write_bytes(whole[:-1])
  metrics_log.Writer(tmp_path, tensorboard=False).truncate("joint", 150)
  assert (tmp_path / "metrics.jsonl").read_bytes() == whole


def test_truncate_can_drop_all(tmp_path):
  _write_all(tmp_path)
  metrics_log.Writer(tmp_path, tensorboard=False).truncate("pretrain", 0)
  assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_truncate_of_a_new_run_creates_nothing(tmp_path):
  metrics_log.Writer(tmp_path / "new", tensorboard=True).truncate("pretrain", 0)
  assert not (tmp_path / "new").exists()


def test_truncate_within_a_run_goes_on_in_the_new_file(tmp_path):
  metric_writer = metrics_log.Writer(tmp_path, tensorboard=False)
  metric_writer.write([_row(1)])
  metric_writer.write([_row(2)])
  metric_writer.truncate("pretrain", 1)
  metric_writer.write([_row(3)])
  metric_writer.close()
  lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
  assert [json.loads(line)["step"] for line in lines] == [1, 3]


def test_damage_before_a_row_that_stays_is_named(tmp_path):
  lines = _write_all(tmp_path).splitlines(keepends=True)
  path = tmp_path / "metrics.jsonl"
  path.write_bytes(b"".join([lines[0], b'{"kind": "tr\n', *lines[2:]]))
  metric_writer = metrics_log.Writer(tmp_path, tensorboard=False)
  with pytest.raises(errors.UserError, match=r"metrics\.jsonl:2: damaged"):
    metric_writer.truncate("joint", 150)
  # Where only line 1 has to stay, the damage goes with the rest.
  metric_writer.truncate("pretrain", 0)
  assert path.read_bytes() == b""


def test_a_kill_in_truncate_leaves_the_old_file(tmp_path, monkeypatch):
  whole = _write_all(tmp_path)

  def killed(descriptor):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
      metrics_log.Writer(tmp_path, tensorboard=False).truncate("pretrain", 50)
  assert (tmp_path / "metrics.jsonl").read_bytes() == whole


def test_sigkill_loses_no_row_that_was_written(tmp_path):
  code = (
    "import os, signal, sys; from sr2_jax.records import metrics_log\n"
    "metric_writer = metrics_log.Writer(sys.argv[1], tensorboard=False)\n"
    "row = dict(kind='train', phase='joint', seed=0, l2=0.0, loss_weight=9)\n"
    "for step in range(1, 101):\n"
    "  metric_writer.write([row | dict(step=step, loss=1 / step)])\n"
    "os.kill(os.getpid(), signal.SIGKILL)\n"
  )
  process = subprocess.run(
    [sys.executable, "-c", code, str(tmp_path)], check=False
  )
  assert process.returncode == -signal.SIGKILL
  lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
  assert [json.loads(line)["step"] for line in lines] == [*range(1, 101)]


# TensorBoard


def test_scalars_have_one_run_a_member(tmp_path):
  _write_all(tmp_path, tensorboard=True)
  root = tmp_path / "tensorboard"
  runs = {str(path.parent.relative_to(root)) for path in root.rglob("events*")}
  assert runs == {
    "pretrain/seed_0_l2_0.01",
    "pretrain/seed_1_l2_0.01",
    "joint/seed_0_l2_0.01_lambda_9",
    "joint/seed_1_l2_0.01_lambda_9",
  }
  scalars = test_tensorboard.scalars(root / "joint/seed_0_l2_0.01_lambda_9")
  assert scalars["validation/ssim", 100] == pytest.approx(0.8)
  assert scalars["train/loss", 150] == pytest.approx(1 / 151)
  assert len(scalars) == 7


def test_a_number_that_is_not_finite_is_no_scalar(tmp_path):
  metric_writer = metrics_log.Writer(tmp_path, tensorboard=True)
  metric_writer.write([_row(1, loss=math.nan, loss_sr=0.5)])
  metric_writer.close()
  scalars = test_tensorboard.scalars(
    tmp_path / "tensorboard/pretrain/seed_0_l2_0.01",
  )
  assert scalars == {("train/loss_sr", 1): 0.5}


def test_pictures_and_throughput_are_read_back(tmp_path):
  image_lib = pytest.importorskip("PIL.Image")
  picture = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)
  metric_writer = metrics_log.Writer(tmp_path, tensorboard=True)
  metric_writer.image("joint", "examples", picture, 20)
  metric_writer.throughput("joint", 30, 1234.5)
  metric_writer.sync()
  # Read before `close`: sync keeps its word.
  _, shown, speed = test_tensorboard.events(tmp_path / "tensorboard/joint")
  metric_writer.close()
  assert (shown.step, shown.summary.value[0].tag) == (20, "examples")
  png = io.BytesIO(shown.summary.value[0].image.encoded_image_string)
  assert np.array_equal(np.asarray(image_lib.open(png)), picture)
  assert speed.summary.value[0].tag == "images_per_second"
  assert speed.summary.value[0].simple_value == 1234.5
  assert not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.parametrize("last", [("pretrain", 100), ("joint", 50)])
def test_tensorboard_forgets_what_is_written_again(tmp_path, last):
  runs = ("pretrain/seed_1_l2_0.01", "joint/seed_1_l2_0.01_lambda_9")
  root = tmp_path / "tensorboard"
  _write_all(tmp_path, tensorboard=True)
  whole = [test_tensorboard.scalars(root / run) for run in runs]
  metric_writer = metrics_log.Writer(tmp_path, tensorboard=True)
  metric_writer.truncate(*last)
  for rows in _after(*last):
    metric_writer.write(rows)
  metric_writer.close()
  assert [test_tensorboard.scalars(root / run) for run in runs] == whole


def _resumed(workdir, step=150):
  """A writer as a resumed run has it."""
  metric_writer = metrics_log.Writer(workdir, tensorboard=False)
  metric_writer.truncate("joint", step)
  return metric_writer


def test_what_the_file_holds_is_the_same_in_a_resumed_run(tmp_path):
  metric_writer = metrics_log.Writer(tmp_path, tensorboard=False)
  metric_writer.truncate("pretrain", 0)
  for _, _, rows in _steps():
    metric_writer.write(rows)
  held = json.loads(json.dumps(metric_writer.held))
  metric_writer.close()
  resumed = _resumed(tmp_path)
  assert resumed.held == held
  assert held["lines"] == 14
  assert resumed.make_up(held) is None
  # A line that was written after the checkpoint, about the same step.
  resumed.write([_row(150, phase="joint", diverged_at=150)])
  resumed.close()
  assert _resumed(tmp_path).make_up(held) is None


@pytest.mark.parametrize(
  ("change", "problem"),
  [
    (lambda lines: None, "14 of 14 lines are gone"),
    (lambda lines: [], "14 of 14 lines are gone"),
    (lambda lines: lines[1:], "1 of 14 lines are gone"),
    (lambda lines: lines[:3] + lines[4:], "1 of 14 lines are gone"),
    (lambda lines: lines[::2], "7 of 14 lines are gone"),
    (lambda lines: [lines[1], *lines[1:]], "not those that were written"),
    (lambda lines: lines[1:] + lines[:1], "not those that were written"),
  ],
)
def test_lines_that_are_gone_are_counted(tmp_path, change, problem):
  _write_all(tmp_path)
  held = _resumed(tmp_path).held
  path = tmp_path / "metrics.jsonl"
  lines = change(path.read_bytes().splitlines(keepends=True))
  path.unlink()
  if lines is not None:
    path.write_bytes(b"".join(lines))
  assert problem in _resumed(tmp_path).make_up(held)


def test_who_has_diverged_is_not_lost_with_the_lines(tmp_path):
  metric_writer = metrics_log.Writer(tmp_path, tensorboard=False)
  metric_writer.write([_row(7), _row(7, seed=1, loss=math.nan, diverged_at=7)])
  held = json.loads(json.dumps(metric_writer.held))
  metric_writer.close()
  (tmp_path / "metrics.jsonl").write_bytes(b"")
  for problem in ("2 of 2 lines are gone", "1 of 2 lines are gone"):
    metric_writer = _resumed(tmp_path)
    assert metric_writer.make_up(held) == problem
    metric_writer.close()
    [line] = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["diverged_at"] == 7
    assert json.loads(line)["seed"] == 1


@pytest.mark.parametrize(
  "step", ["1.5", '"1"', "true", "null", "1e999", "NaN", "[1]", "[" * 9999]
)
def test_a_step_that_is_none_is_a_damaged_line(tmp_path, step):
  row = json.dumps(_row(1, loss=0.5))
  text = row.replace('"step": 1', f'"step": {step}')
  (tmp_path / "metrics.jsonl").write_text(f"{text}\n{row}\n")
  metric_writer = metrics_log.Writer(tmp_path, tensorboard=False)
  with pytest.raises(errors.UserError, match=r"metrics\.jsonl:1: damaged line"):
    metric_writer.truncate("joint", 1)


def test_a_tensorboard_that_fails_costs_no_line(tmp_path, capsys):
  """Here a file is where its folder would be."""
  for name in ("with", "without"):
    (tmp_path / name).mkdir()
  (tmp_path / "with" / "tensorboard").write_text("")
  lines = _write_all(tmp_path / "with", tensorboard=True)
  assert lines == _write_all(tmp_path / "without")
  [note] = capsys.readouterr().err.splitlines()
  assert note.startswith("note: going on without TensorBoard (")
