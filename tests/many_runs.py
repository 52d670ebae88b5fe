"""What a sweep of many runs costs the machine that drives it.

  python -m tests.many_runs [--runs=256] [--slices=8] [--seconds=10]

Plays that many runs on so many emulated slices, each a raylet, with a program
in the place of the training. Halfway the sweep is killed and started again.
Prints the figures of docs/clusters.md. Half an hour on two cores, most of which
Ray needs to start processes.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from launch import events, slices
from tests import clusters

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
  """Of a process and of those that it has forked itself."""
  total = 0.0
  for one in (pid, *_children(pid)):
    with contextlib.suppress(OSError):
      stat = pathlib.Path(f"/proc/{one}/stat").read_text()
      total += sum(map(int, stat.rpartition(")")[2].split()[11:13])) / _TICKS
  return total


def _children(pid):
  path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
  try:
    return [int(child) for child in path.read_text().split()]
  except OSError:
    return []


class Measured:
  """A sweep, and the CPU time of its driver from the first start on."""

  def __init__(self, sweep, count):
    self.sweep, self._before = sweep, count
    begin = time.monotonic()
    sweep.until(lambda: self.count("started") > count, "the first start")
    self.seconds_to_start = time.monotonic() - begin
    self.cpu_seconds_to_start = cpu_seconds(sweep.process.pid)
    self._begin = time.monotonic(), self.cpu_seconds_to_start
    self.percent = 0.0

  def count(self, event):
    return sum(
      e["event"] == event for e in events.read(self.sweep.workdir)
    )  # fmt: skip

  def watch(self, until):
    """Looks on; the percentage is of one core."""
    while not until() and self.sweep.process.poll() is None:
      began, before = self._begin
      used = cpu_seconds(self.sweep.process.pid) - before
      if used > 0:  # The engine, which is a child, ends a little earlier.
        self.percent = 100 * used / max(time.monotonic() - began, 1.0)
      time.sleep(0.5)


def status(workdir, budget):
  """Seconds that --status takes, of a clock and of a core; and its line."""
  begin, before = time.monotonic(), os.times()
  text = subprocess.run(
    [sys.executable, "-m", "launch.sweep", f"--sweep={clusters.TINY}:{budget}",
     f"--workdir={workdir}", "--status"],
    cwd=clusters.ROOT, check=True, capture_output=True, text=True,
  ).stdout  # fmt: skip
  after = os.times()
  used = after.children_user + after.children_system
  used -= before.children_user + before.children_system
  return time.monotonic() - begin, used, text.splitlines()[0]


def most_at_once(lines):
  """Runs that were started and had not ended, at any time of a sweep."""
  running, most = set(), 0
  for event in lines:
    if event["event"] == "started":
      running.add(event["run"])
    elif event["event"] == "ended":
      running.discard(event["run"])
    most = max(most, len(running))
  return most


def play(folder, *, runs, num_slices, seconds):
  """Prints the figures.

  Raises:
    AssertionError: if runs are started that should not be, or do not finish.
  """
  workdir = folder / "runs"
  workdir.mkdir()
  for i in range(runs):
    (workdir / f"r{i}").mkdir()
    orders = json.dumps({"takes": seconds})
    (workdir / f"r{i}" / "orders.json").write_text(orders)
  budget = f"--sweep={clusters.TINY}:{runs}"
  with clusters.emulated(num_slices, slice_=slices.emulated(1, 1)) as cluster:
    begin = time.monotonic()
    with clusters.Sweep(cluster, workdir, budget, shape="1x1x1") as sweep:
      first = Measured(sweep, 0)
      first.watch(lambda: first.count("finished") >= runs // 2)
      took, used, line = status(workdir, runs)
      print(f"--status: {took:.1f} s, {used:.1f} s of a core: {line}")
      sweep.process.kill()
      sweep.process.wait()
    count, num_lines = first.count("started"), len(events.read(workdir))
    with clusters.Sweep(cluster, workdir, budget, shape="1x1x1") as sweep:
      second = Measured(sweep, count)
      second.watch(lambda: False)
      sweep.finish()
  print(
    f"killed and started again: {second.seconds_to_start:.1f} s, "
    f"{second.cpu_seconds_to_start:.1f} s of a core"
  )
  print(f"driver: {first.percent:.1f} % and {second.percent:.1f} % of a core")
  print(f"{runs} runs on {num_slices} slices: {time.monotonic() - begin:.0f} s")
  lines = events.read(workdir)
  most = max(map(most_at_once, (lines[:num_lines], lines[num_lines:])))
  print(f"at once: {most} runs at most")
  starts = collections.Counter(
    line["run"] for line in lines if line["event"] == "started"
  )
  # Only those that the kill has met were started twice.
  assert len(starts) == runs
  assert sum(starts.values()) <= runs + num_slices
  assert most <= num_slices


def main(arguments):
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--runs", type=int, default=256)
  parser.add_argument("--slices", type=int, default=8)
  parser.add_argument("--seconds", type=float, default=10.0)
  typed = parser.parse_args(arguments)
  clusters.TIMEOUT = 3600
  print(f"load before: {os.getloadavg()[0]:.1f}")
  with tempfile.TemporaryDirectory() as place:
    play(
      pathlib.Path(place), runs=typed.runs, num_slices=typed.slices,
      seconds=typed.seconds,
    )  # fmt: skip
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
