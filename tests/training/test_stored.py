"""Weights from checkpoints, with the optimizer's state and without."""

import shutil

import jax
import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.records import folder as folder_lib
from sr2_jax.training import checkpoint, stored
from tests.training import test_run

images, surroundings = test_run.images, test_run.surroundings


@pytest.fixture(scope="module")
def phase(images, tmp_path_factory):
  run = test_run.make_run(
    tmp_path_factory.mktemp("run"), images, seed=3, num_seeds=2
  )
  return run.phase("pretrain")


@pytest.fixture(scope="module")
def saved(phase, tmp_path_factory):
  """A run folder with a checkpoint at the end of pretraining."""
  folder = folder_lib.RunFolder(tmp_path_factory.mktemp("runs") / "saved")
  checkpoints = checkpoint.Checkpoints(folder.checkpoints("pretrain"), keep=2)
  for step in (3, phase.num_steps):
    state = test_run.fill(phase.abstract_state(), (step, step + 1))
    checkpoints.save(step, state)
  checkpoints.close()
  return folder.path


@pytest.fixture
def folder(saved, tmp_path):
  return folder_lib.RunFolder(shutil.copytree(saved, tmp_path / "copy"))


def kinds(folder):
  return sorted(p.name for p in folder.checkpoints("pretrain").parent.iterdir())


def assert_equal(actual, expected):
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


def test_weights_alone_serve_as_the_checkpoints_did(folder, phase):
  before = stored.weights(folder, phase, "last")
  assert before[1] == [phase.num_steps] * 2
  assert stored.weights(folder, phase, "best") is None
  state = stored.pretrained(folder, phase)
  stored.keep_final(folder, [phase])
  # Until the run is done, it may have to go on.
  stored.drop_states(folder)
  assert kinds(folder) == ["final", "last"]
  folder.set_done()
  stored.drop_states(folder)
  assert kinds(folder) == ["final"]
  after = stored.weights(folder, phase, "last")
  assert_equal(after[0], before[0])
  assert after[1] == before[1]
  alone = stored.pretrained(folder, phase)
  assert_equal(alone.variables, state.variables)
  assert jax.tree.leaves(alone.opt_state) == []


def test_weights_alone_need_a_third(folder, phase):
  """Of one checkpoint: Adam has two numbers for each parameter."""
  stored.keep_final(folder, [phase])

  def size(kind):
    place = folder.checkpoints("pretrain", kind) / f"{phase.num_steps:08d}"
    return sum(file.stat().st_size for file in place.rglob("*"))

  assert size("final") < 0.6 * size("last")  # small files, mostly names


def test_a_killed_end_of_a_run_can_be_repeated(folder, phase):
  stored.keep_final(folder, [phase])
  stored.keep_final(folder, [phase])
  # As a deletion that was killed leaves it.
  folder.set_done()
  state = folder.checkpoints("pretrain") / f"{phase.num_steps:08d}" / "state"
  shutil.rmtree(state)
  assert stored.weights(folder, phase, "last")[1] == [phase.num_steps] * 2


def test_who_takes_done_away_is_told(folder, phase):
  stored.check_can_go_on(folder)
  stored.keep_final(folder, [phase])
  folder.set_done()
  stored.drop_states(folder)
  (folder.path / "DONE").unlink()
  with pytest.raises(errors.UserError, match="it cannot go on") as caught:
    stored.check_can_go_on(folder)
  assert len(str(caught.value).splitlines()) == 2


def test_damaged_checkpoints_are_left_as_they_are(folder, phase, capsys):
  for state in folder.checkpoints("pretrain").glob("*/state"):
    shutil.rmtree(state)
  stored.keep_final(folder, [phase])
  folder.set_done()
  stored.drop_states(folder)
  assert kinds(folder) == ["last"]
  assert "the checkpoints of pretrain are kept" in capsys.readouterr().err


def test_nothing_was_saved(tmp_path, phase):
  folder = folder_lib.RunFolder(tmp_path)
  assert stored.weights(folder, phase, "last") is None
  stored.keep_final(folder, [phase])
  assert not (tmp_path / "checkpoints").exists()
  with pytest.raises(errors.UserError, match="no finished pretraining"):
    stored.pretrained(folder, phase)
