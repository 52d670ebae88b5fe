import pytest

from sr2_jax import errors
from sr2_jax.buckets import sending, state
from tests.buckets import memory, worlds


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
  monkeypatch.setattr(sending, "PATIENCE", 0.2)


def test_a_part_of_a_folder(tmp_path):
  """What belongs to others is neither sent nor deleted."""
  store = memory.Memory()
  here, there = tmp_path / "here", tmp_path / "there"
  worlds.write(here, log="1", run__metrics="of the run")
  worlds.write(there, old="0", run__metrics="of the run")
  for folder in (here, there):
    with sending.sending(
      store, folder, worlds.URL, is_part=lambda name: "/" not in name
    ):
      pass
  assert set(worlds.newest(store).files) == {"log"}
  assert worlds.read(there) == {"log": "1", "run/metrics": "of the run"}


def test_from_time_to_time(tmp_path):
  store = memory.Memory()
  worlds.write(tmp_path, log="1")
  with sending.sending(store, tmp_path, worlds.URL, every=0.05) as sender:
    worlds.wait_for(lambda: sender.number == 1)
    worlds.write(tmp_path, log="2")
    worlds.wait_for(lambda: sender.number == 2)


def test_what_is_not_sent_is_noted_for_the_next_start(tmp_path):
  store = memory.Memory()
  worlds.write(tmp_path, DONE="")
  with (
    pytest.raises(errors.UserError, match="lacks DONE"),
    sending.sending(store, tmp_path, worlds.URL),
  ):
    store.faults.append(memory.away("put"))
  assert state.is_unsent(tmp_path)
  store.faults.clear()
  with sending.sending(store, tmp_path, worlds.URL):
    assert state.is_unsent(tmp_path)
  assert not state.is_unsent(tmp_path)
