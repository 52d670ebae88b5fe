import datetime

import pytest

from sr2_jax.buckets import store as store_lib
from tests.buckets import remote, servers

pytestmark = pytest.mark.buckets
remote.need("gs")


@pytest.fixture
def server():
  with servers.running("gs") as found:
    yield found


def once(status, *methods):
  """A fault of the server: it answers so, one time."""
  left = [1]

  def fault(method, key):
    if method in methods and left[0]:
      left[0] = 0
      return status
    return None

  return fault


def test_objects(server):
  remote.check_objects(remote.connected(server))


def test_ages(server):
  def make_older(key, by):
    place = f"ages/.mirror/{key}"
    written = datetime.datetime.fromisoformat(server.written[place])
    server.written[place] = (written - by).isoformat()

  remote.check_ages(remote.connected(server, "ages"), make_older)


def test_preconditions(server):
  remote.check_preconditions(remote.connected(server))


def test_keys_of_several_pages(server):
  remote.check_many_keys(remote.connected(server))


def test_folders(server):
  remote.check_folders(server)


def test_there_is_no_such_bucket(server):
  remote.check_no_bucket(server)


def test_a_folder_arrives(server, tmp_path):
  remote.check_mirror(server, tmp_path / "run", tmp_path / "other")


@pytest.mark.parametrize("status", [503, 429, "cut"])
def test_a_failure_that_passes(server, status):
  store = remote.connected(server)
  server.faults.append(once(status, "GET", "POST"))
  store.put("x", b"abc")
  server.faults.append(once(status, "GET"))
  assert store.get("x")[0] == b"abc"


def test_an_answer_that_is_lost(server):
  """gcsfs asks again, and finds that its own object is there already."""
  store = remote.connected(server)
  server.faults.append(once(503, "answer"))
  with pytest.raises(store_lib.ChangedError):
    store.put_if("x", b"abc", version=store_lib.ABSENT)
  assert store.get("x")[0] == b"abc"


@pytest.mark.parametrize("status", [401, 403])
def test_no_right(server, status):
  server.faults.append(lambda method, key: status)
  with pytest.raises(store_lib.StoreError) as caught:
    remote.connected(server).put("x", b"1")
  assert not caught.value.may_pass


def test_a_token_is_not_said(server):
  store = remote.connected(server)

  async def fail(*_, **__):
    raise OSError("refused: {'Authorization': 'Bearer hidden-for-good'}")

  store._system._call = fail
  with pytest.raises(store_lib.StoreError, match="refused") as caught:
    store.get("x")
  assert "hidden" not in str(caught.value)
