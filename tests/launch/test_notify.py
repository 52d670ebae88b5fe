"""Messages to a real server on this machine, and to files."""

import contextlib
import http.server
import json
import threading

import pytest

from launch import notify


@contextlib.contextmanager
def listening(handle):
  """A server; yields its URL and what was posted."""
  posted = []

  class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
      length = int(self.headers["Content-Length"])
      posted.append((self.headers["Content-Type"], self.rfile.read(length)))
      handle(self)

    def log_message(self, *arguments):
      pass

  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
  thread = threading.Thread(target=server.serve_forever)
  thread.start()
  try:
    yield f"http://127.0.0.1:{server.server_port}/hook", posted
  finally:
    server.shutdown()
    thread.join()
    server.server_close()


def accept(handler):
  handler.send_response(200)
  handler.end_headers()


def test_a_url_gets_each_message_as_json():
  with listening(accept) as (url, posted):
    notifier = notify.Notifier(url, title="paper")
    notifier("a is finished")
    notifier('b "failed"')
    notifier.close()
  assert [kind for kind, _ in posted] == ["application/json"] * 2
  assert [json.loads(body) for _, body in posted] == [
    {"text": "paper: a is finished"},
    {"text": 'paper: b "failed"'},
  ]


def test_a_file_gets_a_line_for_each_message(tmp_path):
  path = tmp_path / "told"
  path.write_text("before\n")
  notifier = notify.Notifier(str(path), title="paper")
  notifier("a")
  notifier("b")
  notifier.close()
  lines = path.read_text().splitlines()
  assert lines[0] == "before"
  assert [line.partition(" ")[2] for line in lines[1:]] == [
    "paper: a",
    "paper: b",
  ]


def test_who_refuses_costs_a_note(capsys):
  with listening(lambda handler: handler.send_error(500)) as (url, posted):
    notifier = notify.Notifier(url, title="paper")
    notifier("a")
    notifier("b")
    notifier.close()
  assert len(posted) == 2
  assert capsys.readouterr().err.count(f"--notify={url}: ") == 1


def test_nobody_listens(tmp_path, capsys):
  notifier = notify.Notifier(str(tmp_path), title="paper")  # a folder
  notifier("a")
  notifier.close()
  assert "going on" in capsys.readouterr().err


def test_who_is_slow_delays_nothing(monkeypatch):
  monkeypatch.setattr(notify, "_SECONDS_AT_THE_END", 0.2)
  answer = threading.Event()

  def wait(handler):
    answer.wait()
    accept(handler)

  with listening(wait) as (url, posted):
    notifier = notify.Notifier(url, title="paper")
    for number in range(notify._MOST_WAITING + 10):
      notifier(f"{number}")
    notifier.close()
    # The server has not answered the first.
    assert len(posted) <= 1
    answer.set()


@pytest.mark.parametrize(
  ("target", "expected"),
  [("https://chat/hook", True), ("http://x", True), ("told.txt", False)],
)
def test_is_url(target, expected):
  assert notify.is_url(target) == expected
