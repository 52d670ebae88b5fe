"""Whole runs of several processes: what differs, who is lost when, how it ends.

  python -m tests.processes [NAME ...]

Runs the cases whose names begin with one of these, or all, which takes half an
hour on two cores. Prints a line for each; exits with 1 if one fails. `--list`
names them. `test_processes` runs those that tell most.

A machine that falls silent is played by network namespaces, for which this has
to be root and to have `ip` (Debian's iproute2); without them it is skipped.
"""

import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

from sr2_jax.peers import meeting
from sr2_jax.records import rows as rows_lib

ROOT = pathlib.Path(__file__).parents[1]
HOST = socket.gethostname()
TIMEOUT = 300  # seconds; compiling on a busy machine takes long
PROMPT = 15  # seconds in which those who are left have to leave
ARGUMENTS = (
  "--config=tests/tiny.py", "--config.joint.num_epochs=0",
  "--config.num_seeds=1", "--config.pretrain.num_epochs=8",
)  # fmt: skip
PROGRAM = "import sys\n{patch}\nfrom sr2_jax import main\nsys.exit(main.main())"


class SkippedError(Exception):
  """This machine cannot play the case."""


@dataclasses.dataclass
class Process:
  popen: subprocess.Popen
  log: pathlib.Path

  @property
  def text(self):
    return self.log.read_text(errors="replace")


