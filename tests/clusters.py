"""Real runs on an emulated cluster, with faults: the same bits as without.

  python -m tests.clusters [FAULT ...]

Plays a run for each of these faults, or for all; a minute or two each. `--list`
names them. `in_turn` has all of them in one run, and `test_clusters` plays it.
What test_cluster plays with a program in place of the training is below, too.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from launch import emulation, events, slices
from tests import run_contents

ROOT = pathlib.Path(__file__).parents[1]
TIMEOUT = 600  # seconds; compiling on a busy machine takes long
SLICE = slices.emulated(2, 2)
STAND_IN = str(ROOT / "tests" / "stand_in.py")
TINY = "tests/tiny_sweep.py"
# The command itself, on a cluster of the test. Nobody waits after a crash.
DRIVER = """
import os, sys
from launch import attempts, cluster, emulation, fleet, gang, host, sweep

class Joined:
  def __init__(self, *_, **__):
    self.address = os.environ["CLUSTER"]
  def close(self):
    pass

if os.environ["CLUSTER"]:
  emulation.Cluster = Joined
attempts.Policy.pause = lambda self, tally: 0.0
if os.environ["PROGRAM"]:
  host.COMMAND = (sys.executable, os.environ["PROGRAM"])
{patch}
sys.exit(sweep.main())
"""


class Sweep:
  """A sweep as a process, and the end of it.

  Args:
    cluster: an emulated one; without one the sweep starts its own.
    workdir: of the sweep, on this machine; gets the output as well.
    arguments: more flags of the command.
    program: in the place of `sr2_jax.main`; "" for that.
    patch: lines of Python that change the launcher.
    prefix: words before the command.
    shape: of the slices that it asks for.
    url: of the sweep, if it is in a bucket.
  """

  def __init__(self, cluster, workdir, *arguments, program=STAND_IN, patch="",
               prefix=(), shape="2x2x2", url=""):  # fmt: skip
    workdir.mkdir(exist_ok=True, parents=True)
    self.workdir = workdir
    command = [
      *prefix, sys.executable, "-c", DRIVER.format(patch=patch),
      f"--workdir={url or workdir}", "--engine=ray",
      f"--address=emulate:{shape}", *arguments,
    ]  # fmt: skip
    if not any(word.startswith("--sweep") for word in arguments):
      command.append(f"--sweep={TINY}")
    environment = {
      **os.environ, "PROGRAM": program,
      "CLUSTER": cluster.address if cluster else "",
    }  # fmt: skip
    self._out = workdir.parent / f"{workdir.name}.out"
    with self._out.open("ab") as out:
      self.process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=out, stderr=out
      )

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.process.kill()
    self.process.wait()

  @property
  def output(self):
    return self._out.read_text()

  def code(self):
    """The exit code, once there is one."""
    try:
      return self.process.wait(TIMEOUT)
    except subprocess.TimeoutExpired as error:
      raise AssertionError(self.text()) from error

  def finish(self, code=0):
    assert self.code() == code, self.text()
    assert "Traceback" not in self.output, self.text()

  def until(self, condition, what="that"):
    until(condition, what, self.text)

  def text(self):
    """All that was said."""
    logs = sorted(self.workdir.glob("*.log"))
    return "\n".join(
      f"{path.name}:\n{path.read_text(errors='replace')}"
      for path in (self._out, *logs)
    )

  def events(self, event, run="first"):
    return [
      found
      for found in events.read(self.workdir)
      if found["event"] == event and found["run"] == run
    ]

  def ends(self, run="first"):
    return [event["end"] for event in self.events("ended", run)]

  def places(self, run="first"):
    return [event["place"] for event in self.events("started", run)]

  def pids(self, run="first"):
    """Of the two processes of a run, by their numbers, once both are there.

    The sweep has written down where they are, too, which is a moment later.
    """
    found = {}

    def are_there():
      found.clear()
      found.update(processes(self.workdir / run))  # Looked at once: it changes.
      is_noted = len(self.events("started", run)) > len(self.ends(run))
      return is_noted and found.keys() == {0, 1}

    self.until(are_there, "the start")
    return [found[0], found[1]]


def until(condition, what, text=str):
  """Waits for a condition, and returns it; fails with what `text` gives."""
  deadline = time.monotonic() + TIMEOUT
  while not (found := condition()):
    assert time.monotonic() < deadline, f"{what} does not come\n{text()}"
    time.sleep(0.02)
  return found


def commands(folder):
  """The words of each living process that is given a run folder, by its id."""
  found = {}
  for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    with contextlib.suppress(OSError):
      words = path.read_bytes().decode(errors="replace").split("\0")
      if f"--workdir={folder}" in words and is_alive(path.parent.name):
        found[int(path.parent.name)] = words
  return found


def processes(folder):
  """Those that work in a run folder: ids by number of the process."""
  return {
    int(word.partition("=")[2]): pid
    for pid, words in commands(folder).items()
    for word in words
    if word.startswith("--process_id=")
  }


def num_rows(folder):
  """Lines of a run's metrics so far."""
  path = folder / "metrics.jsonl"
  return path.read_bytes().count(b"\n") if path.exists() else 0


