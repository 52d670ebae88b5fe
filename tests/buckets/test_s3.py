import pytest

from sr2_jax.buckets import store as store_lib
from tests.buckets import remote, servers

pytestmark = pytest.mark.buckets
remote.need("s3")


@pytest.fixture(scope="module")
def server():
  with servers.running("s3") as found:
    yield found


def test_objects(server):
  remote.check_objects(remote.connected(server))


def test_ages(server):
  from moto.s3.models import s3_backends

  def make_older(key, by):
    [account] = s3_backends.values()
    bucket = account["aws"].buckets[servers.BUCKET]
    bucket.keys[f"ages/.mirror/{key}"].last_modified -= by

  remote.check_ages(remote.connected(server, "ages"), make_older)


def test_preconditions(server):
  remote.check_preconditions(remote.connected(server, "p"))


def test_keys_of_several_pages(server):
  store = remote.connected(server, "pages")
  call = store._system._call_s3

  async def small(method, **asked):
    more = {"MaxKeys": 3} if method == "list_objects_v2" else {}
    return await call(method, **asked, **more)

  store._system._call_s3 = small
  remote.check_many_keys(store)


def test_folders(server):
  remote.check_folders(server)


def test_there_is_no_such_bucket(server):
  remote.check_no_bucket(server)


def test_a_folder_arrives(server, tmp_path):
  remote.check_mirror(server, tmp_path / "run", tmp_path / "other")


def test_nobody_answers(server, monkeypatch):
  monkeypatch.setenv("AWS_ENDPOINT_URL", remote.SILENT)
  with pytest.raises(store_lib.StoreError) as caught:
    remote.connected(server).get("x")
  assert caught.value.may_pass


def test_no_credentials(server, monkeypatch, tmp_path):
  for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
    monkeypatch.delenv(name)
  monkeypatch.setenv("HOME", str(tmp_path))
  with pytest.raises(store_lib.StoreError, match="credentials") as caught:
    remote.connected(server).put("x", b"1")
  assert not caught.value.may_pass


def test_the_password_of_a_proxy_is_not_said(server, monkeypatch):
  monkeypatch.setenv("HTTP_PROXY", "http://me:hidden@127.0.0.1:9")
  monkeypatch.setenv("NO_PROXY", "")
  with pytest.raises(store_lib.StoreError, match="proxy") as caught:
    remote.connected(server).get("x")
  assert "hidden" not in str(caught.value)


def test_a_signed_url_is_not_said(server):
  store = remote.connected(server)

  async def fail(*_, **__):
    raise OSError("no answer from http://a/b?X-Amz-Signature=hidden")

  store._system._call_s3 = fail
  with pytest.raises(store_lib.StoreError, match=r"http://a/b$"):
    store.get("x")
