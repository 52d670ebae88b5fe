"""Shares of cores, and that a process keeps to its own."""

import os
import sys

import pytest

from launch import host, shares
from sr2_jax import errors

needs_affinity = pytest.mark.skipif(
  not hasattr(os, "sched_setaffinity"), reason="the system assigns no cores"
)
# A process says which cores it has once it has got those of its share.
SAY_CORES = """
import os, time
end = time.monotonic() + 5
while len(os.sched_getaffinity(0)) > 1 and time.monotonic() < end:
  time.sleep(0.01)
print(sorted(os.sched_getaffinity(0)))
"""


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch):
  monkeypatch.setenv("JAX_PLATFORMS", "cpu")


def has(monkeypatch, *cores):
  monkeypatch.setattr(shares, "_cores", lambda: list(cores))


@pytest.mark.parametrize(
  ("at_once", "expected"),
  [
    (1, [(0, 1, 2, 3, 6, 7, 9)]),
    (2, [(0, 1, 2), (3, 6, 7, 9)]),
    (3, [(0, 1), (2, 3), (6, 7, 9)]),
    (7, [(0,), (1,), (2,), (3,), (6,), (7,), (9,)]),
  ],
)
def test_every_core_is_in_one_share(monkeypatch, at_once, expected):
  has(monkeypatch, 0, 1, 2, 3, 6, 7, 9)
  assert shares.of_cores(at_once) == expected


def test_more_runs_than_cores_are_refused(monkeypatch):
  has(monkeypatch, 4)
  with pytest.raises(errors.UserError, match=r"at_once=2.* has 1 core"):
    shares.of_cores(2)
  has(monkeypatch, 4, 5)
  with pytest.raises(errors.UserError, match=r"at_once=3.* has 2 cores"):
    shares.of_cores(3)


@pytest.mark.parametrize("package", ["libtpu.py", "jax_plugins/xla_cuda13.py"])
def test_runs_at_once_would_share_an_accelerator(
  monkeypatch, tmp_path, package
):
  has(monkeypatch, 0, 1)
  path = tmp_path / package
  path.parent.mkdir(exist_ok=True)
  path.touch()
  monkeypatch.syspath_prepend(tmp_path)
  assert len(shares.of_cores(2)) == 2  # JAX_PLATFORMS is cpu.
  monkeypatch.delenv("JAX_PLATFORMS")
  with pytest.raises(errors.UserError, match=path.stem):
    shares.of_cores(2)
  assert len(shares.of_cores(1)) == 1


@pytest.mark.parametrize(
  ("cores", "expected"),
  [((3,), "core 3"), ((0, 1, 2), "cores 0-2"), ((0, 2), "cores 0,2")],
)
def test_in_words(cores, expected):
  assert shares.in_words(cores) == expected


@needs_affinity
def test_a_process_keeps_to_its_cores(tmp_path):
  core = max(os.sched_getaffinity(0))
  log = tmp_path / "log"
  process = host.Process((sys.executable, "-c", SAY_CORES), log, cores=(core,))
  assert process._process.wait() == 0
  assert log.read_text() == f"[{core}]\n"
  assert len(os.sched_getaffinity(0)) == len(shares._cores())


@needs_affinity
def test_a_process_that_has_ended_is_no_error():
  process = host.subprocess.Popen((sys.executable, "-c", ""))
  process.wait()
  shares.assign(process.pid, (0,))


def test_where_cores_cannot_be_assigned_threads_are_counted(monkeypatch):
  monkeypatch.delattr(os, "sched_setaffinity", raising=False)
  assert shares.variables((2, 3)) == {"NPROC": "2"}
  assert shares.variables(()) == {}
  shares.assign(1, (2, 3))
