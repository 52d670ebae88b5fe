"""The two sides of a comparison: worker processes that take turns."""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any, Self

from benchmarks import machine


class SideError(Exception):
  """A worker could not answer a request; the message says why."""


class Side:
  """A worker process, started at the first request and again if it died.

  Args:
    name: a key of `worker.SIDES`.
    seconds: longest time to wait for an answer; the process then ends.
  """

  def __init__(self, name: str, *, seconds: float | None = None) -> None:
    self._name = name
    self._seconds = seconds
    self._process: subprocess.Popen[str] | None = None
    self._log: IO[str] | None = None

  def prepare(self, name: str, kind: str, **case: Any) -> dict[str, Any]:
    """Prepares work under a name, and returns facts about it."""
    return self._ask(do="prepare", name=name, kind=kind, case=case)

  def run(self, name: str, count: int = 1) -> float:
    """Seconds for doing the prepared work `count` times."""
    return self._ask(do="run", name=name, count=count)

  def clear(self) -> None:
    """Frees all prepared work."""
    if self._process is not None and self._process.poll() is None:
      self._ask(do="clear")

  def close(self) -> None:
    """Ends the process."""
    if self._process is not None:
      assert self._process.stdin is not None
      with contextlib.suppress(BrokenPipeError):
        self._process.stdin.close()
      try:
        self._process.wait(timeout=10)
      except subprocess.TimeoutExpired:
        self._process.kill()
        self._process.wait()
      assert self._process.stdout is not None
      self._process.stdout.close()
      self._process = None
    if self._log is not None:
      self._log.close()
      self._log = None

  def _start(self) -> subprocess.Popen[str]:
    if self._name != "ours" and importlib.util.find_spec("torch") is None:
      raise SideError("PyTorch is missing: pip install torch==2.13.0")
    self.close()
    # Output of the process, read if it dies.
    self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
    return subprocess.Popen(
      (sys.executable, "-m", "benchmarks.worker", self._name),
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=self._log,
      text=True,
      cwd=machine.ROOT,
      env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )

  def _ask(self, **request: Any) -> Any:
    if self._process is None or self._process.poll() is not None:
      self._process = self._start()
    process = self._process
    assert process.stdin is not None
    assert process.stdout is not None
    try:
      process.stdin.write(json.dumps(request) + "\n")
      process.stdin.flush()
      with self._limit(process):
        line = process.stdout.readline()
    except BrokenPipeError:
      line = ""
    if not line:
      raise SideError(
        f"the process of {self._name} ended with code {process.wait()}: "
        f"{self._last_line()}"
      )
    answer = json.loads(line)
    if "error" in answer:
      raise SideError(answer["error"])
    return answer["answer"]

  @contextlib.contextmanager
  def _limit(self, process: subprocess.Popen[str]) -> Iterator[None]:
    """Kills the process if the block takes too long."""
    if self._seconds is None:
      yield
      return
    timer = threading.Timer(self._seconds, process.kill)
    timer.start()
    try:
      yield
    finally:
      timer.cancel()

  def _last_line(self) -> str:
    assert self._log is not None
    self._log.seek(0)
    lines = [line for line in self._log.read().splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


class Sides:
  """Both sides, as a context manager that ends their processes."""

  def __init__(self) -> None:
    self.ours = Side("ours")
    self.theirs = Side("theirs")

  def __enter__(self) -> Self:
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
  ) -> None:
    self.ours.close()
    self.theirs.close()

  def clear(self) -> None:
    """Frees all prepared work of both sides."""
    self.ours.clear()
    self.theirs.clear()


def take_turns(
  runners: dict[str, tuple[Side, str]], *, rounds: int, seconds: float
) -> dict[str, list[float]]:
  """Times several pieces of prepared work in alternation.

  Args:
    runners: side and name of each piece of work.
    rounds: number of turns of each.
    seconds: approximate length of a turn; longer work is done once a turn.

  Returns:
    Seconds for doing each piece of work once, one value for each round.
  """
  counts = {}
  for what, (side, name) in runners.items():
    side.run(name, 2)  # Compiles, and fills caches and pools.
    counts[what] = max(1, round(seconds / (side.run(name, 2) / 2)))
  samples: dict[str, list[float]] = {what: [] for what in runners}
  for _ in range(rounds):
    for what, (side, name) in runners.items():
      count = counts[what]
      samples[what].append(side.run(name, count) / count)
  return samples
