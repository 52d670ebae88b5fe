"""Small programs that are processes of one run, without JAX.

Each joins the others, runs a body, and leaves with 0. The body has `processes`
and `index`.
"""

import contextlib
import dataclasses
import pathlib
import socket
import subprocess
import sys
import time

from sr2_jax.peers import meeting

ROOT = pathlib.Path(__file__).parents[2]
HOST = socket.gethostname()
TIMEOUT = 60  # seconds; a busy machine takes long
# What B of the project's rules gives those who are left.
PROMPT = 15  # seconds
# The main thread is in C, where it sees no signal of Python's.
IN_C = "import ctypes\nfor _ in range(50): ctypes.CDLL(None).sleep(1)"

_PROGRAM = """
import os, signal, sys, threading, time
from sr2_jax import errors
from sr2_jax.peers import group, meeting
index = {index}
{before}
try:
  group.join(meeting.Place({address!r}, {count}, index, {peer}, {heartbeat}))
except errors.UserError as error:
  sys.exit(error)
processes = group.current()
print("met", flush=True)
{body}
processes.leave(0, together=True)
"""


@dataclasses.dataclass
class Child:
  process: subprocess.Popen

  def wait(self, timeout=TIMEOUT):
    """Exit code, standard error, and seconds since this was called."""
    begin = time.monotonic()
    _, text = self.process.communicate(timeout=timeout)
    return self.process.returncode, text, time.monotonic() - begin

  def has_met(self):
    assert self.process.stdout.readline() == "met\n", self.process.stderr.read()


@contextlib.contextmanager
def started(*bodies, before="", indices=None, count=None, port=None,
            peer_timeout=30, heartbeat_timeout=20):  # fmt: skip
  """A child for each body; they are killed at the end."""
  port = port or meeting.free_port()
  children = []
  for place, body in enumerate(bodies):
    program = _PROGRAM.format(
      index=indices[place] if indices else place,
      count=count[place] if count else len(bodies),
      address=f"127.0.0.1:{port}",
      peer=peer_timeout,
      heartbeat=heartbeat_timeout,
      before=before,
      body=body,
    )
    children.append(
      Child(
        subprocess.Popen(
          (sys.executable, "-c", program),
          cwd=ROOT,
          stdout=subprocess.PIPE,
          stderr=subprocess.PIPE,
          text=True,
        )
      )
    )
  try:
    yield children
  finally:
    for child in children:
      if child.process.poll() is None:
        child.process.kill()
        child.process.wait()
      child.process.stdout.close()
      child.process.stderr.close()


def ended(*bodies, **settings):
  """Exit codes and texts of children that end by themselves."""
  with started(*bodies, **settings) as children:
    results = [child.wait() for child in children]
  return [code for code, *_ in results], [text for _, text, _ in results]
