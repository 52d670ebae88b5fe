"""Faults on an emulated cluster: real raylets, actors and processes.

What runs there is a program that trains nothing, but ends as a run does.
`test_clusters` has the faults that only a real run can show.
"""

import contextlib
import json
import shutil
import signal
import subprocess
import time

import pytest

from launch import bucket, events, slices
from sr2_jax.buckets import address, fetch, lists
from sr2_jax.records import folder as folder_lib
from tests import clusters
from tests.buckets import remote, servers
from tests.launch import test_jobs

pytest.importorskip("ray")
pytestmark = [
  pytest.mark.clusters,
  # Ray's own.
  pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def cluster():
  """Two slices of two hosts of two chips."""
  with clusters.emulated(2) as started:
    yield started


@pytest.fixture
def workdir(tmp_path):
  path = tmp_path / "runs"
  path.mkdir()
  return path


def order(workdir, run, **orders):
  """What the stand-in of a run does; returns the file that says so."""
  (workdir / run).mkdir(exist_ok=True)
  path = workdir / run / "orders.json"
  path.write_text(json.dumps(orders))
  return path


def replace(cluster, name):
  """New hosts in the place of a slice's."""
  for node in cluster.nodes.pop(name):
    cluster.cluster.remove_node(node, allow_graceful=False)
  cluster.add(name)


def test_a_sweep_and_the_same_command_again(cluster, workdir):
  three = f"--sweep={clusters.TINY}:three"
  for run in ("first", "other"):  # Neither may end before the other starts.
    order(workdir, run, takes=2)
  with clusters.Sweep(cluster, workdir, three) as sweep:
    sweep.finish()
  for run in ("first", "control", "other"):
    assert sweep.ends(run) == ["finished"]
  assert {*sweep.places(), *sweep.places("other")} == {"slice-0", "slice-1"}
  [end], [start] = sweep.events("ended"), sweep.events("started", "control")
  assert end["time"] <= start["time"]
  files = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
  with clusters.Sweep(cluster, workdir, three) as sweep:
    sweep.finish()
  assert sweep.output.count("finished before") == 3
  after = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
  del files[workdir / ".lock"], after[workdir / ".lock"]
  speeds = workdir / "speeds.emulated-2x2.json"
  del files[speeds], after[speeds]
  assert after == files


def test_a_drained_run_that_does_not_save_is_killed(cluster, workdir):
  order(workdir, "first", starts=1, holds=True, deaf=9)
  with clusters.Sweep(cluster, workdir, "--retries=0") as sweep:
    running = sweep.pids()
    [place] = sweep.places()
    clusters.drain(cluster, cluster.nodes[place][1], 5)
    sweep.finish()
  assert not any(map(clusters.is_alive, running))
  assert sweep.ends() == ["preempted", "finished"]
  assert sweep.places()[1] != place
  replace(cluster, place)


@pytest.mark.parametrize(
  ("signals", "code"),
  [([signal.SIGTERM], 143), ([signal.SIGINT, signal.SIGINT], 130)],
)
def test_signals_save_and_stop(cluster, workdir, signals, code):
  """A run that does not heed the first one is stopped by the second."""
  order(workdir, "first", holds=True, deaf=len(signals) - 1)
  with clusters.Sweep(cluster, workdir) as sweep:
    running = sweep.pids()
    for number in signals:
      assert all(map(clusters.is_alive, running))
      sweep.process.send_signal(number)
      time.sleep(3)  # Two at once would be one.
    sweep.finish(code)
  assert not any(map(clusters.is_alive, running))
  assert sweep.ends() == ["preempted"]
  assert sweep.events("ended")[0]["codes"] == [code, code]
  assert "\nfirst    stopped" in sweep.output


def test_ends_of_every_kind(cluster, workdir, tmp_path):
  """Of seven runs; each costs the others nothing."""
  orders = {
    "diverged": {"codes": {"0": 3, "1": 3}, "done": True},
    "wrong": {"codes": {"0": 5, "1": 2}},
    "crashing": {"codes": {"0": 1}},
    "hanging": {"codes": {"1": 1}, "starts": 1},
    "stalled": {"holds": True, "starts": 1},
  }
  runs = [f"runs.Run('{name}', 'tests/tiny.py', {{}})" for name in orders]
  runs += [
    f"runs.Run('after_{name}', 'tests/tiny.py', {{}}, '{name}')"
    for name in ("diverged", "wrong")
  ]
  for name, given in orders.items():
    order(workdir, name, **given)
  file = test_jobs.write_sweep(tmp_path, f"return [{', '.join(runs)}]")
  with clusters.Sweep(
    cluster, workdir, f"--sweep={file}", "--retries=1", "--stall=10s",
    patch="fleet._SECONDS_TO_LEAVE = 3.0",
  ) as sweep:  # fmt: skip
    sweep.finish(1)
  assert {name: sweep.ends(name) for name in orders} == {
    "diverged": ["diverged"],
    "wrong": ["failed"],
    "crashing": ["crashed", "crashed"],
    "hanging": ["crashed", "finished"],
    "stalled": ["crashed", "finished"],
  }
  assert sweep.ends("after_diverged") == ["finished"]
  assert sweep.places("after_wrong") == []
  states = dict(line.split()[:2] for line in _table(sweep.output))
  assert states == {
    "diverged": "diverged", "wrong": "failed", "crashing": "failed",
    "hanging": "finished", "stalled": "finished",
    "after_diverged": "finished", "after_wrong": "skipped",
  }  # fmt: skip
  assert "4/7 runs finished" in sweep.output


def _table(output):
  """Its rows, at the end of a sweep."""
  _, _, rows = output.partition("\nrun ")
  return rows.partition("\n\n")[0].splitlines()[1:]


def private(folder, then='exec "$@"'):
  """Words before a command that has a folder to itself, or a skip.

  Args:
    folder: that is an empty disk of 256 kB to the command.
    then: a shell's line that starts it.
  """
  if not shutil.which("unshare"):
    pytest.skip("needs unshare")
  words = ("unshare", "--map-root-user", "--mount", "sh", "-ec")
  mount = 'mount -t tmpfs -o size=256k none "$0"; '
  try_it = subprocess.run((*words, mount, str(folder)), check=False)
  if try_it.returncode:
    pytest.skip("this machine has no mounts of one's own")
  return (*words, mount + then, str(folder))


def test_a_folder_that_is_not_shared(cluster, workdir):
  prefix = private(workdir)
  with clusters.Sweep(cluster, workdir, prefix=prefix) as sweep:
    sweep.finish(2)
  first, second = sweep.output.splitlines()[-2:]
  assert first == (
    f"--workdir={workdir} is not shared by all hosts of slice-0."
  )
  assert "such as NFS" in second
  assert not list(workdir.iterdir())


def test_a_folder_that_hosts_do_not_have(cluster, workdir, tmp_path):
  """The project's own, where the command is typed."""
  elsewhere = tmp_path / "disk"
  elsewhere.mkdir()
  prefix = private(
    elsewhere,
    'mkdir "$0/project"; ln -s "$PWD"/* "$0/project"; cd "$0/project"; '
    'exec "$@"',
  )
  with clusters.Sweep(cluster, workdir, prefix=prefix) as sweep:
    sweep.finish(2)
  first, second = sweep.output.splitlines()[-2:]
  assert first.startswith("first cannot start on slice-0: ")
  assert "No module named 'launch'" in first
  assert second.startswith("All hosts need the project")


def test_a_folder_that_is_in_use_is_waited_for(cluster, workdir):
  """By a stray process of a host that was lost."""
  (workdir / "first").mkdir()
  with contextlib.ExitStack() as claim:
    claim.enter_context(folder_lib.RunFolder(workdir / "first").claim())
    with clusters.Sweep(cluster, workdir) as sweep:
      sweep.until(lambda: "in use" in sweep.ends(), "a try")
      claim.close()
      sweep.finish()
  assert f"waits for {workdir / 'first'}, which is in use" in sweep.output
  assert "failed" not in sweep.output


def test_hosts_that_come_one_by_one(cluster, workdir, monkeypatch):
  """The second one first, to a sweep whose slices are not those there are."""
  monkeypatch.setattr(cluster, "_slice", slices.emulated(2, 4))
  hold = order(workdir, "first", holds=True)
  with clusters.Sweep(
    cluster, workdir, shape="1x2x4",
    patch="fleet._SECONDS_BETWEEN_WORDS = 1.0",
  ) as sweep:  # fmt: skip
    others = "none is emulated-2x4; the cluster has emulated 2x2"
    word = f"no slice is free ({others}); waiting for one"
    sweep.until(lambda: word in sweep.output, "a word")
    cluster.add("late", only=1)
    sweep.until(lambda: "late has 1 of 2 hosts" in sweep.output, "a host")
    assert sweep.places() == []
    cluster.add("late", only=0)
    of_host = {1: cluster.nodes["late"][0], 0: cluster.nodes["late"][1]}
    for rank, pid in enumerate(sweep.pids()):
      [raylet] = of_host[rank].all_processes["raylet"]
      actor = clusters.parent(pid)
      assert clusters.parent(actor) == raylet.process.pid
    hold.unlink()
    sweep.finish()
  assert {*sweep.places(), *sweep.places("control")} == {"late"}
  for node in cluster.nodes.pop("late"):
    cluster.cluster.remove_node(node, allow_graceful=False)


# The other sweep sees too late that a slice is taken.
BLIND = """
gang._SECONDS_TO_RESERVE = 1.0
fleet._SECONDS_TO_COOL = 1.0
cluster._left = dict
"""


@pytest.mark.parametrize(
  ("patch", "word"),
  [("", "no slice is free"), (BLIND, "was taken by somebody else")],
  ids=["", "too_late"],
)
def test_two_sweeps_share_the_slices(cluster, workdir, patch, word):
  two, other = f"--sweep={clusters.TINY}:2", workdir.with_name("other")
  holds = [order(workdir, run, holds=True) for run in ("r0", "r1")]
  with clusters.Sweep(cluster, workdir, two) as one:
    one.until(lambda: one.places("r0") and one.places("r1"), "both")
    with clusters.Sweep(cluster, other, two, patch=patch) as second:
      second.until(lambda: word in second.output, "a word")
      assert events.read(other) == []
      for hold in holds:
        hold.unlink()
      second.finish()
    one.finish()
  for sweep in (one, second):
    for run in ("r0", "r1"):
      assert sweep.ends(run) == ["finished"]


def test_a_full_disk(workdir):
  """The run says so; with space, the same command goes on.

  All of it sees the disk, and so has a cluster of its own. An earlier kill has
  left half a line in events.jsonl.
  """
  before = workdir.with_name("runs.before")
  before.mkdir()
  (before / "events.jsonl").write_text('{"run": "first", "event": "sta')
  order(before, "first", starts=1, fills=True)
  prefix = private(
    workdir,
    'cp -r "$0.before/." "$0"; set +e; "$@"; echo "exit code $?"; '
    'rm "$0/first/filler"; exec "$@"',
  )
  with clusters.Sweep(None, workdir, prefix=prefix, shape="1x1x1") as sweep:
    sweep.finish()
  full, _, after = sweep.output.partition("exit code 1\n")
  assert "first    failed" in full
  assert "No space left on device" in full
  assert "2/2 runs finished" in after


IN_BUCKET = """
from launch import mirrored
mirrored._EVERY = 0.5
host.COMMAND = (sys.executable, "-m", "tests.stand_in_bucket")
"""


def in_bucket(cluster, url):
  """A sweep of one run, whose hosts and driver share nothing but a bucket."""
  return clusters.Sweep(
    cluster, bucket.local(url), "--only", "first", patch=IN_BUCKET,
    shape="2x1x2", url=url,
  )  # fmt: skip


def newest(url):
  store = fetch.connected(address.parse(url, "x"))
  return next(lists.newest_first(store), None)


def test_a_bucket_and_a_host_that_is_lost(tmp_path, monkeypatch):
  """The next start is on another machine, and goes on from the bucket."""
  remote.need("gs")
  orders = tmp_path / "orders.json"
  orders.write_text(json.dumps({"starts": 1, "takes": 100}))
  monkeypatch.setenv("ORDERS", str(orders))
  monkeypatch.setenv("SR2_JAX_SCRATCH_DIR", str(tmp_path / "driver"))
  with (
    servers.running("gs") as server,
    clusters.emulated(2, slice_=slices.emulated(1, 2)) as cluster,
  ):
    url = f"{server.url}/sweep"
    known = bucket.Record(f"{url}/first").folder
    with in_bucket(cluster, url) as sweep:
      sweep.until(lambda: clusters.num_rows(known) == 10, "a look")
      [lost] = sweep.places()
      clusters.lose(cluster, lost, host=0)
      sweep.finish()
    assert sweep.ends() == ["preempted", "finished"]
    assert sweep.places()[1] != lost
    log = (sweep.workdir / "first.log").read_text()
    assert "taking over" in log
    assert "fetching" in log
    assert clusters.num_rows(known) == 11
    assert not (sweep.workdir / "first").exists()
    assert "DONE" in newest(f"{url}/first").files
    assert {"first.log", events.NAME} <= newest(url).files.keys()
    # The same command where the driver is another machine.
    monkeypatch.setenv("SR2_JAX_SCRATCH_DIR", str(tmp_path / "other"))
    with in_bucket(cluster, url) as sweep:
      sweep.finish()
    assert "finished before" in sweep.output
    assert sweep.ends() == ["preempted", "finished"]
