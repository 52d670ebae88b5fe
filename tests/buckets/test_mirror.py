import os
import time

import pytest

from sr2_jax import errors
from sr2_jax.buckets import lists, mirror, owner, state
from sr2_jax.buckets import store as store_lib
from tests.buckets import memory, worlds


def test_a_folder_arrives(run, tmp_path):
  store = memory.Memory()
  with worlds.sending(store, run) as sender:
    assert not store.count("put")  # Nothing before it is asked to.
    assert sender.close(1) == []
  assert worlds.fetched(store, tmp_path / "other") == worlds.read(run)
  assert not (run / ".mirror/files").exists()


def test_the_list_comes_last(run):
  store = memory.Memory()
  with worlds.sending(store, run) as sender:
    sender.close(1)
  kinds = [
    key.split("/")[0]
    for method, key in store.requests
    if method.startswith("put") and key != owner.KEY
  ]
  assert kinds == ["files", "files", "lists"]


def test_what_is_there_is_not_sent_again(run):
  store = memory.Memory()
  with worlds.sending(store, run) as sender:
    sender.request()
    assert sender.wait(1)
    worlds.write(run, weights__b="new")
    sender.request()
    assert sender.wait(1)
    assert store.count("put", "files/weights/a") == 1
    assert store.count("put", "files/weights/b") == 1
    sender.request()
    assert sender.wait(1)
    assert sender.number == 2  # Nothing was new.
    sender.close(1)
  base = worlds.newest(store)
  with worlds.sending(store, run, session="b", base=base) as sender:
    worlds.write(run, weights__c="new")
    sender.close(1)
  assert store.count("put", "files/weights/a") == 1


def test_a_log_that_grows_is_sent_from_its_last_part_on(
  run, tmp_path, monkeypatch
):
  monkeypatch.setattr(mirror, "PART", 4)
  store, log = memory.Memory(), run / "metrics.jsonl"
  with worlds.sending(store, run) as sender:
    for text in ("0123456789", "0123456789ab", "0123456789abcdef0"):
      log.write_text(text)
      sender.request()
      assert sender.wait(1)
    sender.close(1)
  assert store.count("put", "files/metrics.jsonl") == 3 + 1 + 2
  found = worlds.fetched(store, tmp_path / "other")
  assert found["metrics.jsonl"] == "0123456789abcdef0"


def test_only_what_the_last_two_lists_name_stays(run):
  store = memory.Memory()
  with worlds.sending(store, run) as sender:
    for number in range(5):
      worlds.write(run, state=str(number))
      sender.request()
      assert sender.wait(1)
    sender.close(1)
  assert lists.numbers(store) == [4, 5]
  named = {key for one in lists.newest_first(store) for key in one.keys}
  assert set(store.keys("files/")) == named
  assert len(store.keys("files/state/")) == 2


def test_a_run_that_is_done_leaves_nothing_old(run):
  store = memory.Memory()
  with worlds.sending(store, run) as sender:
    worlds.write(run, state="large")
    sender.request()
    assert sender.wait(1)
    (run / "state").unlink()
    sender.close(1, is_done=True)
  assert not store.keys("files/state/")


def test_what_a_killed_mirror_has_left_is_swept(run):
  store = memory.Memory()
  with worlds.sending(store, run) as sender:
    sender.close(1)
  store.put("files/weights/b/123-old", b"left")
  base = worlds.newest(store)
  with worlds.sending(store, run, session="b", base=base) as sender:
    worlds.write(run, weights__c="new")
    sender.close(1)
  assert not store.keys("files/weights/b/")
  assert store.keys("files/weights/a/")


def test_an_object_that_was_deleted_by_hand_is_sent_again(run, tmp_path):
  store = memory.Memory()
  with worlds.sending(store, run) as sender:
    sender.close(1)
  [key] = store.keys("files/weights/a/")
  store.delete(key)
  base = worlds.newest(store)
  with worlds.sending(store, run, session="b", base=base) as sender:
    sender.close(1)
  assert worlds.fetched(store, tmp_path / "other") == worlds.read(run)


@pytest.mark.parametrize("method", ["put", "answer", "keys", "delete"])
@pytest.mark.parametrize("number", [1, 3])
def test_requests_that_fail_are_made_again(run, tmp_path, method, number):
  store = memory.Memory()
  with worlds.sending(store, run) as sender:
    fault = memory.times(number, memory.away(method))
    store.faults.append(fault)
    for text in "abc":
      worlds.write(run, state=text)
      sender.request()
      assert sender.wait(5)
    assert sender.close(5) == []
  assert worlds.fetched(store, tmp_path / "other") == worlds.read(run)


def test_nobody_waits_while_it_is_sent(run):
  store = memory.Memory()
  with worlds.sending(store, run) as sender:
    store.faults.append(memory.slow(0.3, "files/"))
    began = time.monotonic()
    for _ in range(100):
      sender.request()
      sender.check()
    assert time.monotonic() - began < 0.2
    assert sender.wait(5)
    # They were one request.
    assert store.count("put", "files/") == 2
    sender.close(5)


def test_notes_of_a_store_that_is_away(run, monkeypatch):
  monkeypatch.setattr(mirror, "_NOTES", (0.05, 0.2))
  store, told = memory.Memory(), []
  with worlds.sending(store, run, told=told) as sender:
    store.faults.append(memory.away("put"))
    sender.request()
    assert not sender.wait(0.5)
    assert len(told) == 2
    assert "503: as told" in told[0]
    assert str(run) in told[0]
    store.faults.clear()
    assert sender.wait(5)
    assert told[2:] == [f"note: {worlds.URL} is up to date again"]
    sender.close(5)


