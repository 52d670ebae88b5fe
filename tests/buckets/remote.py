"""What every store has to do, whichever it is; called by its tests."""

import datetime

import pytest

from sr2_jax import errors
from sr2_jax.buckets import address, fetch, owner
from sr2_jax.buckets import store as store_lib
from tests.buckets import worlds

# Without the library of a store, its tests are skipped.
LIBRARIES = {"s3": ("s3fs", "moto.server"), "gs": ("gcsfs",)}


def need(scheme):
  for library in LIBRARIES[scheme]:
    pytest.importorskip(library)


def connected(server, key="a b/ü=1"):
  return store_lib.connect(address.parse(f"{server.url}/{key}", "x"))


def check_objects(store):
  with pytest.raises(store_lib.MissingError):
    store.get("d/x")
  assert store.keys("") == []
  store.put("d/x", b"abc")
  store.put("d/empty", b"")
  store.put("x", bytes(range(256)))
  assert store.get("d/x")[0] == b"abc"
  assert store.get("d/empty")[0] == b""
  assert store.get("x")[0] == bytes(range(256))
  assert store.keys("d/") == ["d/empty", "d/x"]
  store.put("d/x", b"other")
  assert store.get("d/x")[0] == b"other"
  store.delete("d/x")
  store.delete("d/x")
  assert store.keys("") == ["d/empty", "x"]


def check_ages(store, make_older):
  """Of an object that is made two hours older than it is."""
  with pytest.raises(store_lib.MissingError):
    store.age("x")
  store.put("x", b"1")
  make_older("x", datetime.timedelta(hours=2))
  assert 7190 < store.age("x") < 10_000
  store.put("x", b"1")
  assert store.age("x") < 3600


def check_many_keys(store):
  names = [f"m/{number}" for number in range(7)]
  for name in names:
    store.put(name, b"1")
  assert store.keys("m/") == names


def check_preconditions(store):
  first = store.put_if("o", b"1", version=store_lib.ABSENT)
  with pytest.raises(store_lib.ChangedError):
    store.put_if("o", b"2", version=store_lib.ABSENT)
  second = store.put_if("o", b"2", version=first)
  assert store.get("o") == (b"2", second)
  with pytest.raises(store_lib.ChangedError):
    store.put_if("o", b"3", version=first)
  store.delete("o")
  with pytest.raises(store_lib.ChangedError):
    store.put_if("o", b"3", version=second)
  assert store.keys("o") == []


def check_folders(server):
  above = connected(server, "sweep")
  assert above.folders() == []
  for name in ("one", "two words"):
    connected(server, f"sweep/{name}").put("x", b"1")
  above.put("x", b"1")
  assert set(above.folders()) == {"one", "two words", address.MIRROR}
  assert above.keys("") == ["x"]


def check_no_bucket(server):
  one = address.parse(f"{server.url}-not/a", "x")
  with pytest.raises(store_lib.StoreError) as caught:
    store_lib.connect(one).put_if("o", b"1", version=store_lib.ABSENT)
  assert not caught.value.may_pass
  with pytest.raises(errors.UserError, match="bucket"):
    fetch.patiently(lambda: store_lib.connect(one).keys(""), str(one))


def check_mirror(server, folder, other):
  store = connected(server, "run")
  worlds.write(folder, config="{}", weights__a="abc", empty="", **{"ü ,": "x"})
  with worlds.sending(store, folder) as sender:
    sender.request()
    assert sender.wait(10)
    worlds.write(folder, weights__a="def")
    assert sender.close(10, is_done=True) == []
  assert worlds.fetched(store, other) == worlds.read(folder)
  claimed = owner.Owner(store, "x", "b")
  claimed.claim(before="", tell=print)
  claimed.release()


SILENT = "http://127.0.0.1:9"  # Nobody listens there.
