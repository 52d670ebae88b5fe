import dataclasses
import json

import pytest

from sr2_jax import errors
from sr2_jax.buckets import lists
from tests.buckets import memory

PART = lists.Part("files/a/1-x", "1" * 64, 3)
LIST = lists.FileList(1, "x", {"a": (PART,), "empty": (), "ü/b": (PART, PART)})


def put(store, number, session="x"):
  one = dataclasses.replace(LIST, number=number, session=session)
  store.put(lists.key_of(number), one.encode())
  return one


def numbers(store, **more):
  return [found.number for found in lists.newest_first(store, **more)]


def test_a_list_and_back():
  assert lists.FileList.decode(LIST.encode()) == LIST
  assert LIST.keys == {PART.key}


def test_cut_at_any_byte():
  data = LIST.encode()
  for length in range(len(data) - 1):
    with pytest.raises(ValueError, match="sha256"):
      lists.FileList.decode(data[:length])


@pytest.mark.parametrize(
  "name",
  ["../x", "/etc/x", "a/../../x", "", ".lock", ".mirror/state.json", "a\0b"],
)
def test_names_that_lead_elsewhere(name):
  one = dataclasses.replace(LIST, files={name: (PART,)})
  with pytest.raises(ValueError, match="is no file of a run folder"):
    lists.FileList.decode(one.encode())


def test_of_a_later_version():
  line = json.dumps({"format": 99})
  data = f"{line}\n{lists._sha256(line)}\n".encode()
  with pytest.raises(errors.UserError, match="later version"):
    lists.FileList.decode(data)


def test_the_newest_comes_first():
  store = memory.Memory()
  assert numbers(store) == []
  for number in (1, 2, 10):
    put(store, number)
  assert numbers(store) == [10, 2, 1]


def test_keys_that_are_out_of_date():
  store = memory.Memory()
  for number in (3, 4, 5, 6):
    put(store, number)
  store.shown = [lists.key_of(2), lists.key_of(4)]
  assert numbers(store) == [6, 5, 4]
  store.shown = []
  assert numbers(store, at_least=4) == [6, 5, 4]


def test_a_damaged_list_does_not_count():
  store = memory.Memory()
  put(store, 1)
  put(store, 2)
  key = lists.key_of(2)
  store.put(key, store.objects[key][0][:-9])
  store.put("lists/odd.json", b"")
  assert numbers(store) == [1]
