"""Faults on an emulated cluster: real raylets, actors and processes.

What runs there is a program that trains nothing, but ends as a run does.
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from launch import emulation, events, slices
from sr2_jax import errors
from sr2_jax.records import folder as folder_lib

pytest.importorskip("ray")
pytestmark = [
  pytest.mark.clusters,
  # Ray's own.
  pytest.mark.filterwarnings("ignore"),
]

ROOT = pathlib.Path(__file__).parents[2]
TIMEOUT = 120  # seconds
SLICE = slices.emulated(2, 2)

# Saves a step now and then, until it has taken ten; heeds SIGTERM. Where the
# first process ends, the others leave with 5.
PROGRAM = """
import json, os, pathlib, signal, sys, time

flags = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
folder = pathlib.Path(flags["--workdir"])
folder.mkdir(exist_ok=True)
rank = int(flags.get("--process_id", 0))
(folder / f"pid.{rank}").write_text(str(os.getpid()))
got = []
signal.signal(signal.SIGTERM, lambda number, _: got.append(number))
saved = folder / "metrics.jsonl"
begin = time.monotonic()
while not (folder / "DONE").exists():
  time.sleep(0.1)
  if got:
    sys.exit(143)
  if rank == 0 and not (folder / "hold").exists():
    text = saved.read_text() if saved.exists() else ""
    row = {"phase": "pretrain", "step": text.count("\\n") + 1}
    saved.write_text(text + json.dumps(row) + "\\n")
    if text.count("\\n") >= 9:
      (folder / "DONE").touch()
  assert time.monotonic() - begin < 100
"""
# As launch.sweep does it, with that program and a cluster of the test.
DRIVER = """
import pathlib, sys
from launch import attempts, cluster, driver, engine, host, jobs, slices, tables

address, workdir, program = sys.argv[1:]
host.COMMAND = (sys.executable, program)
found = jobs.load("tests/tiny_sweep.py", workdir)
signals = engine.Signals()
policy = attempts.Policy(pauses=(0.0,))

def work():
  return cluster.run(
    found, pathlib.Path(workdir), signals=signals, policy=policy,
    address=address, slice_=slices.emulated(2, 2),
  )

with signals.listening():
  outcomes = driver.run(work, signals)
if outcomes is None:
  print("ended without a word")