def is_alive(pid):
  try:
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
  except OSError:
    return False
  return stat.rpartition(")")[2].split()[0] != "Z"


def parent(pid):
  stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
  return int(stat.rpartition(")")[2].split()[1])


@contextlib.contextmanager
def emulated(num_slices, *, slice_=SLICE, cache=None):
  """A cluster of slices, of two hosts of two chips, and the end of it."""
  before = dict(os.environ)
  if cache is not None:
    os.environ["SR2_JAX_CACHE_DIR"] = str(cache)
    # Most of the time would go into compiling; LLVM would optimize for nothing.
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
  started = emulation.Cluster(slice_, num_slices)
  try:
    yield started
  finally:
    started.close()
    os.environ.clear()
    os.environ.update(before)


def drain(cluster, node, seconds):
  """Ray's word that a host goes away."""
  subprocess.run(
    [str(pathlib.Path(sys.executable).with_name("ray")), "drain-node",
     "--address", cluster.address, "--node-id", node.node_id,
     "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "test",
     "--deadline-remaining-seconds", str(seconds)],
    check=True, capture_output=True,
  )  # fmt: skip


def lose(cluster, place, *, host=1):
  """SIGKILL to the raylet of a host, and what it had started."""
  node = cluster.nodes[place].pop(host)
  cluster.cluster.remove_node(node, allow_graceful=False)


def lose_all(cluster):
  """SIGKILL to the head and to every raylet."""
  for node in [cluster.cluster.head_node, *cluster.cluster.worker_nodes]:
    node.kill_all_processes(check_alive=False, allow_graceful=False)


# Faults, in the middle of a run's steps. Each is given the story, and returns
# how the attempt ends; None where it is not counted, or nobody is left to write
# that down.


def port(story):
  """That a run is given is taken before it gets there: see THIEF."""
  story.sweep.until(lambda: story.sweep.ends() == ["in use"], "a try")


def rank_0(story):
  os.kill(story.sweep.pids()[0], signal.SIGKILL)
  return "crashed"


def rank_1(story):
  os.kill(story.sweep.pids()[1], signal.SIGKILL)
  return "crashed"


def actor(story):
  os.kill(parent(story.sweep.pids()[1]), signal.SIGKILL)
  return "preempted"


def drained(story):
  # Ray's command takes seconds, in which the run would end.
  running = story.sweep.pids()
  for pid in running:
    os.kill(pid, signal.SIGSTOP)
  drain(story.cluster, story.cluster.nodes[story.place][1], 60)
  for pid in running:
    os.kill(pid, signal.SIGCONT)
  story.lost.add(story.place)
  return "preempted"


def raylet(story):
  story.lost.add(story.place)
  lose(story.cluster, story.place)
  return "preempted"


def driver(story):
  story.sweep.process.kill()
  story.sweep.process.wait()
  return None


def head(story):
  lose_all(story.cluster)
  story.sweep.finish(1)
  assert "the head of the cluster is gone" in story.sweep.output
  assert "first  stopped" in story.sweep.output
  return None


