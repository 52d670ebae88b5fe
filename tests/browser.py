"""A page in headless Chromium, without a network, driven over a pipe.

The browser's own protocol needs no more than the standard library: JSON
messages over two pipes, each ended by a zero byte.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

PATH = next(
  filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))),
  None,
)
FLAGS = (
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
  "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE = 120  # seconds; a loaded machine takes long


class Page:
  """A tab of the browser.

  Attributes:
    requests: addresses that were asked for.
    errors: exceptions that nothing has caught, and errors on the console.
  """

  def __init__(self, reading, writing):
    self._reading, self._writing = reading, writing
    self._buffer, self._count, self._session = b"", 0, None
    self.requests, self.errors = [], []
    [target] = [
      x for x in self("Target.getTargets")["targetInfos"] if x["type"] == "page"
    ]
    self._session = self(
      "Target.attachToTarget", targetId=target["targetId"], flatten=True
    )["sessionId"]
    for domain in ("Page", "Runtime", "Network"):
      self(f"{domain}.enable")
    self("Network.emulateNetworkConditions", offline=True, latency=0,
         downloadThroughput=0, uploadThroughput=0)  # fmt: skip

  def __call__(self, method, **parameters):
    """The result of a command of the protocol."""
    self._count += 1
    message = {"id": self._count, "method": method, "params": parameters}
    if self._session:
      message["sessionId"] = self._session
    self._writing.write(json.dumps(message).encode() + b"\0")
    self._writing.flush()
    while True:
      found = self._next()
      if found.get("id") == self._count:
        assert "error" not in found, found["error"]
        return found["result"]

  def _next(self):
    """The next message; keeps what events tell."""
    end = time.monotonic() + PATIENCE
    while b"\0" not in self._buffer:
      ready, _, _ = select.select([self._reading], [], [], 1)
      assert time.monotonic() < end, "the browser does not answer"
      if ready:
        part = os.read(self._reading, 2**20)
        assert part, "the browser is gone"
        self._buffer += part
    line, _, self._buffer = self._buffer.partition(b"\0")
    message = json.loads(line)
    match message.get("method"):
      case "Network.requestWillBeSent":
        self.requests.append(message["params"]["request"]["url"])
      case "Runtime.exceptionThrown":
        self.errors.append(message["params"]["exceptionDetails"])
      case "Runtime.consoleAPICalled" if message["params"]["type"] == "error":
        self.errors.append(message["params"]["args"])
    return message

  def open(self, path):
    """Goes to a file; returns when it is loaded."""
    self.requests.clear()
    self.errors.clear()
    self("Page.navigate", url=path.as_uri())
    self.wait(
      f"document.URL === {json.dumps(path.as_uri())} && "
      "document.readyState === 'complete'"
    )

  def run(self, script):
    """The value of a JavaScript expression, awaited if it is a promise."""
    found = self(
      "Runtime.evaluate",
      expression=script,
      awaitPromise=True,
      returnByValue=True,
    )
    assert "exceptionDetails" not in found, found["exceptionDetails"]
    return found["result"].get("value")

  def wait(self, condition):
    """Waits until an expression is true; returns its value."""
    end = time.monotonic() + PATIENCE
    while not (value := self.run(condition)):
      assert time.monotonic() < end, f"never: {condition}"
      time.sleep(0.05)
    return value

  def resize(self, width, height=900, *, dark=False):
    """Makes the window as large as a screen, light or dark."""
    self("Emulation.setDeviceMetricsOverride", width=width, height=height,
         deviceScaleFactor=1, mobile=width < 500)  # fmt: skip
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else ""}
    self("Emulation.setEmulatedMedia", features=[scheme])


@contextlib.contextmanager
def opened(folder):
  """A page of a browser whose profile is in a new folder."""
  assert PATH is not None
  # Above what the browser uses itself; the shell makes them 3 and 4.
  to_browser, from_browser = os.pipe(), os.pipe()
  read, write = (
    fcntl.fcntl(x, fcntl.F_DUPFD, 100) for x in (to_browser[0], from_browser[1])
  )
  os.close(to_browser[0])
  os.close(from_browser[1])
  process = subprocess.Popen(
    [
      "bash", "-c", f'exec "$0" "$@" 3<&{read} 4>&{write}', PATH, *FLAGS,
      f"--user-data-dir={folder}", "about:blank",
    ],
    pass_fds=(read, write),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )  # fmt: skip
  os.close(read)
  os.close(write)
  try:
    with os.fdopen(to_browser[1], "wb") as writing:
      page = Page(from_browser[0], writing)
      yield page
      with contextlib.suppress(AssertionError):
        page._session = None
        page("Browser.close")
  finally:
    os.close(from_browser[0])
    with contextlib.suppress(subprocess.TimeoutExpired):
      process.wait(10)
    process.kill()
    process.wait()
