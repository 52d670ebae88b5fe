import json
import time

import pytest

from sr2_jax import errors
from sr2_jax.buckets import owner, sending
from sr2_jax.buckets import store as store_lib
from sr2_jax.training import mirroring
from tests.buckets import memory, worlds

URL = "gs://bucket/run"


@pytest.fixture
def store(monkeypatch, tmp_path):
  worlds.fast(monkeypatch)
  monkeypatch.setattr(owner, "BEAT", 0.05)
  monkeypatch.setattr(owner, "STALE", 0.3)
  monkeypatch.setattr(owner, "LOOK", 0.02)
  monkeypatch.setattr(sending, "PATIENCE", 0.2)
  monkeypatch.setattr(sending, "PATIENCE_OF_A_STOP", 0.1)
  found = memory.Memory()
  monkeypatch.setattr(store_lib, "connect", lambda address: found)
  on(monkeypatch, tmp_path / "first")
  return found


def on(monkeypatch, machine):
  """From here on, this is another machine."""
  monkeypatch.setenv("SR2_JAX_SCRATCH_DIR", str(machine))


def run(last, **contents):
  """A run that mirrors files, and then does something."""
  with mirroring.opened(URL) as (found, _):
    worlds.write(found.path, **contents)
    last()


def folder():
  return mirroring.folder_of(URL)


def test_a_folder_on_a_disk(tmp_path):
  with mirroring.opened(tmp_path / "run") as (found, place):
    assert found.path == tmp_path / "run"
    assert found.is_claimed
    for call in (place.request, place.check, place.share):
      call()


def test_another_machine_goes_on(store, monkeypatch, tmp_path, capsys):
  with mirroring.opened(URL) as (found, place):
    assert found.path == folder()
    worlds.write(found.path, config="{}", state="1")
    place.request()
  assert f"{URL} is up to date" in capsys.readouterr().err
  on(monkeypatch, tmp_path / "second")
  with mirroring.opened(URL) as (found, _):
    assert found.path.is_relative_to(tmp_path / "second")
    assert worlds.read(found.path)["state"] == "1"
    worlds.write(found.path, state="2")
  # What the first machine has is older, and is replaced.
  on(monkeypatch, tmp_path / "first")
  with mirroring.opened(URL) as (found, _):
    assert worlds.read(found.path)["state"] == "2"


def test_what_was_not_sent_is_said_and_sent_by_the_next_start(store, capsys):
  with pytest.raises(errors.UserError) as caught:
    run(lambda: store.faults.append(memory.away("put")), state="1")
  assert f"{URL} lacks state (503: as told)." in str(caught.value)
  assert str(folder()) in str(caught.value)
  assert caught.value.exit_code == errors.TO_FIX
  store.faults.clear()
  with mirroring.opened(URL) as (found, _):
    assert worlds.read(found.path)["state"] == "1"
  assert "state" in worlds.newest(store).files


def test_a_run_that_fails_says_why_and_what_was_not_sent(store, capsys):
  def stop():
    store.faults.append(memory.away("put"))
    raise errors.Stopped(15, "stopped")

  with pytest.raises(errors.Stopped):
    run(stop, state="1")
  assert "lacks state" in capsys.readouterr().err


def test_a_run_that_is_stopped_is_mirrored(store):
  def stop():
    raise errors.Stopped(15, "stopped")

  with pytest.raises(errors.Stopped):
    run(stop, state="1")
  assert "state" in worlds.newest(store).files


def test_a_folder_that_lost_what_it_knew_is_fetched_again(store):
  with mirroring.opened(URL) as (found, _):
    worlds.write(found.path, state="1")
  (folder() / ".mirror/state.json").unlink()
  worlds.write(folder(), state="unknown", other="unknown")
  with mirroring.opened(URL) as (found, _):
    assert set(worlds.read(found.path)) - {".lock"} == {"state"}
    assert worlds.read(found.path)["state"] == "1"


def test_a_fetch_that_was_killed_is_made_again(store, monkeypatch, tmp_path):
  with mirroring.opened(URL) as (found, _):
    worlds.write(found.path, state="1", weights__a="2")
  on(monkeypatch, tmp_path / "second")
  store.faults.append(memory.away("get"))
  with pytest.raises(errors.UserError), mirroring.opened(URL):
    pass
  store.faults.clear()

  def full(method, key, data):
    if method == "get" and key.startswith("files/weights"):
      raise OSError(28, "No space left on device")
    return data

  store.faults.append(full)
  with pytest.raises(OSError, match="No space"), mirroring.opened(URL):
    pass
  store.faults.clear()
  with mirroring.opened(URL) as (found, _):
    assert worlds.read(found.path)["weights/a"] == "2"


