import json
import os
import threading
import time

import pytest

from sr2_jax import errors
from sr2_jax.buckets import owner
from tests.buckets import memory

URL = "gs://bucket/run"


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
  monkeypatch.setattr(owner, "BEAT", 0.05)
  monkeypatch.setattr(owner, "STALE", 0.5)
  monkeypatch.setattr(owner, "LOOK", 0.02)


def claimed(store, session, *, before="", told=None):
  one = owner.Owner(store, URL, session)
  one.claim(
    before=before, tell=(told or []).append if told is None else told.append
  )
  return one


def said(store):
  return json.loads(store.objects[owner.KEY][0])


def test_the_object_names_the_owner():
  store = memory.Memory()
  one = claimed(store, "a")
  found = said(store)
  assert found["session"] == "a"
  assert found["stale_after"] == 0.5
  assert {"host", "pid", "since", "list"} <= found.keys()
  one.release()
  assert said(store)["session"] is None


def test_a_second_run_is_kept_out_and_told_who_and_since_when():
  store = memory.Memory()
  one, told = claimed(store, "a"), []
  with pytest.raises(errors.FolderInUseError) as caught:
    claimed(store, "b", told=told)
  assert caught.value.exit_code == errors.IN_USE
  for text in (str(caught.value), told[0]):
    assert f"process {said(store)['pid']} on " in text
    assert "since 20" in text
  assert not one.is_lost
  one.release()
  claimed(store, "b").release()


def test_of_two_at_once_one_gets_it():
  store = memory.Memory()
  store.faults.append(memory.slow(0.01))
  outcomes = []

  def run(session):
    try:
      outcomes.append(claimed(store, session))
    except errors.FolderInUseError:
      outcomes.append(None)

  threads = [threading.Thread(target=run, args=(x,)) for x in "abcd"]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  [winner] = [x for x in outcomes if x is not None]
  winner.release()


def test_a_stale_owner_is_taken_over_after_the_time_that_it_has_stated():
  store = memory.Memory()
  stale = {"session": "a", "host": "h", "pid": 1, "stale_after": 0.3}
  store.put(owner.KEY, json.dumps(stale).encode())
  began, told = time.monotonic(), []
  claimed(store, "b", told=told).release()
  assert time.monotonic() - began >= 0.3
  assert "taking over" in told[-1]


def test_who_ran_here_before_is_not_waited_for(monkeypatch):
  monkeypatch.setattr(owner, "STALE", 1000)
  store = memory.Memory()
  store.put(owner.KEY, json.dumps({"session": "a", "list": 7}).encode())
  one = claimed(store, "b", before="a")
  assert one.last_list == 7
  one.release()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"x"', b'{"pid": "x"}'])
def test_an_object_that_is_damaged(data):
  store = memory.Memory()
  store.put(owner.KEY, data)
  claimed(store, "b").release()


def test_who_was_taken_over_finds_out_and_writes_no_more():
  store = memory.Memory()
  one = claimed(store, "a")
  store.put(owner.KEY, json.dumps({"session": "b", "host": "other"}).encode())
  until = time.monotonic() + 10
  while not one.is_lost and time.monotonic() < until:
    time.sleep(0.01)
  with pytest.raises(errors.FolderInUseError, match="has taken it over"):
    one.check()
  one.release()
  assert said(store)["session"] == "b"


def test_a_lost_answer_is_no_other_owner():
  store = memory.Memory()
  one = claimed(store, "a")

  def lost(method, key, data):
    if method == "answer":
      raise memory.store_lib.StoreError("no answer")
    return data

  store.faults.append(memory.times(1, lost))
  time.sleep(0.3)
  store.faults.clear()
  one.beat()
  assert not one.is_lost
  one.release()


def test_a_store_that_is_away_does_not_cost_the_ownership():
  store = memory.Memory()
  one = claimed(store, "a")
  store.faults.append(memory.away())
  time.sleep(0.7)
  store.faults.clear()
  one.beat()
  one.check()
  one.release()


def test_a_store_that_heeds_no_preconditions_is_refused():
  class Careless(memory.Memory):
    def put_if(self, key, data, *, version):
      return self._write(key, data)

  with pytest.raises(errors.UserError, match="If-None-Match"):
    claimed(Careless(), "a")


def test_a_process_that_is_known_to_have_ended_lets_the_next_one_in():
  store, told = memory.Memory(), []
  one = claimed(store, "a")
  one._over.set()  # As a kill leaves it.
  found = said(store)
  for host, pid in (("other", found["pid"]), (found["host"], 1)):
    owner.release_for(store, host, pid)
    assert said(store)["session"] == "a"
  owner.release_for(store, found["host"], found["pid"])
  assert said(store) == {**found, "session": None}
  claimed(store, "b", told=told).release()
  assert told == []


def test_nobody_is_let_in_for_an_owner_that_came_later():
  store = memory.Memory()
  one = claimed(store, "a")
  found, get = said(store), store.get

  def slow(key):
    answer = get(key)
    one.beat()  # After it was read.
    return answer

  store.get = slow
  owner.release_for(store, found["host"], found["pid"])
  assert said(store)["session"] == "a"
  assert not one.is_lost


@pytest.mark.parametrize("data", [None, b"{}", b"no JSON", b"[]"])
def test_nobody_to_let_in_for(data):
  store = memory.Memory()
  if data is not None:
    store.put(owner.KEY, data)
  owner.release_for(store, "host", 7)
  assert store.count("put_if") == 0
  assert owner.last_list(owner.read(store)[0]) == 0


def test_an_owner_is_seen_without_watching_it():
  store = memory.Memory()
  assert owner.seen(store) is None
  one = claimed(store, "a")
  found = owner.seen(store)
  assert found.is_alive
  assert f"process {os.getpid()} on " in found.who
  assert ", since 20" in found.who
  one._over.set()  # As a kill leaves it.
  store.ages[owner.KEY] = owner.STALE + 1
  assert owner.seen(store) == (found.who, owner.STALE + 1, False)
  # It has stated a longer time.
  store.put(owner.KEY, json.dumps({**said(store), "stale_after": 600}).encode())
  assert owner.seen(store).is_alive
  one.release()
  store.put(owner.KEY, json.dumps({**said(store), "session": None}).encode())
  assert owner.seen(store) is None


def test_an_owner_whose_object_is_odd():
  store = memory.Memory()
  store.put(owner.KEY, b"no JSON")
  assert owner.seen(store).who == "another run"