FAULTS = {
  fault.__name__: fault
  for fault in (port, rank_0, rank_1, actor, drained, raylet, driver, head)
}
# Takes the port of a run's first start. Ray sends the class to the hosts, as it
# does with what a program itself defines.
THIEF = """
import pathlib, socket

class Host(gang.Host):
  def free_address(self):
    address = super().free_address()
    path = pathlib.Path({path!r})
    if not path.exists():
      path.touch()
      port = int(address.rpartition(":")[2])
      self.thief = socket.create_server(("", port))
    return address

gang.Host = Host
"""


class Story:
  """A run that trains, which faults meet one after another.

  Args:
    folder: of the story.
    cache: of compiled programs.
  """

  def __init__(self, folder, cache):
    self.workdir, self._cache = folder / "runs", cache
    self._thief = THIEF.format(path=str(folder / "port was taken"))
    self._rows = 0
    self.sweep = self.cluster = None
    self.lost = set()

  def play(self, names):
    """What was different: nothing, or an AssertionError."""
    num_slices = 1 + sum(name in ("drained", "raylet") for name in names)
    with contextlib.ExitStack() as stack:
      self.cluster = stack.enter_context(
        emulated(num_slices, cache=self._cache)
      )
      without = self.workdir.with_name("without")
      with self._sweep(without) as sweep:
        sweep.finish()
      patch = self._thief if "port" in names else ""
      self.sweep = stack.enter_context(self._sweep(self.workdir, patch))
      expected = []
      for name in names:
        if self.sweep is None:
          self.sweep = stack.enter_context(self._sweep(self.workdir))
        running = self._running() if name != "port" else []
        expected += filter(None, [FAULTS[name](self)])
        self.sweep.until(lambda r=running: not any(map(is_alive, r)), "the end")
        # Its steps went on until the fault: only more rows are of a new start.
        self._rows = num_rows(self.workdir / "first")
        if name in ("driver", "head"):
          self.sweep = None
        if name == "head":
          self.lost.clear()
          self.cluster = stack.enter_context(emulated(1, cache=self._cache))
      if self.sweep is None:
        self.sweep = stack.enter_context(self._sweep(self.workdir))
      self.sweep.finish()
      # A port may be in use that nobody took on purpose.
      ends = [end for end in self.sweep.ends() if end != "in use"]
      assert ends == [*expected, "finished"]
      assert self.place not in self.lost
      assert run_contents.contents(
        self.workdir / "first"
      ) == run_contents.contents(without / "first")

  @property
  def place(self):
    return self.sweep.places()[-1]

  def _sweep(self, workdir, patch=""):
    return Sweep(
      self.cluster, workdir, f"--sweep={TINY}:long", "--retries=5",
      program="", patch=patch,
    )  # fmt: skip

  def _running(self):
    """Its processes, once it has done again what was lost, and three steps."""
    folder = self.workdir / "first"
    self.sweep.until(lambda: num_rows(folder) >= self._rows + 3, "a step")
    assert self.place not in self.lost
    return self.sweep.pids()


def play(names, folder, cache):
  """A run with these faults in turn.

  Raises:
    AssertionError: with the logs, if it fails.
  """
  folder.mkdir(parents=True, exist_ok=True)
  Story(folder, cache).play(names)


def main(names):
  if names == ["--list"]:
    print(*FAULTS, "in_turn", sep="\n")
    return 0
  failed = 0
  with tempfile.TemporaryDirectory() as place:
    place = pathlib.Path(place)
    cache = os.environ.get("SR2_JAX_CACHE_DIR", place / "cache")
    for name in names or FAULTS:
      faults = list(FAULTS) if name == "in_turn" else [name]
      begin = time.monotonic()
      try:
        play(faults, place / name, cache)
        print("ok  ", name, f"{time.monotonic() - begin:.0f} s", flush=True)
      except AssertionError as error:
        failed += 1
        print("FAIL", name, error, flush=True)
      shutil.rmtree(place / name)
  return 1 if failed else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