def test_a_second_run_on_this_machine(store):
  with (
    mirroring.opened(URL),
    pytest.raises(errors.FolderInUseError, match="since"),
    mirroring.opened(URL),
  ):
    pass


def test_a_second_run_on_another_machine(store, monkeypatch, tmp_path, capsys):
  with mirroring.opened(URL):
    on(monkeypatch, tmp_path / "second")
    with (
      pytest.raises(errors.FolderInUseError, match=r"process .* on .*, since"),
      mirroring.opened(URL),
    ):
      pass
  assert "whether it is alive" in capsys.readouterr().err


def test_an_owner_that_is_gone_is_waited_for_elsewhere_only(
  store, monkeypatch, tmp_path
):
  with mirroring.opened(URL) as (found, _):
    worlds.write(found.path, state="1")
  gone = json.loads(store.objects[owner.KEY][0])
  session = json.loads((folder() / ".mirror/state.json").read_text())["session"]
  left = json.dumps({**gone, "session": session}).encode()
  store.put(owner.KEY, left)
  began = time.monotonic()
  monkeypatch.setattr(owner, "STALE", 1000)
  with mirroring.opened(URL):
    assert time.monotonic() - began < 5
  on(monkeypatch, tmp_path / "second")
  store.put(owner.KEY, left)
  began = time.monotonic()
  with mirroring.opened(URL) as (found, _):
    assert time.monotonic() - began >= 0.3
    assert worlds.read(found.path)["state"] == "1"


def test_a_run_that_was_taken_over_ends_with_the_code_of_a_folder_in_use(store):
  def lose():
    store.put(owner.KEY, b'{"session": "other", "host": "h", "pid": 1}')
    time.sleep(0.2)

  with pytest.raises(errors.FolderInUseError, match="has taken it over") as one:
    run(lose, state="1")
  assert one.value.exit_code == errors.IN_USE


def test_it_has_to_exist_for_an_evaluation(store, tmp_path):
  for place in (URL, tmp_path / "none"):
    with (
      pytest.raises(errors.UserError, match="is not a run folder"),
      mirroring.opened(place, must_exist=True),
    ):
      pass
  assert not (tmp_path / "none").exists()


def test_a_store_that_cannot_be_reached(store):
  store.faults.append(memory.away())
  with (
    pytest.raises(errors.UserError, match="cannot be used: 503"),
    mirroring.opened(URL),
  ):
    pass


def test_a_store_whose_objects_are_gone(store, monkeypatch, tmp_path):
  with mirroring.opened(URL) as (found, _):
    worlds.write(found.path, state="1")
  on(monkeypatch, tmp_path / "second")
  for key in store.keys("files/"):
    store.delete(key)
  with (
    pytest.raises(errors.UserError, match="incomplete"),
    mirroring.opened(URL),
  ):
    pass
  # It is free all the same.
  assert json.loads(store.objects[owner.KEY][0])["session"] is None


def test_other_processes_fetch_what_process_0_has(store, monkeypatch, tmp_path):
  """At the start, and whenever they share the folder."""
  parallel, agreement = mirroring.parallel, mirroring.agreement
  told = []

  def follow(topic, value):
    if value is not None:
      told.append(value)
    return told[-1]

  monkeypatch.setattr(parallel, "num_processes", lambda: 2)
  monkeypatch.setattr(agreement, "follow", follow)
  with mirroring.opened(URL) as (first, place):
    worlds.write(first.path, state="1")
    place.share()
    on(monkeypatch, tmp_path / "second")
    monkeypatch.setattr(parallel, "is_main_process", lambda: False)
    monkeypatch.setattr(agreement, "follow", lambda topic, value: told[-1])
    with mirroring.opened(URL) as (second, other):
      assert second.path != first.path
      assert worlds.read(second.path)["state"] == "1"
      # It owns nothing, and sends nothing.
      worlds.write(second.path, mine="x")
      other.request()
      other.share()
      assert "mine" not in worlds.read(second.path)
  assert "mine" not in worlds.newest(store).files