print(tables.summary(outcomes or driver.outcomes_without_it(found)))
"""


@pytest.fixture(scope="module")
def cluster():
  """Two slices of two hosts of two chips."""
  before = dict(os.environ)
  started = emulation.Cluster(SLICE, 2)
  yield started
  started.close()
  os.environ.clear()
  os.environ.update(before)


@contextlib.contextmanager
def sweep(cluster, workdir):
  (workdir / "program.py").write_text(PROGRAM)
  with (workdir / "out").open("ab") as out:
    process = subprocess.Popen(
      (sys.executable, "-c", DRIVER, cluster.address, str(workdir),
       str(workdir / "program.py")),
      cwd=ROOT, stdout=out, stderr=out,
    )  # fmt: skip
    try:
      yield process
    finally:
      process.kill()
      process.wait()


def output(workdir):
  return (workdir / "out").read_text()


def wait_for(condition, workdir):
  deadline = time.monotonic() + TIMEOUT
  while not condition():
    assert time.monotonic() < deadline, output(workdir)
    time.sleep(0.05)


def finish(process, workdir):
  process.wait(TIMEOUT)
  assert "2/2 runs finished" in output(workdir), output(workdir)


def ends(workdir, name="first"):
  return [
    event["end"]
    for event in events.read(workdir)
    if event["event"] == "ended" and event["run"] == name
  ]


def places(workdir, name="first"):
  return [
    event["place"]
    for event in events.read(workdir)
    if event["event"] == "started" and event["run"] == name
  ]


def held(workdir):
  """The run of `first` does not get on until the test says so."""
  hold = workdir / "first" / "hold"
  hold.parent.mkdir()
  hold.touch()
  return hold


def pids(workdir):
  """Of the two processes of `first`, once both have started."""
  paths = [workdir / "first" / f"pid.{rank}" for rank in (0, 1)]
  wait_for(lambda: all(p.exists() and p.read_text() for p in paths), workdir)
  return [int(path.read_text()) for path in paths]


def is_alive(pid):
  try:
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
  except OSError:
    return False
  return stat.rpartition(")")[2].split()[0] != "Z"


def parent(pid):
  stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
  return int(stat.rpartition(")")[2].split()[1])


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379"])
def test_no_cluster_is_said_at_once(tmp_path, address):
  from launch import attempts, cluster, engine

  with pytest.raises(errors.UserError, match="there is no Ray cluster") as no:
    cluster.run(
      [], tmp_path, signals=engine.Signals(), policy=attempts.Policy(),
      address=address, slice_=SLICE,
    )  # fmt: skip
  assert "\n" not in str(no.value)


def test_a_sweep_and_the_same_command_again(cluster, tmp_path):
  with sweep(cluster, tmp_path) as process:
    finish(process, tmp_path)
  assert ends(tmp_path) == ends(tmp_path, "control") == ["finished"]
  lines = (tmp_path / "events.jsonl").read_text()
  with sweep(cluster, tmp_path) as process:
    finish(process, tmp_path)
  assert (tmp_path / "events.jsonl").read_text() == lines
  assert "finished before" in output(tmp_path)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_is_a_crash(cluster, tmp_path, rank):
  hold = held(tmp_path)
  with sweep(cluster, tmp_path) as process:
    killed = pids(tmp_path)
    os.kill(killed[rank], signal.SIGKILL)
    # The other one, which says nothing here, is not waited for for ever.
    wait_for(lambda: not any(map(is_alive, killed)), tmp_path)
    hold.unlink()
    finish(process, tmp_path)
  assert ends(tmp_path) == ["crashed", "finished"]


def test_a_killed_actor_takes_its_process_with_it(cluster, tmp_path):
  hold = held(tmp_path)
  with sweep(cluster, tmp_path) as process:
    running = pids(tmp_path)
    os.kill(parent(running[1]), signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, running)), tmp_path)
    hold.unlink()
    finish(process, tmp_path)
  assert ends(tmp_path) == ["preempted", "finished"]


def test_a_killed_driver_leaves_nothing_and_loses_no_count(cluster, tmp_path):
  hold = held(tmp_path)
  with sweep(cluster, tmp_path) as process:
    running = pids(tmp_path)
    process.kill()
    wait_for(lambda: not any(map(is_alive, running)), tmp_path)
  assert not (tmp_path / "first" / "DONE").exists()
  hold.unlink()
  with sweep(cluster, tmp_path) as process:
    finish(process, tmp_path)
  assert len(places(tmp_path)) == 2


def test_sigterm_saves_and_stops(cluster, tmp_path):
  held(tmp_path)
  with sweep(cluster, tmp_path) as process:
    running = pids(tmp_path)
    process.terminate()
    process.wait(TIMEOUT)
    assert not any(map(is_alive, running))
  assert ends(tmp_path) == ["preempted"]
  [event] = [e for e in events.read(tmp_path) if e["event"] == "ended"]
  assert event["codes"] == [143, 143]
  assert "\nfirst    stopped" in output(tmp_path)


def test_a_drained_host(cluster, tmp_path):
  hold = held(tmp_path)
  with sweep(cluster, tmp_path) as process:
    pids(tmp_path)
    [place] = places(tmp_path)
    node = cluster.nodes[place][1]
    subprocess.run(
      [str(pathlib.Path(sys.executable).with_name("ray")), "drain-node",
       "--address", cluster.address, "--node-id", node.node_id,
       "--reason", "DRAIN_NODE_REASON_PREEMPTION",
       "--reason-message", "test", "--deadline-remaining-seconds", "60"],
      check=True, capture_output=True,
    )  # fmt: skip
    hold.unlink()
    finish(process, tmp_path)
  assert ends(tmp_path)[0] == "preempted"
  assert places(tmp_path)[1] != place
  replace(cluster, place)


def test_a_lost_host_and_one_that_comes_back(cluster, tmp_path):
  hold = held(tmp_path)
  with sweep(cluster, tmp_path) as process:
    running = pids(tmp_path)
    [place] = places(tmp_path)
    cluster.cluster.remove_node(cluster.nodes[place][1], allow_graceful=False)
    hold.unlink()
    finish(process, tmp_path)
  assert not any(map(is_alive, running))
  assert ends(tmp_path)[0] == "preempted"
  assert places(tmp_path)[1] != place
  cluster.nodes[place].pop()
  replace(cluster, place)


def replace(cluster, name):
  """New hosts in the place of a slice's."""
  for node in cluster.nodes.pop(name):
    cluster.cluster.remove_node(node, allow_graceful=False)
  cluster.add(name)


def test_a_folder_that_is_in_use_is_waited_for(cluster, tmp_path):
  """By a stray process of a host that was lost."""
  (tmp_path / "first").mkdir()
  claim = folder_lib.RunFolder(tmp_path / "first").claim()
  program = PROGRAM.replace(
    "got = []",
    "import fcntl\nlock = (folder / '.lock').open('a')\n"
    "try: fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)\n"
    "except OSError: sys.exit(4)\ngot = []",
  )
  claim.__enter__()
  with sweep(cluster, tmp_path) as process:
    (tmp_path / "program.py").write_text(program)
    wait_for(lambda: "in use" in ends(tmp_path), tmp_path)
    claim.__exit__(None, None, None)
    finish(process, tmp_path)
  assert "failed" not in output(tmp_path)


def test_a_lost_head_costs_no_run(tmp_path):
  """The sweep says so, and goes on with another cluster."""
  before = dict(os.environ)
  try:
    lost = emulation.Cluster(SLICE, 1)
    hold = held(tmp_path)
    with sweep(lost, tmp_path) as process:
      running = pids(tmp_path)
      lost.cluster.head_node.kill_all_processes(
        check_alive=False, allow_graceful=False
      )
      for node in list(lost.cluster.worker_nodes):
        node.kill_all_processes(check_alive=False, allow_graceful=False)
      process.wait(TIMEOUT)
    assert not any(map(is_alive, running))
    assert "first    " in output(tmp_path)
    hold.unlink()
    found = emulation.Cluster(SLICE, 1)
    with sweep(found, tmp_path) as process:
      finish(process, tmp_path)
    found.close()
  finally:
    os.environ.clear()
    os.environ.update(before)
  assert json.loads((tmp_path / "first" / "metrics.jsonl").read_text()
                    .splitlines()[-1])["step"] == 10  # fmt: skip