class World:
  """A folder for a case, and the processes that it starts.

  Args:
    folder: of the case.
    cache: of compiled programs, for all cases.
  """

  def __init__(self, folder, cache):
    self.folder = folder
    self.run = folder / "run"
    self.environment = os.environ | {
      "JAX_PLATFORMS": "cpu",
      "SR2_JAX_CACHE_DIR": str(cache),
      # They run for seconds, and no numbers are compared.
      "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    self.processes = []
    self.address = f"127.0.0.1:{meeting.free_port()}"

  def start(self, index, *arguments, count=2, patch="", root=ROOT, prefix=(),
            workdir=None, **variables):  # fmt: skip
    """One of the processes, with a log of its own; all flags come last."""
    log = self.folder / f"{len(self.processes)}.log"
    several = (
      f"--coordinator={self.address}", f"--num_processes={count}",
      f"--process_id={index}",
    )  # fmt: skip
    with log.open("w") as written:
      popen = subprocess.Popen(
        (
          *prefix, sys.executable, "-c", PROGRAM.format(patch=patch),
          *ARGUMENTS, *(several if count > 1 else ()),
          f"--workdir={workdir or self.run}", *arguments,
        ),
        cwd=root, env=self.environment | variables, stdout=written,
        stderr=written, start_new_session=True,
      )  # fmt: skip
    self.processes.append(Process(popen, log))
    return self.processes[-1]

  def pair(self, *arguments, **of_second):
    """Both processes of a run; the second may be different."""
    return [
      self.start(0, *arguments),
      self.start(1, *arguments, *of_second.pop("flags", ()), **of_second),
    ]

  def close(self):
    for process in self.processes:
      if process.popen.poll() is None:
        process.popen.kill()
      process.popen.wait()

  def logs(self):
    return "\n".join(f"{p.log.name}:\n{p.text}" for p in self.processes)


def codes(*processes, within=TIMEOUT):
  """Exit codes; None where one has not ended in time."""
  limit = time.monotonic() + within
  found = []
  for process in processes:
    try:
      found.append(process.popen.wait(max(0.1, limit - time.monotonic())))
    except subprocess.TimeoutExpired:
      found.append(None)
  return found


def until(condition, *processes):
  limit = time.monotonic() + TIMEOUT
  while not condition():
    assert all(p.popen.poll() is None for p in processes), "ended too early"
    assert time.monotonic() < limit, "does not come"
    time.sleep(0.01)


def rows(world):
  path = world.run / "metrics.jsonl"
  return path.read_bytes().count(b"\n") if path.exists() else 0


# Moments of a run, as they can be seen from outside.
MOMENTS = {
  "start": lambda world: world.processes[1].popen.poll() is None,
  "compile": lambda world: "preparing the networks" in world.processes[0].text,
  "step": lambda world: rows(world) > 4,
  "save": lambda world: list(world.run.rglob("*.orbax-checkpoint-tmp")),
  "evaluation": lambda world: "evaluating" in world.processes[0].text,
  "end": lambda world: (world.run / "per_image/fsrcnn_test.npz").exists(),
}


def assert_clean(*processes):
  for process in processes:
    for word in ("Traceback", "stack trace", "cannot be written", "Check fail"):
      assert word not in process.text, word


def prepared(world):
  """A run in the folder, stopped after some steps."""
  only = world.start(0, count=1)
  until(lambda: rows(world) > 2, only)
  only.popen.send_signal(signal.SIGTERM)
  assert codes(only) == [143]
  world.processes.clear()


# What is different in process 1: how it is started, and the message.

OTHER_IMAGES = """
from sr2_jax.data import mnist5k
digits = mnist5k.digits
def other():
  images, labels = digits()
  images[:, 14, 14] ^= 1
  return images, labels
mnist5k.digits = other
"""
OTHER_STEPS = """
from sr2_jax.training import checkpoint
steps = checkpoint.Checkpoints.steps.fget
checkpoint.Checkpoints.steps = property(
  lambda self: [] if steps(self) else [3]
)
"""


def other_code(world):
  root = world.folder / "code"
  for name in ("sr2_jax", "experiments", "tests"):
    shutil.copytree(ROOT / name, root / name)
  with (root / "sr2_jax/rng.py").open("a") as file:
    file.write("# Another line.\n")
  return {"root": root}


def other_package(world):
  folder = world.folder / "site/numpy-0.0.1.dist-info"
  folder.mkdir(parents=True)
  (folder / "METADATA").write_text("Name: numpy\nVersion: 0.0.1\n")
  return {"PYTHONPATH": str(folder.parent)}


DIFFERENCES = {
  "config": (
    lambda world: {"flags": ("--config.pretrain.learning_rate.sr=0.01",)},
    "config.pretrain.learning_rate.sr is 0.001 in process 0 on {HOST}, but "
    "0.01 in process 1 on {HOST}.",
  ),
  "code": (other_code, "sr2_jax/rng.py in process 0 on {HOST} is not the one"),
  "packages": (other_package, 'but "0.0.1" in process 1 on {HOST}.'),
  "workdir": (
    lambda world: {"workdir": world.folder / "elsewhere"},
    "the run folder is another one in process 1 on {HOST}.",
  ),
  "data": (
    lambda world: {"patch": OTHER_IMAGES}, "the fingerprint of mnist5k is",
  ),
  "step": (
    lambda world: {"patch": OTHER_STEPS}, "checkpoints/pretrain/last is",
  ),
}  # fmt: skip


def differ(world, *, what, when):
  """All are refused with 2, and each says in what; nothing is recorded."""
  if when == "resume":
    prepared(world)
  before = rows(world)
  settings, message = DIFFERENCES[what]
  pair = world.pair(**settings(world))
  assert codes(*pair) == [2, 2]
  for process in pair:
    assert message.format(HOST=HOST) in process.text
  assert_clean(*pair)
  assert rows(world) == before
  assert not list(world.run.glob(".seen*"))


# Who dies at the start may not have met the other one, which then waits.
_BRIEFLY = {False: (), True: ("--peer_timeout=20",)}


def is_gone(world, *, who, when):
  """kill -9: the other one says so and leaves; together they go on."""
  pair = world.pair(*_BRIEFLY[when == "start"])
  # At the end, process 1 may have left.
  until(lambda: MOMENTS[when](world), *pair[: 1 if when == "end" else 2])
  pair[who].popen.kill()
  begin = time.monotonic()
  pair[who].popen.wait()
  [code] = codes(pair[1 - who])
  seconds = time.monotonic() - begin
  assert_clean(pair[1 - who])
  if when == "end" and code == 0:
    return "had finished"
  assert code == 5
  if when == "start":
    assert seconds < 20 + PROMPT
  else:
    assert f"process {who} on {HOST} is gone" in pair[1 - who].text
    assert seconds < PROMPT
  codes(pair[who])
  world.processes.clear()
  assert codes(*world.pair()) == [0, 0]
  return f"{seconds:.1f} s"


def is_stopped(world, *, who, when):
  """SIGTERM to one: both end with 143."""
  pair = world.pair(*_BRIEFLY[when == "start"])
  # At the end, process 1 may have left.
  until(lambda: MOMENTS[when](world), *pair[: 1 if when == "end" else 2])
  pair[who].popen.send_signal(signal.SIGTERM)
  begin = time.monotonic()
  found = codes(*pair)
  seconds = time.monotonic() - begin
  assert_clean(*pair)
  if when == "end" and found[who] == 0:
    return "had finished"
  if when in ("start", "end"):  # It may not have met the other, or has left.
    assert set(found) <= {143, -15, 0, 5}
  else:
    assert found == [143, 143]
  if when in ("step", "save"):
    assert all("is saved at step" in process.text for process in pair)
  assert seconds < PROMPT + 20 * (when == "start")
  return f"{seconds:.1f} s"


FAILS = """
from sr2_jax.evaluation import evaluate
def fail(*_, **__):
  raise ZeroDivisionError("as a bug would")
evaluate.evaluate = fail
"""


def fails(world, *, who):
  """A bug in one: its traceback is there, and only there."""
  pair = [world.start(k, patch=FAILS if k == who else "") for k in range(2)]
  found = codes(pair[who])
  begin = time.monotonic()
  found += codes(pair[1 - who])
  seconds = time.monotonic() - begin
  assert found == [1, 5]
  assert "Traceback" in pair[who].text
  assert_clean(pair[1 - who])
  assert (
    f"process {who} on {HOST} has failed: ZeroDivisionError: as a bug would"
    in pair[1 - who].text
  )
  assert seconds < PROMPT
  return f"{seconds:.1f} s"


def is_locked(world):
  """Process 0 has the code of a folder in use, the other one its message."""
  only = world.start(0, count=1)
  until(lambda: rows(world) > 0, only)
  only.popen.send_signal(signal.SIGSTOP)
  pair = world.pair()
  found = codes(pair[0])
  begin = time.monotonic()
  found += codes(pair[1])
  assert found == [4, 5]
  assert time.monotonic() - begin < PROMPT
  assert "another run is using this folder" in pair[1].text
  assert_clean(*pair)


def never_comes(world, *, who):
  """The one that waits says so, and ends after the limit."""
  other = world.start(1 - who, "--peer_timeout=12")
  assert codes(other) == [5]
  assert "waiting for process" in other.text
  assert "12 s (--peer_timeout)" in other.text
  assert_clean(other)


def four(world, *, lost):
  """Four processes, with a device each, of which one may get lost."""
  everyone = [world.start(k, count=4) for k in range(4)]
  if lost is None:
    assert codes(*everyone) == [0] * 4
    assert (world.run / "DONE").exists()
    return None
  until(lambda: MOMENTS["step"](world), *everyone)
  everyone[lost].popen.kill()
  begin = time.monotonic()
  left = [process for process in everyone if process is not everyone[lost]]
  assert codes(*left) == [5] * 3
  seconds = time.monotonic() - begin
  assert seconds < PROMPT
  assert_clean(*left)
  for process in left:
    assert f"process {lost} on {HOST} is gone" in process.text
  return f"{seconds:.1f} s"


@contextlib.contextmanager
def two_hosts():
  """Names of two network namespaces that are connected by a cable."""
  if os.getuid() or not shutil.which("ip") or not shutil.which("unshare"):
    raise SkippedError("needs root, ip and unshare")
  names = [f"sr2_{os.getpid()}_{k}" for k in range(2)]
  try:
    for name in names:
      if subprocess.run(("ip", "netns", "add", name), check=False).returncode:
        raise SkippedError("there are no network namespaces here")
    cable = (f"v{os.getpid()}a", f"v{os.getpid()}b")
    commands = [
      f"ip link add {cable[0]} type veth peer name {cable[1]}",
      *(f"ip link set {cable[k]} netns {names[k]} name wire" for k in (0, 1)),
    ]
    for k in (0, 1):
      commands += [
        f"ip -n {names[k]} addr add 10.77.0.{k + 1}/24 dev wire",
        f"ip -n {names[k]} link set wire up",
        f"ip -n {names[k]} link set lo up",
      ]
    for command in commands:
      subprocess.run(command.split(), check=True)
    yield names
  finally:
    for name in names:
      subprocess.run(("ip", "netns", "del", name), check=False)


def falls_silent(world, *, timeout):
  """The cable is cut: no packet says that anybody is gone."""
  with two_hosts() as names:
    world.address = "10.77.0.1:7077"
    pair = [
      world.start(
        k, f"--heartbeat_timeout={timeout}",
        # A name of the machine that the other one can resolve.
        prefix=(
          "ip", "netns", "exec", names[k], "unshare", "--uts", "sh", "-c",
          f'hostname 10.77.0.{k + 1}; exec "$@"', "sh",
        ),
      )
      for k in (0, 1)
    ]  # fmt: skip
    until(lambda: MOMENTS["step"](world), *pair)
    command = f"ip -n {names[1]} link set wire down"
    subprocess.run(command.split(), check=True)
    begin = time.monotonic()
    assert codes(*pair) == [5, 5]
    seconds = time.monotonic() - begin
    assert seconds < timeout + PROMPT
    assert_clean(*pair)
    for k, process in enumerate(pair):
      text = f"process {1 - k} on 10.77.0.{2 - k} is gone: nothing was heard"
      assert text in process.text
  return f"{seconds:.1f} s"


def pairs_of(world):
  """Flags of a run on pairs in crops, streamed, from released weights."""
  random = np.random.default_rng(0)
  for folder, side in (("high", 24), ("low", 6)):
    for number in range(40):
      pixels = random.integers(0, 256, (side, side), np.uint8)
      # A third of them are of another class.
      path = world.folder / folder / "aab"[number % 3] / f"{number:02}.png"
      path.parent.mkdir(parents=True, exist_ok=True)
      Image.fromarray(pixels).save(path)
  return (
    "--config.data.name=folder", f"--config.data.path={world.folder}/high",
    f"--config.data.low_res_path={world.folder}/low",
    "--config.data.max_train_images=0", "--config.data.device_bytes=1",
    "--config.augmentation.crop=16", "--config.fine_tune=true",
    "--config.num_seeds=2", "--config.batch_size=4",
  )  # fmt: skip


def own_images(world):
  """One process decodes for both, and they agree on the weights."""
  flags = (
    *pairs_of(world), "--config.model.wiring=none",
    "--config.pretrain.num_epochs=1", "--config.init_from=fsrcnn_x4_mnist",
  )  # fmt: skip
  pair = world.pair(*flags)
  assert codes(*pair) == [0, 0]
  assert sum("decoding " in process.text for process in pair) == 1
  found = rows_lib.read(world.run)
  assert {row.seed for row in found} == {None, 0, 1}
  assert np.isfinite([row.value for row in found]).all()


def own_images_killed(world):
  """With unequal classes, which have weights; one process is killed.

  It ends with the same weights and rows as without, to the bit.
  """
  flags = (
    *pairs_of(world), "--config.loss.class_weights=balanced",
    "--config.joint.num_epochs=1", "--config.init_from=sr2_fsrcnn_x4_mnist",
  )  # fmt: skip
  whole = world.folder / "whole"
  assert codes(*world.pair(*flags, f"--workdir={whole}")) == [0, 0]
  world.processes.clear()
  pair = world.pair(*flags)
  until(lambda: MOMENTS["step"](world), *pair)
  pair[1].popen.kill()
  assert codes(*pair) == [5, -9]
  world.processes.clear()
  assert codes(*world.pair(*flags)) == [0, 0]
  names = ("results.jsonl", "metrics.jsonl", "weights/*/*/last.safetensors")
  expected = [path for name in names for path in sorted(whole.glob(name))]
  assert len(expected) == 6
  for path in expected:
    found = world.run / path.relative_to(whole)
    assert found.read_bytes() == path.read_bytes(), found


CASES = {
  "own_images": own_images,
  "own_images_killed": own_images_killed,
  **{
    f"differ_{what}_{when}": functools.partial(differ, what=what, when=when)
    for what, when in itertools.product(DIFFERENCES, ("start", "resume"))
  },
  **{
    f"{case.__name__}_{who}_{when}": functools.partial(case, who=who, when=when)
    for case, who, when in itertools.product(
      (is_gone, is_stopped), (0, 1), MOMENTS
    )
  },
  **{f"fails_{who}": functools.partial(fails, who=who) for who in (0, 1)},
  **{
    f"never_comes_{who}": functools.partial(never_comes, who=who)
    for who in (0, 1)
  },
  "is_locked": is_locked,
  "four": functools.partial(four, lost=None),
  "four_without_2": functools.partial(four, lost=2),
  "falls_silent": functools.partial(falls_silent, timeout=30),
}


def play(name, folder, cache):
  """What a case says about itself.

  Raises:
    AssertionError: with the logs, if it fails.
    SkippedError: if this machine cannot play it.
  """
  folder.mkdir(parents=True)
  world = World(folder, cache)
  try:
    return CASES[name](world)
  except AssertionError as error:
    raise AssertionError(f"{error}\n{world.logs()}") from error
  finally:
    world.close()


def main(names):
  if names == ["--list"]:
    print(*CASES, sep="\n")
    return 0
  failed = 0
  with tempfile.TemporaryDirectory() as place:
    place = pathlib.Path(place)
    cache = os.environ.get("SR2_JAX_CACHE_DIR", place / "cache")
    for name in CASES:
      if names and not name.startswith(tuple(names)):
        continue
      try:
        print("ok  ", name, play(name, place / name, cache) or "", flush=True)
      except SkippedError as error:
        print("skip", name, error, flush=True)
      except AssertionError as error:
        failed += 1
        print("FAIL", name, error, flush=True)
  return 1 if failed else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
