"""Weights, rows, arrays and pictures of a run, without training."""

import dataclasses
import signal

import numpy as np
import pytest

from sr2_jax import errors, output, parallel
from sr2_jax.evaluation import evaluate, methods
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.records import weights as weights_lib
from sr2_jax.training import preemption
from tests import result_rows, tiny_network


def evaluate_phase(run):
  phase = tiny_network.tiny_phase(run)
  variables = tiny_network.make_state(phase).variables
  method = methods.of_phase(
    run,
    phase,
    variables,
    steps_done=tiny_network.STEPS,
    batch_norm="running",
  )
  return evaluate.evaluate(run, method)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
  run = tiny_network.make_run(
    tmp_path_factory.mktemp("run"),
    pretrain__num_epochs=0,
    eval__splits=("test",),
  )
  (bicubic,) = methods.untrained(run)
  evaluations = evaluate.evaluate(run, bicubic), evaluate_phase(run)
  for evaluation in evaluations:
    output.store(run, evaluation)
  return run, evaluations


def contents(folder):
  return {path: path.read_bytes() for path in folder.glob("*/*.npz")}


class FakeWriter:
  def __init__(self):
    self.images, self.synced = {}, False

  def image(self, phase, tag, rgb, step):
    assert not self.synced
    assert rgb.ndim == 3
    self.images[tag] = (phase, step)

  def sync(self):
    self.synced = True


def test_rows_and_arrays_are_those_of_the_evaluation(stored):
  run, evaluations = stored
  folder = run.folder.path
  rows = [row for evaluation in evaluations for row in evaluation.rows]
  assert rows_lib.read(folder) == rows
  for evaluation in evaluations:
    key = evaluation.method.name.key
    per_image = arrays_lib.read_per_image(folder, key, "test")
    assert per_image.members == evaluation.method.members
    np.testing.assert_array_equal(
      per_image.scores["ssim"], evaluation.per_image["test"].scores["ssim"]
    )
    found = arrays_lib.read_examples(folder, key)
    np.testing.assert_array_equal(
      found.super_res, evaluation.examples.super_res
    )


def test_a_picture_is_drawn_of_what_was_trained(stored):
  run, _ = stored
  pictures = {path.name: path for path in run.folder.images.iterdir()}
  assert pictures.keys() == {"joint_examples.png", "joint_confusion.png"}
  for picture in pictures.values():
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_storing_again_replaces_and_shows_in_tensorboard(stored):
  run, (_, evaluation) = stored
  rows, arrays = rows_lib.read(run.folder.path), contents(run.folder.path)
  fake = FakeWriter()
  output.store(run, evaluation, fake)
  assert rows_lib.read(run.folder.path) == rows
  assert contents(run.folder.path) == arrays
  assert fake.synced
  place = ("joint", max(tiny_network.STEPS))
  assert fake.images == {"joint_examples": place, "joint_confusion": place}


def test_only_the_main_process_writes(stored, monkeypatch, tmp_path):
  run, (_, evaluation) = stored
  monkeypatch.setattr(parallel, "is_main_process", lambda: False)
  run = dataclasses.replace(run, folder=folder_lib.RunFolder(tmp_path / "run"))
  output.store(run, dataclasses.replace(evaluation, examples=None))
  phase = tiny_network.tiny_phase(run)
  variables = tiny_network.make_state(phase).variables
  of_kinds = {"running": variables}
  output.store_weights(run, phase, "last", of_kinds, tiny_network.STEPS)
  output.store_rows(run, evaluation.rows)
  assert not (tmp_path / "run").exists()


def test_a_signal_after_the_last_batch_is_not_lost(stored, tmp_path):
  """The run stops before the picture, but the rows are on disk."""
  run, (_, evaluation) = stored
  stop = preemption.StopRequest()
  stop.received = lambda: signal.SIGTERM
  run = dataclasses.replace(
    run, stop=stop, folder=folder_lib.RunFolder(tmp_path)
  )
  with pytest.raises(errors.Stopped, match="evaluate again"):
    output.store(run, evaluation)
  assert (tmp_path / rows_lib.FILE_NAME).exists()
  assert not (tmp_path / "images").exists()


