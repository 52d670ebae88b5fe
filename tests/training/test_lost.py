"""What a run folder has lost is told, recorded and, if it can be, kept."""

import shutil

import pytest

from sr2_jax.records import metrics_log, timing_log
from sr2_jax.training import checkpoint, lost, start
from tests import tiny_network

LINE = {
  "kind": "train", "phase": "pretrain", "seed": 0, "l2": 0.01,
  "loss_weight": None, "loss": 0.5,
}  # fmt: skip


def saved(run, phase, step, state, logs):
  """Leaves a checkpoint of a step, and what the start of a run finds then."""
  checkpoints = checkpoint.Checkpoints(run.folder.checkpoints(phase))
  checkpoints.save(step, state, logs)
  checkpoints.wait()
  found = start.where_to_start(run, {phase: checkpoints})
  checkpoints.close()
  return found


def test_logs_that_have_lost_lines_and_rows_are_told_and_recorded(run, capsys):
  run.folder.record({"config": {}})
  results = run.folder.path / "results.jsonl"
  results.write_text("{}\n" * 3)
  arrays = run.folder.path / "per_image" / "fsrcnn_test.npz"
  arrays.parent.mkdir()
  arrays.touch()
  writer = metrics_log.Writer(run.folder.path, tensorboard=False)
  writer.write([dict(LINE, step=1), dict(LINE, step=3)])
  logs = start.logs(run, writer)
  writer.close()
  found = saved(run, "pretrain", 3, run.phase("pretrain").create_state(), logs)
  assert found.logs == logs

  def take_up():
    capsys.readouterr()
    writer = metrics_log.Writer(run.folder.path, tensorboard=False)
    start.take_up(run, found, writer)
    writer.close()
    return capsys.readouterr().err

  assert take_up() == ""
  assert "later" not in run.folder.read()
  results.write_text("{}\n")
  arrays.unlink()
  (run.folder.path / "metrics.jsonl").write_text("")
  told = take_up()
  assert "metrics.jsonl: 2 of 2 lines are gone; " in told
  assert "results.jsonl: 2 of 3 rows are gone; " in told
  assert "per_image/fsrcnn_test.npz: gone.\n" in told
  [entry] = run.folder.read()["later"]
  assert entry["mode"] == "train"
  assert len(entry["lost"]) == 3


@pytest.fixture
def run(tmp_path):
  """Checkpoints every 3 steps; `pretrain` has 12."""
  return tiny_network.make_run(
    tmp_path, checkpoint__every_steps=3, pretrain__num_epochs=6
  )


def write_lines(run, phase, last):
  writer = metrics_log.Writer(run.folder.path, tensorboard=False)
  more = {"phase": phase, "loss_weight": 1.0 if phase == "joint" else None}
  writer.write([{**LINE, **more, "step": x + 1} for x in range(last)])
  writer.close()


# Where the log ends, where the run starts, and whether a checkpoint in between
# was on disk.
@pytest.mark.parametrize(
  ("phase", "last", "begins", "step", "are_gone"),
  [
    ("pretrain", 3, "pretrain", 0, False),
    ("pretrain", 6, "pretrain", 0, False),  # The first may not have been saved.
    ("pretrain", 7, "pretrain", 0, True),
    ("pretrain", 9, "pretrain", 3, False),
    ("pretrain", 10, "pretrain", 3, True),
    ("pretrain", 10, "pretrain", 5, True),  # A signal has stopped it there.
    ("joint", 1, "pretrain", 12, False),
    ("joint", 1, "pretrain", 9, True),
    ("joint", 7, "pretrain", 12, True),
    ("joint", 6, "joint", 3, False),
    ("joint", 9, "joint", 0, True),
  ],
)
def test_a_checkpoint_that_must_have_been_there(
  run, capsys, phase, last, begins, step, are_gone
):
  run.folder.record({"config": {}})
  write_lines(run, phase, last)
  log = run.folder.path / "metrics.jsonl"
  before = log.read_bytes()
  lost.tell_checkpoints(run, run.phase(begins), step, restored=True)
  told = capsys.readouterr().err
  assert log.read_bytes() == before
  assert bool(told) == bool(run.folder.read().get("later")) == are_gone
  if are_gone:
    assert f"metrics.jsonl has step {last} of {phase}, but no checkp" in told
    assert f"goes on after step {step} of {begins}; the lines are kept" in told
    kept = run.folder.path / "metrics.jsonl.before"
    assert kept.read_bytes() == before


@pytest.mark.parametrize("left", ["nothing", "empty", "metrics", "timing"])
def test_a_run_that_begins_again_says_so_and_keeps_its_lines(run, capsys, left):
  """Its folder checkpoints/ is gone or empty, and maybe one of the logs."""
  run.folder.record({"config": {}})
  write_lines(run, "pretrain", 11)
  timing = timing_log.TimingLog(run.folder.path)
  timing.begin("pretrain")
  timing.write("train", 11)
  log = run.folder.path / "metrics.jsonl"
  before = log.read_bytes()
  if left == "timing":
    log.unlink()
  if left == "metrics":
    (run.folder.path / "timing.jsonl").unlink()
  if left == "empty":
    (run.folder.path / "checkpoints").mkdir()

  def begin():
    checkpoints = checkpoint.Checkpoints(run.folder.checkpoints("pretrain"))
    found = start.where_to_start(run, {"pretrain": checkpoints})
    writer = metrics_log.Writer(run.folder.path, tensorboard=False)
    capsys.readouterr()
    start.take_up(run, found, writer)
    writer.close()
    checkpoints.close()
    return capsys.readouterr().err

  [told] = begin().splitlines()
  assert "step 11 of pretrain, but no checkpoint has: the run begins" in told
  assert "at step 0 of pretrain" in told
  [entry] = run.folder.read()["later"]
  kept = run.folder.path / "metrics.jsonl.before"
  assert entry["lost"]
  assert kept.exists() == (left != "timing")
  if left != "timing":
    assert told.endswith(f"; the lines are kept in {kept.name}")
    assert kept.read_bytes() == before
    assert log.read_bytes() == b""
  # Once more, and again nothing is lost.
  shutil.rmtree(run.folder.path / "checkpoints")
  write_lines(run, "pretrain", 7)
  second = log.read_bytes()
  begin()
  kept = sorted(run.folder.path.glob("metrics.jsonl.before*"))[-1]
  assert kept.read_bytes() == second


def test_a_kill_before_the_first_checkpoint_costs_a_line_and_nothing_else(
  run, capsys
):
  write_lines(run, "pretrain", 2)
  lost.tell_checkpoints(run, run.phase("pretrain"), 0, restored=False)
  told = capsys.readouterr().err
  assert "begins again, at step 0 of pretrain\n" in told
  assert [x.name for x in run.folder.path.iterdir()] == ["metrics.jsonl"]
  lost.tell_checkpoints(run, run.phase("pretrain"), 2, restored=False)
  assert not capsys.readouterr().err


def test_weights_to_begin_with_are_named(tmp_path, capsys):
  run = tiny_network.make_run(tmp_path, init_from="elsewhere")
  write_lines(run, "joint", 2)
  lost.tell_checkpoints(run, run.phase("joint"), 0, restored=False)
  assert "with the weights of elsewhere\n" in capsys.readouterr().err
