"""What is free, from files as systems have them, and errors about it."""

import errno
import platform
import re
import resource
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr2_jax import memory
from tests import child

GB = 10**9
MEMINFO = """MemTotal:       16000000 kB
MemAvailable:    8000000 kB
SwapFree:        1000000 kB
HugePages_Total:       0
"""
OF_SYSTEM = 9_000_000 * 1024


@pytest.fixture
def root(tmp_path, monkeypatch):
  """A file system of 9 GiB that are free, and a process without limits."""
  monkeypatch.setattr(
    resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2
  )
  write(tmp_path, "proc/meminfo", MEMINFO)
  write(
    tmp_path, "proc/self/status", "VmSize:\t  2000 kB\nVmData:\t  1000 kB\n"
  )
  return tmp_path


def write(root, name, text):
  path = root / name
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)


def test_the_system_tells_what_is_available_and_its_swap(root):
  assert memory.of_host(root) == memory.Room(OF_SYSTEM)


def test_who_says_nothing_limits_nothing(tmp_path, monkeypatch):
  monkeypatch.setattr(
    resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2
  )
  assert memory.of_host(tmp_path) is None


def cgroup_2(root, folder, most, taken, cached=0):
  base = f"sys/fs/cgroup/{folder}"
  write(root, f"{base}/memory.max", f"{most}\n")
  write(root, f"{base}/memory.current", f"{taken}\n")
  write(
    root,
    f"{base}/memory.stat",
    f"anon 7\ninactive_file {cached}\nactive_file 1\n",
  )


def test_a_cgroup_and_those_above_it_limit(root):
  write(root, "proc/self/cgroup", "0::/jobs/one\n")
  cgroup_2(root, "jobs/one", "max", GB)
  cgroup_2(root, "jobs", 5 * GB, 2 * GB, cached=GB)
  assert memory.of_host(root) == memory.Room(
    4 * GB + 1, "the limit of its cgroup"
  )
  cgroup_2(root, "jobs/one", 2 * GB, GB)
  assert memory.of_host(root).nbytes == GB + 1
  # More than the limit never is free, whatever is cached.
  cgroup_2(root, "jobs/one", GB, GB // 2, cached=GB)
  assert memory.of_host(root).nbytes == GB


def test_cgroups_of_version_1_and_of_a_container(root):
  """A container sees its own cgroup at the top, under another name."""
  write(
    root, "proc/self/cgroup",
    "9:cpu,cpuacct:/other\n4:memory:/docker/12ab\n0::/\n",
  )  # fmt: skip
  base = "sys/fs/cgroup/memory"
  write(root, f"{base}/memory.limit_in_bytes", f"{6 * GB}\n")
  write(root, f"{base}/memory.usage_in_bytes", f"{3 * GB}\n")
  write(
    root, f"{base}/memory.stat",
    f"inactive_file 5\ntotal_inactive_file {GB}\ntotal_active_file 0\n",
  )  # fmt: skip
  assert memory.of_host(root).nbytes == 4 * GB
  write(root, f"{base}/docker/12ab/memory.limit_in_bytes", f"{2 * GB}\n")
  write(root, f"{base}/docker/12ab/memory.usage_in_bytes", f"{3 * GB}\n")
  assert memory.of_host(root).nbytes == 0


@pytest.mark.parametrize(
  ("which", "words", "taken"),
  [
    (resource.RLIMIT_AS, "ulimit -v", 2000),
    (resource.RLIMIT_DATA, "ulimit -d", 1000),
  ],
)
def test_limits_of_the_process(root, monkeypatch, which, words, taken):
  limits = {which: (3_000_000, resource.RLIM_INFINITY)}
  unlimited = (resource.RLIM_INFINITY,) * 2
  monkeypatch.setattr(
    resource, "getrlimit", lambda which: limits.get(which, unlimited)
  )
  assert memory.of_host(root) == memory.Room(3_000_000 - 1024 * taken, words)
  limits[which] = (1, 1)
  assert memory.of_host(root).nbytes == 0


def test_a_real_limit_is_seen():
  """Linux counts what the process has taken, too."""
  program = (
    "import resource\nfrom sr2_jax import memory\n"
    "resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))\n"
    "room = memory.of_host()\nprint(room.nbytes, room.limit)\n"
    "bytearray(room.nbytes // 2)\n"
    "try:\n  bytearray(room.nbytes + 10**6)\nexcept MemoryError as error:\n"
    "  print(memory.is_short(error))\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", program], capture_output=True, text=True, check=True
  )
  first, second = done.stdout.splitlines()
  nbytes, _, limit = first.partition(" ")
  assert 0 < int(nbytes) < 10**9
  assert (limit, second) == ("ulimit -v", "True")