@pytest.mark.parametrize("broken", ["figures", "example_grid"])
def test_a_picture_that_fails_costs_no_run(
  stored, monkeypatch, capsys, tmp_path, broken
):
  run, (_, evaluation) = stored

  def fail(*arguments, **options):
    raise RuntimeError("no ink")

  name = {"figures": "example_grid", "example_grid": "select"}[broken]
  monkeypatch.setattr(getattr(output, broken), name, fail)
  monkeypatch.setattr(output.summary, "show", fail)
  run = dataclasses.replace(run, folder=folder_lib.RunFolder(tmp_path))
  fake = FakeWriter()
  output.store(run, evaluation, fake)
  output.show(run, evaluation.rows)
  assert rows_lib.read(tmp_path) == [*evaluation.rows]
  assert not fake.images
  said = capsys.readouterr().err
  assert "without the pictures of joint (RuntimeError: no ink)" in said
  assert "without tables and curves (RuntimeError: no ink)" in said


def test_each_member_has_its_own_weights_file(tmp_path):
  run = tiny_network.make_run(tmp_path)
  phase = tiny_network.tiny_phase(run)
  variables = tiny_network.make_state(phase).variables
  reestimated = {**variables, "batch_stats": {"shift": np.ones((4, 1))}}
  of_kinds = {"reestimated": reestimated, "running": variables}
  output.store_weights(run, phase, "best", of_kinds, tiny_network.STEPS)
  folder = tmp_path / "weights" / "joint_sr2_fsrcnn"
  names = [f"seed_{s}_lambda_{w}" for s in (0, 1) for w in (0.5, 2.0)]
  assert sorted(path.name for path in folder.iterdir()) == names
  for place, name in enumerate(names):
    arrays, origin = weights_lib.read(folder / name / "best.safetensors")
    assert arrays.keys() == {
      "params/gain",
      "params/weights",
      "batch_stats/shift",
      "running_batch_stats/shift",
    }
    np.testing.assert_array_equal(arrays["batch_stats/shift"], 1)
    np.testing.assert_array_equal(
      arrays["running_batch_stats/shift"],
      variables["batch_stats"]["shift"][place],
    )
    assert origin.batch_norm == "reestimated"
    np.testing.assert_array_equal(
      arrays["params/gain"], variables["params"]["gain"][place]
    )
    assert origin.member == tiny_network.FOUR_MEMBERS[place]
    assert origin.step == tiny_network.STEPS[place]
    assert (origin.phase, origin.method) == ("joint", "sr2_fsrcnn")
    assert origin.image_shape == (tiny_network.SIZE, tiny_network.SIZE, 1)
    assert origin.class_names == ("a", "b", "c", "d")
    assert origin.config["experiment"] == "evaluated"


def test_only_members_that_live_have_weights_files(tmp_path):
  run = tiny_network.make_run(tmp_path)
  phase = tiny_network.tiny_phase(run)
  variables = tiny_network.make_state(phase).variables
  output.store_weights(
    run, phase, "last", {None: variables}, tiny_network.STEPS, places=(2,)
  )
  [path] = (tmp_path / "weights" / "joint_sr2_fsrcnn").glob("*/*.safetensors")
  arrays, origin = weights_lib.read(path)
  np.testing.assert_array_equal(
    arrays["params/gain"], variables["params"]["gain"][2]
  )
  assert origin.member == tiny_network.FOUR_MEMBERS[2]
  assert path.parent.name == "seed_1_lambda_0.5"


def test_rows_of_the_pretraining_it_started_from(tmp_path):
  """Only the run's own seeds, and nothing that came after pretraining."""
  source, own = tmp_path / "source", tmp_path / "own"
  own.mkdir()
  source.mkdir()
  theirs = [
    result_rows.row("fsrcnn", seed=0),
    result_rows.row("fsrcnn", seed=1),
    result_rows.row("sr2_fsrcnn", seed=1),
    result_rows.row("bicubic"),
  ]
  mine = [
    result_rows.row("sr2_fsrcnn", seed=1, value=0.9),
    result_rows.row("bicubic", value=0.9),
  ]
  rows_lib.merge(own, mine)
  run = tiny_network.make_run(own, init_from=str(source), seed=1, num_seeds=1)
  assert output.pretraining_rows(run.config) == []  # that run has no rows yet
  rows_lib.merge(source, theirs)
  assert output.pretraining_rows(run.config) == [theirs[1]]
  assert output.pretraining_rows(tiny_network.make_run(own).config) == []


def test_damaged_rows_of_another_run_are_left_out(tmp_path, capsys):
  source = tmp_path / "source"
  source.mkdir()
  (source / rows_lib.FILE_NAME).write_text('{"torn')
  run = tiny_network.make_run(tmp_path / "own", init_from=str(source))
  assert output.pretraining_rows(run.config) == []
  assert f"{source / rows_lib.FILE_NAME}:1" in capsys.readouterr().err
