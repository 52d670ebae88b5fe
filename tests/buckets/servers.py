"""Object stores on loopback: moto's S3, and as much of GCS as is asked of it.

The second one heeds ifGenerationMatch, and fails as it is told to.
"""

import contextlib
import dataclasses
import datetime
import http.server
import json
import os
import re
import threading
import urllib.parse

BUCKET = "runs-of-tests"


@dataclasses.dataclass
class Server:
  """A store that runs.

  Attributes:
    url: of the bucket.
    environment: variables by which its library finds it.
    faults: called with method and key of a request; returns a status to answer
      instead, "cut" to close the connection halfway, or None.
    objects: {key: (data, generation)}, of GCS only.
    written: {key: when that was, as GCS says it}.
  """

  url: str
  environment: dict
  faults: list = dataclasses.field(default_factory=list)
  objects: dict = dataclasses.field(default_factory=dict)
  written: dict = dataclasses.field(default_factory=dict)


@contextlib.contextmanager
def s3():
  """moto, in this process."""
  from moto.server import ThreadedMotoServer

  server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
  server.start()
  host, port = server.get_host_and_port()
  environment = {
    "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
  }
  import botocore.session

  client = botocore.session.Session().create_client(
    "s3",
    endpoint_url=environment["AWS_ENDPOINT_URL"],
    region_name="us-east-1",
    aws_access_key_id="testing",
    aws_secret_access_key="testing",
  )
  client.create_bucket(Bucket=BUCKET)
  try:
    yield Server(f"s3://{BUCKET}", environment)
  finally:
    client.close()
    server.stop()


@contextlib.contextmanager
def gcs():
  """The part of Google's JSON interface that `sr2_jax.buckets.gcs` uses."""
  found = Server(f"gs://{BUCKET}", {})
  found.faults = []

  class Handler(_Handler):
    state = found

  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
  server.daemon_threads = True
  host = f"http://127.0.0.1:{server.server_address[1]}"
  found.environment = {
    "STORAGE_EMULATOR_HOST": host,
    "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
  }
  thread = threading.Thread(target=server.serve_forever, daemon=True)
  thread.start()
  try:
    yield found
  finally:
    server.shutdown()
    server.server_close()


SERVERS = {"s3": s3, "gs": gcs}


@contextlib.contextmanager
def running(scheme):
  """A store of a scheme, whose variables are set."""
  with SERVERS[scheme]() as server:
    before = {name: os.environ.get(name) for name in server.environment}
    os.environ.update(server.environment)
    try:
      yield server
    finally:
      for name, value in before.items():
        os.environ.pop(name)
        if value is not None:
          os.environ[name] = value


_lock = threading.Lock()


class _Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = "HTTP/1.1"
  state: Server

  def log_message(self, *_):
    pass

  def do_GET(self):
    key, query = self._asked()
    if self._is_faulty("GET", key):
      return
    objects = self.state.objects
    if key is None:
      self._answer(json.dumps(_listed(objects, query)).encode())
      return
    with _lock:
      data, generation = objects.get(key, (None, 0))
    if data is None:
      self._fail(404)
    elif query.get("alt") == "media":
      self._answer(data, {"x-goog-generation": str(generation)})
    else:
      written = self.state.written[key]
      self._answer(json.dumps({"name": key, "updated": written}).encode())

  def do_POST(self):
    _, query = self._asked()
    key = query["name"]
    length = int(self.headers["Content-Length"])
    data = self.rfile.read(length)
    if self._is_faulty("POST", key):
      return
    wanted = query.get("ifGenerationMatch")
    with _lock:
      _, generation = self.state.objects.get(key, (None, 0))
      if wanted is not None and int(wanted) != generation:
        self._fail(412)
        return
      self.state.objects[key] = data, generation + 1
      self.state.written[key] = datetime.datetime.now(datetime.UTC).isoformat()
    fields = {"name": key, "generation": str(generation + 1)}
    if not self._is_faulty("answer", key):
      self._answer(json.dumps(fields).encode())

  def do_DELETE(self):
    key, _ = self._asked()
    if self._is_faulty("DELETE", key):
      return
    with _lock:
      found = self.state.objects.pop(key, None)
    if found is None:
      self._fail(404)
    else:
      self._answer(b"")

  def _asked(self):
    """The key, of an object, and the query."""
    parts = urllib.parse.urlsplit(self.path)
    found = re.fullmatch(
      r"(?:/upload)?/storage/v1/b/([^/]+)/o(?:/([^/]+))?", parts.path
    )
    assert found, self.path
    self._bucket = found[1]
    key = found[2] and urllib.parse.unquote(found[2])
    return key, dict(urllib.parse.parse_qsl(parts.query))

  def _is_faulty(self, method, key):
    if self._bucket != BUCKET:
      self._fail(404)
      return True
    for fault in self.state.faults:
      status = fault(method, key)
      if status == "cut":
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1")
        return True
      if status:
        self._fail(status)
        return True
    return False

  def _fail(self, status):
    body = json.dumps({"error": {"code": status, "message": "as told"}})
    self._answer(body.encode(), status=status)

  def _answer(self, data, headers=None, status=200):
    self.send_response(status)
    for name, value in (headers or {}).items():
      self.send_header(name, value)
    self.send_header("Content-Length", str(len(data)))
    self.end_headers()
    self.wfile.write(data)


def _listed(objects, query, page_size=3):
  """A page of a list: small, so that there are several."""
  prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
  with _lock:
    keys = sorted(key for key in objects if key.startswith(prefix))
  if delimiter:
    rest = {key[len(prefix) :].partition(delimiter) for key in keys}
    return {"prefixes": sorted({f"{prefix}{a}/" for a, b, _ in rest if b})}
  start = int(query.get("pageToken", 0))
  page = {"items": [{"name": x} for x in keys[start : start + page_size]]}
  if start + page_size < len(keys):
    page["nextPageToken"] = str(start + page_size)
  return page
