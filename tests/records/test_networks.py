"""Which files a path or a released name means; test_choice.py has more."""

import pytest

from sr2_jax import errors
from sr2_jax.records import networks, released, weights
from tests import tiny_predictor, tiny_released


@pytest.fixture
def run(tmp_path):
  return tiny_predictor.write(tmp_path / "run", seeds=(0, 1))


def test_files_of_the_last_network_of_a_run(run):
  files = networks.files_of(str(run))
  assert [path.parent.name for path in files] == ["seed_0", "seed_1"]
  assert networks.files_of(str(run / "weights")) == files
  assert networks.files_of(str(files[0].parent.parent)) == files
  assert networks.files_of(str(files[1])) == files[1:]
  early = run / "weights/pretrain_fsrcnn/seed_0/last.safetensors"
  weights.write(early, {}, tiny_predictor.origin(phase="pretrain"))
  assert networks.files_of(str(run)) == files
  assert networks.files_of(str(run), method="fsrcnn") == [early]


def test_a_released_name(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(released, "FOLDER", tmp_path / "package")
  folder = tiny_released.write(tmp_path / "package", "mine")
  assert networks.files_of("mine") == [folder / "model.safetensors"]
  assert networks.files_of(str(folder)) == [folder / "model.safetensors"]


@pytest.mark.parametrize("named", [True, False])
def test_a_copy_of_released_weights_is_whole(tmp_path, named):
  """The mean of some seeds is not what was released."""
  folder = tiny_released.write(tmp_path, seeds=(0, 1))
  files = networks.files_of(str(folder))
  assert [path.parent.name for path in files] == ["seed_0", "seed_1"]
  if named:
    files[0].unlink()
  else:
    files[0].parent.rename(tmp_path / "seed_0")
  with pytest.raises(errors.UserError) as caught:
    networks.files_of(str(folder))
  assert str(caught.value).startswith(f"{files[0]}: missing, but listed in")
  # A member that is chosen needs no other, nor do those that no list has.
  assert networks.files_of(str(files[1].parent)) == [files[1]]
  (folder / released.SUMS).unlink()
  assert networks.files_of(str(folder)) == [files[1]]


def test_messages_name_what_it_was_given_as(tmp_path):
  with pytest.raises(errors.UserError) as caught:
    networks.files_of(str(tmp_path / "none"), flag="config.init_from")
  assert str(caught.value).startswith("config.init_from=")
  with pytest.raises(errors.UserError, match=r"config\.init_from=.*: no last"):
    networks.files_of(str(tmp_path), flag="config.init_from")