def test_free_memory_of_a_device():
  def device(statistics):
    return types.SimpleNamespace(memory_stats=lambda: statistics)

  assert memory.of_device(device({"bytes_limit": 9, "bytes_in_use": 2})) == (
    memory.Room(7)
  )
  assert memory.of_device(device({"bytes_limit": 9})) == memory.Room(9)
  assert memory.of_device(device({"bytes_in_use": 2})) is None
  assert memory.of_device(jax.devices()[0]) is None


def test_peak_covers_what_was_taken():
  taken = np.ones(10**7)
  now = memory.resident_bytes()
  assert now is None or taken.nbytes <= now <= memory.peak_bytes()
  assert memory.peak_bytes() >= taken.nbytes


def test_a_watched_program_tells_once_and_compiles_once(caplog, monkeypatch):
  given_back = []
  monkeypatch.setattr(memory, "give_back_freed", lambda: given_back.append(1))

  def squared(x):
    return x @ x + x.sum()

  seen, x = [], np.ones((64, 64), np.float32)
  program = memory.watched(jax.jit(squared), seen.append)
  with jax.log_compiles():
    first, second = program(x), program(2 * x)
  assert np.asarray(first)[0, 0] == 64 + 64**2
  assert np.asarray(second)[0, 0] == 4 * 64 + 2 * 64**2
  compiled = [x for x in caplog.messages if "Finished XLA compilation" in x]
  assert len(compiled) == 1
  assert "squared" in compiled[0]
  [nbytes] = seen
  assert 4 * 64**2 <= nbytes < 10**6
  assert given_back == [1]


def test_a_check_that_refuses_is_asked_again():
  def refuse(nbytes):
    raise ZeroDivisionError

  program = memory.watched(jax.jit(lambda x: x + 1), refuse)
  for _ in range(2):
    with pytest.raises(ZeroDivisionError):
      program(jnp.ones(3))


def test_a_compiler_that_does_not_tell_is_not_asked():
  class Silent:
    def lower(self, *_):
      return self

    def compile(self):
      return self

    def memory_analysis(self):
      return None

    def __call__(self, x):
      return x + 1

  assert memory.watched(Silent(), pytest.fail)(1) == 2


def test_errors_that_are_about_memory():
  with pytest.raises(Exception, match="RESOURCE_EXHAUSTED") as caught:
    # An array for which no address space is large enough.
    jax.jit(lambda: jnp.ones((2**31 - 1, 2**15)))().block_until_ready()
  assert memory.is_short(caught.value)
  assert memory.is_short(MemoryError())
  with pytest.raises(MemoryError) as caught:
    np.empty(2**55)
  assert memory.is_short(caught.value)
  assert not memory.is_short(ValueError("RESOURCE_EXHAUSTED"))
  assert memory.is_short(OSError(errno.ENOMEM, "Cannot allocate memory"))
  assert not memory.is_short(OSError(errno.ENOSPC, "No space left"))
  other = type("JaxRuntimeError", (RuntimeError,), {})
  assert not memory.is_short(other("INVALID_ARGUMENT"))
  assert memory.is_short(type("Sub", (other,), {})("RESOURCE_EXHAUSTED: x"))


GIVING_BACK = """
import threading
from sr2_jax import memory
memory.keep_freed()

def work():
  blocks = [bytearray(50_000) for _ in range(4000)]  # 200 MB

# Some stay, and would hold all that lies between them.
kept = [bytearray(50_000) for _ in range(4000)][::100]
thread = threading.Thread(target=work)
thread.start()
thread.join()

def resident():
  with open("/proc/self/statm") as file:
    return int(file.read().split()[1]) * 4096

before = resident()
memory.give_back_freed()
print(before - resident())
"""


@pytest.mark.skipif(
  platform.libc_ver()[0] != "glibc", reason="malloc_trim is glibc's"
)
def test_freed_memory_is_given_back_when_that_is_asked_for():
  done = child.played(GIVING_BACK)
  assert int(done.stdout) > 100_000_000


def test_words():
  assert [memory.in_words(x) for x in (0, 10**6, 9 * 10**8, 24 * GB)] == [
    "0.000 GB", "0.001 GB", "0.9 GB", "24.0 GB",
  ]  # fmt: skip
  assert memory.in_words(191_839 * GB) == "191,839 GB"
  assert memory.reason(MemoryError()) == "MemoryError"
  assert memory.reason(ValueError("a\n b.")) == "a b"
  assert len(memory.reason(ValueError("x" * 999))) == 200
  assert re.fullmatch(r"\d+", str(memory.of_host().nbytes))
