import pytest

from sr2_jax import errors
from sr2_jax.buckets import fetch, lists, mirror
from sr2_jax.buckets import store as store_lib
from tests.buckets import memory, worlds


@pytest.fixture
def store(run):
  """Two lists, which differ in one file."""
  found = memory.Memory()
  with worlds.sending(found, run) as sender:
    sender.request()
    assert sender.wait(1)
    worlds.write(run, weights__a="def")
    sender.close(1)
  return found


def test_nothing_is_there(tmp_path):
  assert fetch.newest(memory.Memory(), tmp_path, worlds.URL) is None


def test_the_folder_becomes_what_the_list_says(store, run, tmp_path):
  other = tmp_path / "other"
  worlds.write(other, weights__a="ab", weights__b="old", checkpoints__x="old")
  worlds.write(other, empty__x="a folder where a file has to be")
  worlds.write(other, **{".lock": "stays"})
  assert worlds.fetched(store, other) == {**worlds.read(run), ".lock": "stays"}
  assert not (other / "checkpoints").exists()


def test_what_is_here_is_not_fetched(store, run, tmp_path):
  other = tmp_path / "other"
  worlds.write(other, weights__a="def")
  worlds.fetched(store, other)
  assert store.count("get", "files/weights") == 0
  worlds.write(other, weights__a="dex")
  worlds.fetched(store, other)
  assert store.count("get", "files/weights") == 1


@pytest.mark.parametrize(
  ("now", "fetched"),
  [
    ("abcdefghi", 1),  # A log that grows.
    ("abcdefx", 1),
    ("abXdef", 1),
    ("abc", 0),  # One that was cut back to a checkpoint.
    ("defabc", 2),  # Each part has its place.
    ("", 0),
  ],
)
def test_only_parts_that_are_new_are_fetched(
  tmp_path, monkeypatch, now, fetched
):
  monkeypatch.setattr(mirror, "PART", 3)
  store, run, other = memory.Memory(), tmp_path / "run", tmp_path / "other"
  worlds.write(run, log="abcdef")
  with worlds.sending(store, run) as sender:
    sender.request()
    assert sender.wait(1)
    assert worlds.fetched(store, other) == {"log": "abcdef"}
    worlds.write(run, log=now)
    assert sender.close(1) == []
  store.requests.clear()
  assert worlds.fetched(store, other) == {"log": now}
  assert store.count("get", "files/log") == fetched


def test_only_what_is_wanted(store, tmp_path):
  other = tmp_path / "other"
  worlds.write(other, mine="stays", weights__old="goes")
  fetch.newest(
    store, other, worlds.URL, is_wanted=lambda x: x.startswith("weights/")
  )
  assert worlds.read(other) == {"mine": "stays", "weights/a": "def"}


@pytest.mark.parametrize("at", range(3))
def test_an_answer_that_is_cut_at_any_byte(store, run, tmp_path, at):
  store.faults.append(memory.times(2, memory.cut("files/weights", at=at)))
  assert worlds.fetched(store, tmp_path / "other") == worlds.read(run)


@pytest.mark.parametrize("at", range(3))
def test_an_object_that_is_cut_at_any_byte(store, tmp_path, at):
  """The list before the last is whole, and counts."""
  [key] = lists.read(store, 2).files["weights/a"]
  store.put(key.key, store.objects[key.key][0][:at])
  assert worlds.fetched(store, tmp_path / "other")["weights/a"] == "abc"


def test_an_object_that_is_gone_from_all_lists(store, tmp_path):
  [part] = lists.read(store, 2).files["config"]
  store.delete(part.key)
  with pytest.raises(errors.UserError, match="incomplete: files/config/"):
    worlds.fetched(store, tmp_path / "other")


def test_a_list_that_goes_away_while_it_is_read(
  store, run, tmp_path, monkeypatch
):
  """The run goes on meanwhile, and deletes what only old lists name."""
  monkeypatch.setattr(fetch, "AT_ONCE", 1)
  done = []

  def go_on(method, key, data):
    if method == "get" and key.startswith("files/config") and not done:
      done.append(1)
      with worlds.sending(
        store, run, session="b", base=worlds.newest(store)
      ) as sender:
        for text in "gh":
          worlds.write(run, weights__a=text)
          sender.request()
          assert sender.wait(1)
        sender.close(1)
    return data

  store.faults.append(go_on)
  assert worlds.fetched(store, tmp_path / "other")["weights/a"] == "h"


def test_a_store_that_is_away_for_a_moment(store, run, tmp_path):
  store.faults.append(memory.times(4, memory.away("get", "keys")))
  assert worlds.fetched(store, tmp_path / "other") == worlds.read(run)


def test_a_store_that_stays_away(store, tmp_path):
  store.faults.append(memory.away("get"))
  with pytest.raises(errors.UserError, match="cannot be used: 503") as caught:
    worlds.fetched(store, tmp_path / "other")
  assert len(str(caught.value).splitlines()) == 2


def test_no_right_to_read_is_said_at_once(store, tmp_path):
  calls = []

  def fail():
    calls.append(1)
    raise store_lib.StoreError("AccessDenied", may_pass=False)

  with pytest.raises(errors.UserError, match="AccessDenied"):
    fetch.patiently(fail, worlds.URL)
  assert len(calls) == 1


def test_a_full_disk_here(store, tmp_path, monkeypatch):
  def full(*_, **__):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(fetch.files, "replacing", full)
  with pytest.raises(OSError, match="No space left"):
    worlds.fetched(store, tmp_path / "other")


def test_exactly_one_list(store, run, tmp_path):
  other = tmp_path / "other"
  fetch.exactly(store, 1, other, worlds.URL)
  assert worlds.read(other)["weights/a"] == "abc"
  with pytest.raises(errors.UserError, match="list of files 9 is gone"):
    fetch.exactly(store, 9, other, worlds.URL)