def test_a_short_absence_is_no_news(run):
  store, told = memory.Memory(), []
  with worlds.sending(store, run, told=told) as sender:
    store.faults.append(memory.times(5, memory.away("put")))
    assert sender.close(5) == []
  assert told == []


def test_the_end_says_what_is_not_sent(run):
  store = memory.Memory()
  with worlds.sending(store, run) as sender:
    sender.request()
    assert sender.wait(1)
    store.faults.append(memory.away("put"))
    worlds.write(run, state="new", weights__a="other")
    began = time.monotonic()
    assert sender.close(0.1) == ["state", "weights/a"]
    assert time.monotonic() - began < 5
    assert sender.reason == "503: as told"
    store.faults.clear()


def test_who_was_taken_over_writes_no_list(run):
  store = memory.Memory()
  with worlds.sending(store, run) as sender:
    store.put(owner.KEY, b'{"session": "b", "host": "other"}')
    one = lists.FileList(1, "b", {})
    store.put(lists.key_of(1), one.encode())
    sender.request()
    with pytest.raises(errors.FolderInUseError):
      sender.wait(5)
    with pytest.raises(errors.FolderInUseError):
      sender.close(1)
  assert worlds.newest(store) == one


def test_a_list_of_a_mirror_that_was_too_slow_is_passed_over(run):
  store = memory.Memory()
  with worlds.sending(store, run) as sender:
    store.put(lists.key_of(1), lists.FileList(1, "old", {}).encode())
    assert sender.close(5) == []
  assert worlds.newest(store).mark == (2, "a")


def test_a_checkpoint_that_is_being_written_is_waited_for(run, tmp_path):
  store = memory.Memory()
  saving = [True]
  with worlds.sending(store, run) as sender:
    sender.request(lambda: saving[0])
    time.sleep(0.2)
    assert not store.count("put")
    worlds.write(run, checkpoints__joint__last__00000003__x="state")
    saving[0] = False
    assert sender.wait(5)
    sender.close(1)
  assert "checkpoints/joint/last/00000003/x" in worlds.newest(store).files


def test_a_file_that_goes_away_meanwhile(run, monkeypatch):
  """As an old checkpoint does; the next look at the folder has it no more."""
  store, link = memory.Memory(), os.link
  worlds.write(run, state="old")

  def late(path, second):
    (run / "state").unlink(missing_ok=True)
    link(path, second)

  monkeypatch.setattr(os, "link", late)
  with worlds.sending(store, run) as sender:
    assert sender.close(5) == []
  assert set(worlds.newest(store).files) == {"config", "weights/a", "empty"}


def test_a_full_disk_here_does_not_stop_it(run, tmp_path, monkeypatch):
  store = memory.Memory()

  def fail(*_, **__):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(os, "link", fail)
  monkeypatch.setattr(state.files, "write_atomically", fail)
  with worlds.sending(store, run) as sender:
    assert sender.close(5) == []
  monkeypatch.undo()
  assert worlds.fetched(store, tmp_path / "other") == worlds.read(run)


@pytest.mark.parametrize("number", range(12))
def test_killed_after_any_request(run, tmp_path, number):
  """What is found then is a folder as it was at a time, and whole."""
  store, left = memory.Memory(), [number]

  def killed(method, key, data):
    if method in ("put", "delete") and key != owner.KEY:
      left[0] -= 1
      if left[0] < 0:
        raise store_lib.StoreError("gone")
    return data

  seen = []
  with worlds.sending(store, run) as sender:
    store.faults.append(killed)
    for text in ("1", "2", "3"):
      worlds.write(run, state=text, rows=text)
      seen.append(worlds.read(run))
      sender.request()
      if not sender.wait(0.05):
        break
    sender.close(0.01)
  store.faults.clear()
  found = worlds.fetched(store, tmp_path / "other")
  assert found in [{}, *seen]
  assert number < 5 or found


def test_what_arrived_before_a_failure_is_not_sent_again(run, tmp_path):
  store = memory.Memory()
  for number in range(20):
    worlds.write(run, **{f"file_{number}": str(number)})
  with worlds.sending(store, run) as sender:
    store.faults.append(_every_third(memory.away("put")))
    assert sender.close(20) == []
  assert store.count("put", "files/") < 60
  assert worlds.fetched(store, tmp_path / "other") == worlds.read(run)
  named = worlds.newest(store).keys
  assert set(store.keys("files/")) == set(named)


def _every_third(fault):
  count = [0]

  def some(method, key, data):
    if method == "put" and key.startswith("files/"):
      count[0] += 1
      if count[0] % 3 == 0:
        return fault(method, key, data)
    return data

  return some


def test_an_error_that_nobody_expects_does_not_end_it(run):
  store = memory.Memory()

  def fail(method, key, data):
    raise RuntimeError("odd")

  with worlds.sending(store, run) as sender:
    store.faults.append(fail)
    sender.request()
    assert not sender.wait(0.1)
    assert sender.reason == "odd"
    store.faults.clear()
    assert sender.close(5) == []


def test_a_save_that_has_failed_does_not_delay_the_end(run):
  store = memory.Memory()
  (run / "checkpoints/joint/last/3.orbax-checkpoint-tmp").mkdir(parents=True)
  with worlds.sending(store, run) as sender:
    sender.request(lambda: True)
    began = time.monotonic()
    assert sender.close(5) == []
    assert time.monotonic() - began < 20
